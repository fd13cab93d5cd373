"""From nodes to functions that evaluate them, with the checks that a rule passes at load; does no input or output."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from policies.cel_functions import FUNCTIONS, METHODS, compile_pattern
from policies.cel_logic import And, Choose, Leaf, Logic, Not, Or, Remembered, Term, as_term
from policies.cel_macros import MACROS
from policies.cel_reading import Reads, dotted, is_declared
from policies.cel_syntax import Node, RuleError
from policies.cel_values import (
    TYPE_NAMES,
    EvaluationError,
    TypeName,
    at_index,
    calculate,
    compare,
    contained,
    equal,
    has_key,
    negate,
)
from policies.cel_variables import HEADERS, JWT, ROOTS, Variables

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TYPES: Final = {name: TypeName(name) for name in TYPE_NAMES.values()}


@dataclass(slots=True)
class Terms:
    """Makes functions of nodes and notes what they read. `local` is the variable of the macro it is in."""

    reads: Reads = field(default_factory=Reads)
    local: str | None = None

    def logic(self, node: Node) -> Logic:
        """The boolean tree of a rule; parts that read the caller alone are remembered."""
        maker = self._connectives().get(node.kind)
        if maker is None:
            return Leaf(self.term(node))
        return maker(tuple(self._part(part) for part in node.parts))

    def whole(self, node: Node) -> Logic:
        """The boolean tree of a whole rule."""
        return self._part(node)

    def term(self, node: Node) -> Term:
        """The function that evaluates one node; raises RuleError for what can never be evaluated."""
        return self._makers()[node.kind](node)

    def _connectives(self) -> dict[str, Callable[[tuple[Logic, ...]], Logic]]:
        return {"or": Or, "and": And, "not": lambda parts: Not(*parts), "choose": lambda parts: Choose(*parts)}

    def _part(self, node: Node) -> Logic:
        outer, self.reads = self.reads, Reads()
        logic = self.logic(node)
        inner, self.reads = self.reads, outer
        outer.include(inner)
        if self.local is None and inner.names and not inner.target:
            return Remembered(logic)
        return logic

    def _makers(self) -> dict[str, Callable[[Node], Term]]:
        return {
            **dict.fromkeys(("or", "and", "not"), lambda node: as_term(self.logic(node))),
            "choose": self._choose,
            "compare": self._compare,
            "in": self._in,
            "arithmetic": self._arithmetic,
            "negate": self._negate,
            "select": self._select,
            "index": self._index,
            "method": self._method,
            "function": self._function,
            "list": self._list,
            "map": self._map,
            "name": self._name,
            "literal": self._literal,
        }

    def _literal(self, node: Node) -> Term:
        value = node.value
        return lambda variables: value

    def _choose(self, node: Node) -> Term:
        condition, then, otherwise = (self.term(part) for part in node.parts)

        def choose(variables: Variables) -> Any:
            truth = condition(variables)
            if truth is True:
                return then(variables)
            if truth is False:
                return otherwise(variables)
            raise EvaluationError("the condition is no boolean")

        return choose

    def _compare(self, node: Node) -> Term:
        left, right = (self.term(part) for part in node.parts)
        if node.value in _ORDERS:
            holds = _ORDERS[node.value]
            return lambda variables: compare(holds, left(variables), right(variables))
        if node.value == "!=":
            return lambda variables: not equal(left(variables), right(variables), variables.spend)
        literal = node.parts[1]
        if literal.kind == "literal" and type(literal.value) is str:
            text = literal.value
            return lambda variables: bool(left(variables) == text)  # a string equals nothing but itself
        return lambda variables: equal(left(variables), right(variables), variables.spend)

    def _in(self, node: Node) -> Term:
        item, container = node.parts
        left = self.term(item)
        if item.kind == "literal" and type(item.value) is str and dotted(container) == HEADERS:
            return self.reads.has_header(item.value)
        right = self.term(container)
        values = [part.value for part in container.parts]
        if container.kind == "list" and all(p.kind == "literal" and type(p.value) is str for p in container.parts):
            return self._in_words(left, frozenset(values))
        return lambda variables: contained(left(variables), right(variables), variables.spend)

    def _in_words(self, left: Term, words: frozenset[str]) -> Term:
        def within(variables: Variables) -> bool:
            value = left(variables)
            return type(value) is str and value in words

        return within

    def _arithmetic(self, node: Node) -> Term:
        sign = node.value
        left, right = (self.term(part) for part in node.parts)
        return lambda variables: calculate(sign, left(variables), right(variables), variables.spend)

    def _negate(self, node: Node) -> Term:
        part = self.term(node.parts[0])
        return lambda variables: negate(part(variables))

    def _list(self, node: Node) -> Term:
        parts = [self.term(part) for part in node.parts]
        return lambda variables: [part(variables) for part in parts]

    def _map(self, node: Node) -> Term:
        keys = [part.value if part.kind == "literal" else None for part in node.parts[::2]]
        if not all(type(key) is str for key in keys) or len(set(keys)) < len(keys):
            raise RuleError("the keys of a map must be different strings; write them as literals", node.position)
        values = [self.term(part) for part in node.parts[1::2]]
        return lambda variables: {key: value(variables) for key, value in zip(keys, values, strict=True)}

    def _name(self, node: Node) -> Term:
        if node.value == self.local:
            return operator.attrgetter("item")
        if node.value in _TYPES:
            named = _TYPES[node.value]
            return lambda variables: named
        return self.reads.field(node, (node.value,))

    def _select(self, node: Node) -> Term:
        path = dotted(node)
        if path is not None and is_declared(path):
            return self.reads.field(node, path)
        name = node.value
        if dotted(node.parts[0]) == HEADERS and path is not None:
            return self.reads.header(name)
        operand = self._operand(node)

        def select(variables: Variables) -> Any:
            value = operand(variables)
            if type(value) is dict and name in value:
                return value[name]
            raise EvaluationError("no such key")

        return select

    def _operand(self, node: Node) -> Term:
        """What a field is selected of."""
        if dotted(node.parts[0]) == JWT:
            return self.reads.claim(node.value)
        return self.term(node.parts[0])

    def _index(self, node: Node) -> Term:
        operand, key = (self.term(part) for part in node.parts)
        return lambda variables: at_index(operand(variables), key(variables), variables.spend)

    def _function(self, node: Node) -> Term:
        if node.value == "has":
            return self._has(node)
        if node.value not in FUNCTIONS:
            raise RuleError(_unknown_function(node.value, FUNCTIONS), node.position)
        return self._call(node, FUNCTIONS[node.value])

    def _method(self, node: Node) -> Term:
        if node.value in MACROS:
            return self._macro(node)
        if node.value not in METHODS:
            raise RuleError(_unknown_function(node.value, METHODS), node.position)
        return self._call(node, METHODS[node.value])

    def _call(self, node: Node, function: tuple[int, Callable[..., Any]]) -> Term:
        count, apply = function
        if len(node.parts) != count:
            raise RuleError(f"{node.value} takes {count} operands here, not {len(node.parts)}; mend it", node.position)
        if node.value == "matches":
            apply = compile_pattern(node.parts[1])
        parts = [self.term(part) for part in node.parts]
        first = parts[0]
        if count == 1 or node.value == "matches":
            return lambda variables: apply(first(variables), variables.spend)
        second = parts[1]
        return lambda variables: apply(first(variables), second(variables), variables.spend)

    def _has(self, node: Node) -> Term:
        if len(node.parts) != 1 or node.parts[0].kind != "select":
            raise RuleError("has() takes one field, as in has(jwt.role)", node.position)
        selected = node.parts[0]
        path = dotted(selected)
        if path is not None and is_declared(path):
            value = self.reads.field(selected, path)
            return lambda variables: value(variables) not in ("", [], {}, None)  # as for fields of a message
        name = selected.value
        if path is not None and path[:-1] == HEADERS:
            return self.reads.has_header(name)
        operand = self._operand(selected)

        def has(variables: Variables) -> bool:
            mapping = operand(variables)
            if type(mapping) is not dict:
                raise EvaluationError("has() of something that is no map")
            return has_key(mapping, name, variables.spend)

        return has

    def _macro(self, node: Node) -> Term:
        if self.local is not None:
            raise RuleError(f"{node.value} stands in another macro; write two rules instead", node.position)
        if len(node.parts) != 3 or node.parts[1].kind != "name":
            raise RuleError(f"{node.value} takes a name and an expression: x.{node.value}(e, …)", node.position)
        over, name, body = node.parts
        if name.value in ROOTS or name.value in _TYPES:
            raise RuleError(f"{name.value} is taken; give the macro's variable another name", name.position)
        source = self.term(over)
        self.local = name.value
        try:
            made = self.term(body) if node.value == "map" else self.logic(body)
            return MACROS[node.value](source, made, sum(1 for _ in body.walk()))
        finally:
            self.local = None


def _unknown_function(name: str, known: Mapping[str, Any]) -> str:
    everything = [*FUNCTIONS, *METHODS, *MACROS, "has"]
    if name in everything:
        wanted = f"x.{name}(…)" if name in METHODS or name in MACROS else f"{name}(…)"
        return f"{name} is not called like this; write {wanted}"
    nearest = get_close_matches(name, everything, 1)
    return f"there is no function {name}; " + (f"did you mean {nearest[0]}?" if nearest else "use another")
