"""The functions that rules may call, as tables of how many operands they take; regular expressions are RE2's."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from policies import cel_values as values
from policies.cel_syntax import Node, RuleError
from policies.cel_values import EvaluationError, Spend

Function = tuple[int, Callable[..., Any]]


def compile_pattern(node: Node) -> Callable[[Any, Spend], bool]:
    """`matches` with its pattern, a literal: checked at load, and never built of input."""
    if node.kind != "literal" or type(node.value) is not str:
        raise RuleError("the pattern of matches must be a literal string; write it into the rule", node.position)
    import re2  # type: ignore[import-untyped]  # RE2 runs in linear time; only rules with a pattern pay for loading it

    options = re2.Options()
    options.log_errors = False
    try:
        pattern = re2.compile(node.value, options)
    except re2.error as error:
        raise RuleError(
            f"the pattern is no regular expression of RE2: {_words(error)}; mend it", node.position
        ) from None

    def matches(text: Any, spend: Spend) -> bool:
        if type(text) is not str:
            raise EvaluationError("no such overload")
        spend(len(text) >> 6)
        return pattern.search(text) is not None

    return matches


def _words(error: Exception) -> str:
    word = error.args[0] if error.args else ""
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _dyn(value: Any, spend: Spend) -> Any:
    return value


_SIZE: Final[Function] = (1, values.size)
_MATCHES: Final[Function] = (2, compile_pattern)

FUNCTIONS: Final[Mapping[str, Function]] = {
    "size": _SIZE,
    "matches": _MATCHES,
    "dyn": (1, _dyn),
    "type": (1, values.type_of),
    "int": (1, values.to_int),
    "uint": (1, values.to_uint),
    "double": (1, values.to_double),
    "string": (1, values.to_string),
    "bool": (1, values.to_bool),
    "bytes": (1, values.to_bytes),
}
METHODS: Final[Mapping[str, Function]] = {
    "size": _SIZE,
    "matches": _MATCHES,
    "contains": (2, values.on_strings(lambda text, part: part in text)),
    "startsWith": (2, values.on_strings(str.startswith)),
    "endsWith": (2, values.on_strings(str.endswith)),
}
