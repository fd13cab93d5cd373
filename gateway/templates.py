"""Pure: which URI template a URI was expanded from (RFC 6570); enough to route, never to take a URI apart."""

import re
from functools import lru_cache
from typing import Final

_EXPRESSION: Final = re.compile(r"\{([+#./;?&]?)([^{}]+)\}")
_MATCHES: Final = {
    "": r"[^/?#]+",
    "+": r".+",
    "#": r"(?:#.*)?",
    ".": r"\.[^/?#]+",
    "/": r"(?:/[^/?#]+)*",
    ";": r"(?:;[^/?#]*)*",
    "?": r"(?:\?[^#]*)?",
    "&": r"(?:&[^#]*)?",
}
MAX_LENGTH: Final = 2_000  # of a template that is matched; a longer one is listed only


@lru_cache(maxsize=4096)
def _pattern(template: str) -> re.Pattern[str]:
    parts, end = list[str](), 0
    for found in _EXPRESSION.finditer(template):
        parts += [re.escape(template[end : found.start()]), _MATCHES[found[1]]]
        end = found.end()
    return re.compile("".join([*parts, re.escape(template[end:])]), re.DOTALL)


def expands_to(template: str, uri: str) -> bool:
    """Tell whether ``uri`` can be an expansion of ``template``."""
    return len(template) <= MAX_LENGTH and _pattern(template).fullmatch(uri) is not None
