"""Pure module: names in, names out; no I/O, and no name is ever taken apart again."""

import hashlib
import re
from fnmatch import fnmatchcase
from typing import Final

MAX_LENGTH: Final = 64
CUT_LENGTH: Final = 55  # leaves room for "_" and 8 digits of the digest

_FIT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")
_SCHEME: Final = re.compile(r"[^A-Za-z0-9+.-]")


def exposed_name(prefix: str, name: str, server: str, tool: str) -> str:
    """The name that clients see: ``prefix_name``, or ``name`` where ``prefix`` is empty, made to fit.

    ``server`` and ``tool`` are the server's name in the config and its own name of the tool: a name that is cut ends
    in a digest of them, so that two long names stay two.
    """
    fitted = _UNFIT.sub("_", f"{prefix}_{name}" if prefix else name)
    if fitted[:1].isdigit() or not _FIT.match(fitted):  # a digit, a dash, or nothing at all in front
        fitted = f"_{fitted}"
    if len(fitted) <= MAX_LENGTH:
        return fitted
    digest = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()
    return f"{fitted[:CUT_LENGTH]}_{digest[:8]}"


def selected(name: str, include: list[str], exclude: list[str]) -> bool:
    """Tell whether the globs let ``name`` in; an exclude wins. Case counts."""
    return any(fnmatchcase(name, glob) for glob in include) and not any(fnmatchcase(name, glob) for glob in exclude)


def marked_uri(server: str, uri: str) -> str:
    """The form under which a URI that another server lists too appears: ``<server>+<uri>``.

    RFC 3986 §3.1: a scheme begins with a letter and holds letters, digits, ``+``, ``-`` and ``.``.
    """
    scheme = _SCHEME.sub("-", server)
    return f"{scheme if scheme[:1].isalpha() else f'x{scheme}'}+{uri}"
