"""A short key of a JSON value in which `true`, `1`, `1.0` and `"1"` differ; pure."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

MAX_DEPTH: Final = 64  # what is deeper was refused long before


def fingerprint(value: Any) -> bytes:
    """The key of a value: equal for equal values of equal types, whatever the order of an object's members."""
    return blake2b(_encode(value, 0), digest_size=16).digest()


def _encode(value: Any, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        members = sorted(_encode(key, depth + 1) + _encode(item, depth + 1) for key, item in value.items())
        return _framed(b"{", b"".join(members))
    if isinstance(value, list | tuple):
        return _framed(b"[", b"".join([_encode(item, depth + 1) for item in value]))
    if isinstance(value, str):
        return _framed(b"s", value.encode("utf-8", "surrogatepass"))
    return _framed(type(value).__name__.encode(), repr(value).encode("utf-8", "surrogatepass"))


def _framed(kind: bytes, content: bytes) -> bytes:
    return b"%b%d:%b" % (kind, len(content), content)
