"""Pure: which URI template a URI was expanded from (RFC 6570); enough to route, never to take a URI apart.

The templates come from upstreams, so no regular expression is made of them: one with many wildcards could hold the
event loop for years. Instead the places of a URI that a template can have come to are kept as the bits of one number.
"""

import re
from functools import lru_cache
from typing import Final

MAX_TEMPLATE: Final = 2_000  # characters; a longer template is listed only
MAX_URI: Final = 8_192  # characters; what HTTP servers take

_EXPRESSION: Final = re.compile(r"\{([+#./;?&]?)[^{}]+\}")
_OPERATORS: Final = {
    "": ("", "/?#", 1),
    "+": ("", "", 1),
    "#": ("#", "", 0),
    ".": (".", "/?#", 1),
    "/": ("/", "?#", 0),
    ";": (";", "/?#", 0),
    "?": ("?", "#", 0),
    "&": ("&", "#", 0),
}
"""What an expression expands to: the character in front, those that cannot follow, and how many must follow."""
_MAY_BE_NOTHING: Final = frozenset("#/;?&")


def expands_to(template: str, uri: str) -> bool:
    """Tell whether ``uri`` can be an expansion of ``template``."""
    if len(template) > MAX_TEMPLATE or len(uri) > MAX_URI:
        return False
    literals, operators = _parts(template)
    if not uri.startswith(literals[0]):
        return False
    reached = 1 << len(literals[0])
    for operator, literal in zip(operators, literals[1:], strict=True):
        reached = _after_expression(reached, operator, uri)
        if literal:
            reached = (reached & _places(uri, literal)) << len(literal)
        if not reached:
            return False
    return bool(reached >> len(uri) & 1)


@lru_cache(maxsize=16_384)
def _parts(template: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The literals of a template, one more than it has expressions, and the expressions' operators."""
    pieces = _EXPRESSION.split(template)
    return tuple(pieces[::2]), tuple(pieces[1::2])


def _after_expression(reached: int, operator: str, uri: str) -> int:
    front, forbidden, least = _OPERATORS[operator]
    start = (reached & _places(uri, front)) << 1 if front else reached
    allowed = (1 << len(uri)) - 1 & ~_any_of(uri, forbidden)
    run, passable, step = start, allowed, 1
    while passable:  # after each round, runs of twice the length are bridged
        run |= (run & passable) << step
        passable &= passable >> step
        step *= 2
    if least:
        run = (run & allowed) << 1
    return run | reached if operator in _MAY_BE_NOTHING else run


def _any_of(uri: str, characters: str) -> int:
    places = 0
    for one in characters:
        places |= _places(uri, one)
    return places


@lru_cache(maxsize=256)
def _places(uri: str, literal: str) -> int:
    """A number whose bits tell at which places of ``uri`` the literal stands."""
    places, at = 0, uri.find(literal)
    while at >= 0:
        places |= 1 << at
        at = uri.find(literal, at + 1)
    return places
