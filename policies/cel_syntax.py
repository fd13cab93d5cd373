"""From the CEL library's parse tree to small nodes and literal values; knows no variables and evaluates nothing."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from policies.cel_values import INT_MAX, INT_MIN, UINT_MAX, Uint

MAX_DEPTH = 64  # of nested operators; a rule that a person can read stays far below

_RELATIONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=", "in": "in"}
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%"}
_ESCAPES = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), **{c: c for c in "\\\"'`?"}}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.|$)", re.S)


class RuleError(ValueError):
    """A rule that cannot be used: what is wrong, how to mend it, and at which character it starts."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.position = position


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a rule: its kind, operands, and what it carries itself (a name, an operator, a literal)."""

    kind: str
    position: int
    parts: tuple["Node", ...] = ()
    value: Any = None

    def walk(self) -> Iterator["Node"]:
        """Yield this node and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


def read_tree(tree: Any, depth: int = 0) -> Node:
    """Make nodes of a parse tree; raises RuleError for what has no meaning in a rule."""
    while len(tree.children) == 1 and tree.data in _READERS and tree.data in _WRAPPERS:
        tree = tree.children[0]
    if depth > MAX_DEPTH:
        raise RuleError(f"nested more than {MAX_DEPTH} deep; split it into several rules", _place(tree))
    return _READERS[str(tree.data)](tree, depth + 1)


def _place(tree: Any) -> int:
    """Where a tree starts. The library drops the places of `true` and `false`; what follows them stands in."""
    start = getattr(tree.meta, "start_pos", None)
    if start is None:
        starts = [token.start_pos for token in tree.scan_values(lambda token: token.start_pos is not None)]
        start = min(starts, default=0)
    return int(start)


def _choose(tree: Any, depth: int) -> Node:
    return Node("choose", _place(tree), tuple(read_tree(part, depth) for part in tree.children))


def _chain(kind: str) -> Callable[[Any, int], Node]:
    def read(tree: Any, depth: int) -> Node:
        parts = []
        rest, data = tree, tree.data
        while rest.data == data and len(rest.children) == 2:  # a || b || c leans left: a loop, however long it is
            parts.append(read_tree(rest.children[1], depth))
            rest = rest.children[0]
        parts.append(read_tree(rest, depth))
        return Node(kind, _place(tree), tuple(reversed(parts)))

    return read


def _binary(kind: str, operators: dict[str, str]) -> Callable[[Any, int], Node]:
    def read(tree: Any, depth: int) -> Node:
        left, right = tree.children
        operator = operators[left.data.rpartition("_")[2]]
        operands = (read_tree(left.children[0], depth), read_tree(right, depth))
        return Node("in" if operator == "in" else kind, _place(tree), operands, operator)

    return read


def _unary(tree: Any, depth: int) -> Node:
    operator, operand = tree.children
    kind = "not" if operator.data == "unary_not" else "negate"
    return Node(kind, _place(tree), (read_tree(operand, depth),))


def _select(tree: Any, depth: int) -> Node:
    operand, name = tree.children
    return Node("select", _place(tree), (read_tree(operand, depth),), str(name))


def _index(tree: Any, depth: int) -> Node:
    operand, key = (read_tree(part, depth) for part in tree.children)
    if key.kind == "literal" and isinstance(key.value, str):
        return Node("select", _place(tree), (operand,), key.value)  # a["b"] is a.b, for any name
    return Node("index", _place(tree), (operand, key))


def _method(tree: Any, depth: int) -> Node:
    target, name, *rest = tree.children
    parts = (read_tree(target, depth), *_expressions(rest, depth))
    return Node("method", _place(tree), parts, str(name))


def _function(tree: Any, depth: int) -> Node:
    name, *rest = tree.children
    return Node("function", _place(tree), tuple(_expressions(rest, depth)), str(name))


def _list(tree: Any, depth: int) -> Node:
    return Node("list", _place(tree), tuple(_expressions(tree.children, depth)))


def _map(tree: Any, depth: int) -> Node:
    return Node("map", _place(tree), tuple(_expressions(tree.children, depth)))


def _expressions(lists: list[Any], depth: int) -> Iterator[Node]:
    for expressions in lists:
        for part in expressions.children:
            yield read_tree(part, depth)


def _name(tree: Any, depth: int) -> Node:
    return Node("name", _place(tree), value=str(tree.children[0]))


def _refuse(what: str, mend: str) -> Callable[[Any, int], Node]:
    def read(tree: Any, depth: int) -> Node:
        raise RuleError(f"{what} has no meaning in a rule; {mend}", _place(tree))

    return read


def _literal(tree: Any, depth: int) -> Node:
    token = tree.children[0]
    try:
        value = _LITERALS[token.type](str(token))
    except ValueError as problem:
        raise RuleError(str(problem), _place(tree)) from None
    return Node("literal", _place(tree), value=value)


def _integer(text: str) -> int:
    value = int(text, 16) if "x" in text else int(text)
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError(f"{text} does not fit 64 bits; use a smaller number")
    return value


def _unsigned(text: str) -> Uint:
    value = int(text[:-1], 16) if "x" in text else int(text[:-1])
    if not 0 <= value <= UINT_MAX:
        raise ValueError(f"{text} does not fit 64 bits without a sign; use another number")
    return Uint(value)


def _string(text: str) -> str:
    prefix, body = _unquote(text)
    if "r" in prefix:
        return body
    return _ESCAPE.sub(lambda match: _escaped(match[1]), body)


def _bytes(text: str) -> bytes:
    prefix, body = _unquote(text)
    if "r" in prefix or "\\" not in body:
        return body.encode()
    raise ValueError("bytes with escapes are not supported; compare strings instead")


def _unquote(text: str) -> tuple[str, str]:
    start = min(text.find(quote) for quote in "\"'" if quote in text)
    width = 3 if text[start : start + 3] in ('"""', "'''") and len(text) >= start + 6 else 1
    return text[:start].lower(), text[start + width : -width]


def _escaped(code: str) -> str:
    if len(code) == 3 and code.isdigit():
        return chr(int(code, 8))
    if len(code) > 1:
        number = int(code[1:], 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise ValueError(f"\\{code} is not a character; write another escape")
        return chr(number)
    if code not in _ESCAPES:
        raise ValueError(rf"\{code} is not an escape; write \\{code}, or a raw string r'…'")
    return _ESCAPES[code]


_LITERALS: dict[str, Callable[[str], Any]] = {
    "INT_LIT": _integer,
    "UINT_LIT": _unsigned,
    "FLOAT_LIT": float,
    "STRING_LIT": _string,
    "MLSTRING_LIT": _string,
    "BYTES_LIT": _bytes,
    "BOOL_LIT": lambda text: text == "true",
    "NULL_LIT": lambda text: None,
}
_WRAPPERS = {
    *("expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication"),
    *("unary", "member", "primary", "paren_expr"),
}  # with one child they are that child
_READERS: dict[str, Callable[[Any, int], Node]] = {
    "expr": _choose,
    "conditionalor": _chain("or"),
    "conditionaland": _chain("and"),
    "relation": _binary("compare", _RELATIONS),
    "addition": _binary("arithmetic", _ARITHMETIC),
    "multiplication": _binary("arithmetic", _ARITHMETIC),
    "unary": _unary,
    "member": _refuse("this", "remove it"),
    "primary": _refuse("this", "remove it"),
    "paren_expr": _refuse("this", "remove it"),
    "member_dot": _select,
    "member_index": _index,
    "member_dot_arg": _method,
    "member_object": _refuse("a message", "compare its fields one by one"),
    "ident": _name,
    "ident_arg": _function,
    "dot_ident": _refuse("a leading dot", "remove it"),
    "dot_ident_arg": _refuse("a leading dot", "remove it"),
    "list_lit": _list,
    "map_lit": _map,
    "literal": _literal,
}
