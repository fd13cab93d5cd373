"""Pure: whether a URI is written in the one form that names cannot hide behind (RFC 3986 §6.2.2)."""

import re
from typing import Final

_PARTS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_DISGUISED: Final = re.compile(r"%2e|%2f|%5c|%00", re.IGNORECASE)  # dots and slashes that only a decoder sees
_NEEDLESS: Final = re.compile(r"%(?:2d|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])", re.IGNORECASE)  # RFC 3986 §2.3
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")


def is_normal(uri: str) -> bool:
    """Tell whether ``uri`` is in normal form.

    It has a scheme; scheme and host are lower-case; the path has no ``.`` or ``..`` segment and no backslash; nothing
    in authority or path is an encoded dot, slash, backslash or NUL; no letter, digit, ``-``, ``_`` or ``~`` is encoded
    anywhere; there is no white space and no control character.
    """
    found = _PARTS.fullmatch(uri)
    if found is None or _CONTROL.search(uri) or _NEEDLESS.search(uri):
        return False
    scheme, authority, path = found[1], found[2] or "", found[3]
    if scheme != scheme.lower() or authority != authority.lower():
        return False
    if _DISGUISED.search(authority + path) or "\\" in path:
        return False
    return not {".", ".."} & set(path.split("/"))
