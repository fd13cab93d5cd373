"""Pure: the one form of a URI that names cannot hide behind (RFC 3986 §6.2.2), and other spellings of the same one."""

import re
from typing import Final
from urllib.parse import quote

_PARTS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_DISGUISED: Final = re.compile(r"%2F|%5C|%00")  # slashes that only a decoder sees
_PLAIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]*:(?://[a-z0-9.:_-]*|(?!//))(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~@:!$&'()*+,;=-]*)*"
)  # most URIs are surely normal, and a door may list ten thousand of them
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")  # RFC 3986 §2.3
_ODD_ESCAPE: Final = re.compile(
    r"%(?![0-9A-F]{2})"  # none, or in lower case
    r"|%(?:2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])"  # needless
)
_NO_URI: Final = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{|}]")  # what only an IRI holds (RFC 3987 §3.1), or nothing
_READABLE: Final = re.compile(r"(?:%[89A-F][0-9A-F])+|%(?:2[02]|3[CE]|5[CE]|60|7[BCD])")  # the same, encoded


def is_normal(uri: str) -> bool:
    """Tell whether ``uri`` is in normal form.

    It has a scheme, and only characters of URIs; scheme and host are lower-case; the path has no ``.`` or ``..``
    segment; nothing in authority or path is an encoded slash, backslash or NUL; escapes are complete and upper-case,
    and no letter, digit, ``-``, ``.``, ``_`` or ``~`` is encoded anywhere.
    """
    found = _PARTS.fullmatch(uri)
    if found is None or _NO_URI.search(uri) or _ODD_ESCAPE.search(uri):
        return False
    scheme, authority, path = found[1], found[2] or "", found[3]
    if scheme != scheme.lower() or authority != _lower(authority):
        return False
    if _DISGUISED.search(authority + path):
        return False
    return not {".", ".."} & set(path.split("/"))


def spellings(uri: str) -> tuple[str, ...]:
    """How rules may write a URI beside its own spelling: in normal form, and as the IRI that people read.

    Empty for most. Dot segments stay: who lists a URI with them means just that one.
    """
    if _PLAIN.fullmatch(uri) or ("%" not in uri and is_normal(uri)):
        return ()
    normal = normal_form(uri)
    return tuple(one for one in dict.fromkeys((normal, _READABLE.sub(_read, normal))) if one != uri)


def normal_form(uri: str) -> str:
    """A URI or IRI with scheme and host in lower case and every character encoded as it must be (RFC 3987 §3.1)."""
    found = _PARTS.fullmatch(uri)
    if found is not None:
        end = found.end(1 if found[2] is None else 2)
        uri = _lower(uri[:end]) + uri[end:]
    encoded = _NO_URI.sub(lambda raw: quote(raw[0], safe="", errors="replace"), uri)
    return _ESCAPE.sub(_needed, encoded)


def _lower(text: str) -> str:
    """Lower-case but for escapes, whose upper case is the normal one."""
    return _ESCAPE.sub(lambda escape: escape[0].upper(), text.lower())


def _needed(escape: "re.Match[str]") -> str:
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _read(escapes: "re.Match[str]") -> str:
    try:
        return bytes.fromhex(escapes[0].replace("%", "")).decode("utf-8")
    except ValueError:
        return escapes[0]
