"""JSON bytes to values and back, exact and strict; knows nothing of MCP, of transports or of who sent the bytes."""

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import orjson

INT64_MIN: Final = -(2**63)
UINT64_MAX: Final = 2**64 - 1

_DIGITS_TO_ZERO: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19  # the shortest integer that may not fit 64 bits has 19 digits
_LONG_TEXT: Final = 16_384  # bytes beyond which it pays to look at the values first
_BYTES_A_VALUE: Final = 512  # so many bytes are looked through in the time that looking at one value takes


class BigInt(int):
    """An integer beyond 64 bits: orjson has none, so it travels as its own kind and is written digit by digit."""


Fragment = orjson.Fragment


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """Parse one JSON text (RFC 8259).

    Integers of any size stay exact. NaN, Infinity, numbers beyond a double, invalid UTF-8, lone surrogates and
    nesting over 1,000 raise ValueError. Of a duplicated key the last one stays, and only it is ever seen.
    """
    value = orjson.loads(data)  # JSONDecodeError is a ValueError
    if len(data) > _LONG_TEXT and _small_numbers_only(value, len(data) // _BYTES_A_VALUE):
        return value
    raw = data.encode() if isinstance(data, str) else bytes(data) if isinstance(data, memoryview) else data
    # `in` would try the bytes as one number first, at four times the cost.
    if raw.translate(_DIGITS_TO_ZERO).find(_LONG_NUMBER) >= 0 and not _small_numbers_only(value, len(data)):
        return _loads_exact(raw)
    return value


def _small_numbers_only(value: Any, most: int) -> bool:
    """Whether ``value`` surely holds no integer beyond 64 bits; False, too, where it holds more than ``most`` values.

    What is long is mostly one long text, which this does not read. orjson makes such an integer a float, of at least
    2**63 either way.
    """
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, (dict, list)):
            most -= len(node)
            if most < 0:
                return False
            left += _children(node)
        elif isinstance(node, float) and not INT64_MIN < node < -INT64_MIN:
            return False
    return True


def dumps(value: Any) -> bytes:
    """Encode ``value``; `Fragment`s are copied in as they are, `BigInt`s digit by digit."""
    return orjson.dumps(value, _write_special, orjson.OPT_PASSTHROUGH_SUBCLASS)


def canonical(value: Any) -> bytes:
    """Encode ``value`` so that equal values of equal types are equal bytes: `1`, `1.0` and `true` differ."""
    return orjson.dumps(value, _write_special, orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_SORT_KEYS)


def too_deep(raw: bytes, value: Any, limit: int) -> bool:
    """Tell whether ``value``, parsed from ``raw``, nests deeper than ``limit``. Counting brackets settles most."""
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    level = [value]
    for _ in range(limit):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _loads_exact(raw: bytes | bytearray) -> Any:
    try:
        return json.loads(raw, parse_int=_parse_int, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _parse_int(digits: str) -> int:
    number = int(digits)  # ValueError over sys.get_int_max_str_digits(): quadratic work is refused
    return number if INT64_MIN <= number <= UINT64_MAX else BigInt(number)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _write_special(value: Any) -> Any:
    if isinstance(value, int):
        return Fragment(str(int(value)).encode())
    raise TypeError(f"{type(value).__name__} is not JSON")
