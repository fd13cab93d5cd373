"""What CEL's operators and functions mean for plain JSON values; pure, knows no rules and no variables.

Values are Python's own: bool, int, Uint, float, str, bytes, list, dict, None. Equality never fails: values of different
types differ, and numbers compare by value (CEL specification, "Equality"). All other operators refuse what they are not
made for.
"""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False"), False),
}


class EvaluationError(Exception):
    """An operation that has no value: a missing key, types that do not fit, an overflow, a division by zero."""


class OutOfWork(Exception):
    """The decision did all the work that one decision may do; nothing in a rule may turn this into a value."""


class Uint(int):
    """A 64-bit number without sign, which rules write as `1u`."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """What `type(x)` gives, and what `int`, `string` and their kin stand for in a rule."""

    name: str


Spend = Callable[[int], None]
NUMBERS: Final = frozenset({int, Uint, float})
TYPE_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    type(None): "null_type",
    TypeName: "type",
}
_ORDERED = frozenset({str, bytes, bool})
_JOINED = frozenset({str, bytes, list})
_WHOLE: dict[type, tuple[int, int]] = {int: (INT_MIN, INT_MAX), Uint: (0, UINT_MAX)}


def equal(left: Any, right: Any, spend: Spend) -> bool:
    """CEL's `==`: false for different types, by value across numbers, deep for lists and maps."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return bool(left == right)
    if kind is not other:
        return False
    if kind is list:
        spend(min(len(left), len(right)))
        return len(left) == len(right) and all(equal(a, b, spend) for a, b in zip(left, right, strict=True))
    if kind is dict:
        spend(min(len(left), len(right)))
        return len(left) == len(right) and all(
            has_key(right, key, spend) and equal(value, at_key(right, key, spend), spend) for key, value in left.items()
        )
    if kind is str or kind is bytes:
        spend(min(len(left), len(right)) >> 12)
    return bool(left == right)


def has_key(mapping: dict[Any, Any], key: Any, spend: Spend) -> bool:
    """Tell whether a map has a key; `true` is no key `1`, but `1` is a key `1.0`."""
    if type(key) is str:
        return key in mapping
    spend(len(mapping))
    return any(equal(key, other, spend) for other in mapping)


def at_key(mapping: dict[Any, Any], key: Any, spend: Spend) -> Any:
    """The value at a key, found as `has_key` finds it."""
    if type(key) is str:
        if key in mapping:
            return mapping[key]
    else:
        spend(len(mapping))
        for other, value in mapping.items():
            if equal(key, other, spend):
                return value
    raise EvaluationError("no such key")


def at_index(value: Any, key: Any, spend: Spend) -> Any:
    """CEL's `value[key]` for lists and maps."""
    if type(value) is dict:
        return at_key(value, key, spend)
    if type(value) is list and type(key) in _WHOLE and 0 <= key < len(value):
        return value[key]
    raise EvaluationError("no such index")


def contained(item: Any, container: Any, spend: Spend) -> bool:
    """CEL's `item in container`: an element of a list, a key of a map."""
    if type(container) is list:
        spend(len(container))
        return any(equal(item, other, spend) for other in container)
    if type(container) is dict:
        return has_key(container, item, spend)
    raise EvaluationError("no such overload")


def compare(holds: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """CEL's `<`, `<=`, `>`, `>=`: numbers among each other, else two values of one type that has an order."""
    kind, other = type(left), type(right)
    if (kind in NUMBERS and other in NUMBERS) or (kind is other and kind in _ORDERED):
        return bool(holds(left, right))
    raise EvaluationError("no such overload")


def calculate(sign: str, left: Any, right: Any, spend: Spend) -> Any:
    """CEL's arithmetic: two operands of one type; whole numbers stay within 64 bits or fail."""
    kind = type(left)
    if kind is not type(right):
        raise EvaluationError("no such overload")
    if kind in _WHOLE:
        return _whole(kind, _CALCULATIONS[sign](left, right))
    if kind is float and sign != "%":
        return _divide_doubles(left, right) if sign == "/" else _CALCULATIONS[sign](left, right)
    if kind in _JOINED and sign == "+":
        spend((len(left) + len(right)) >> (3 if kind is list else 8))
        return left + right
    raise EvaluationError("no such overload")


def negate(value: Any) -> Any:
    """CEL's unary minus, for signed numbers only."""
    if type(value) is int:
        return _whole(int, -value)
    if type(value) is float:
        return -value
    raise EvaluationError("no such overload")


def size(value: Any, spend: Spend) -> int:
    """Characters of a string, bytes, elements of a list, entries of a map."""
    if type(value) in (str, bytes, list, dict):
        return len(value)
    raise EvaluationError("no such overload")


def on_strings(test: Callable[[str, str], bool]) -> Callable[[Any, Any, Spend], bool]:
    """A function of two strings that refuses everything else."""

    def apply(text: Any, part: Any, spend: Spend) -> bool:
        if type(text) is not str or type(part) is not str:
            raise EvaluationError("no such overload")
        spend(len(text) >> 8)
        return test(text, part)

    return apply


def to_int(value: Any, spend: Spend) -> int:
    return int(_whole(int, _to_number(value)))


def to_uint(value: Any, spend: Spend) -> Uint:
    return Uint(_whole(Uint, _to_number(value)))


def to_double(value: Any, spend: Spend) -> float:
    if type(value) in NUMBERS or (type(value) is str and len(value) < 400 and _DOUBLE.fullmatch(value)):
        return float(value)
    raise EvaluationError("not a double")


def to_string(value: Any, spend: Spend) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is bytes:
        spend(len(value) >> 8)
        return value.decode()
    if type(value) in _WHOLE and INT_MIN <= value <= UINT_MAX:
        return str(int(value))
    if type(value) is float:
        return repr(value).removesuffix(".0")
    raise EvaluationError("no such overload")


def to_bool(value: Any, spend: Spend) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value in _BOOLEANS:
        return _BOOLEANS[value]
    raise EvaluationError("not a boolean")


def to_bytes(value: Any, spend: Spend) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is str:
        spend(len(value) >> 8)
        return value.encode()
    raise EvaluationError("no such overload")


def type_of(value: Any, spend: Spend) -> TypeName:
    if type(value) in TYPE_NAMES:
        return TypeName(TYPE_NAMES[type(value)])
    raise EvaluationError("a value of no CEL type")


def _to_number(value: Any) -> int:
    if type(value) in _WHOLE:
        return int(value)
    if type(value) is float and math.isfinite(value):
        return math.trunc(value)
    if type(value) is str and _INTEGER.fullmatch(value):
        return int(value)
    raise EvaluationError("not a whole number")


def _whole(kind: type, value: int) -> Any:
    lowest, highest = _WHOLE[kind]
    if not lowest <= value <= highest:
        raise EvaluationError("overflow")
    return kind(value)


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    whole = abs(left) // abs(right)
    return whole if (left < 0) == (right < 0) else -whole  # towards zero


def _divide_doubles(left: float, right: float) -> float:
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)  # IEEE 754


_CALCULATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
    "%": lambda left, right: left - right * _quotient(left, right),
}
