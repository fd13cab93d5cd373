"""Everything that an upstream offers, read page by page and vetted item by item; one bad item costs only itself."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upstreams.errors import ErrorReply
from upstreams.negotiation import Peer

log = logging.getLogger("onegate.upstream")

MAX_ITEMS: Final = 10_000  # of one kind; more is a fault or an attack
MAX_PAGES: Final = 1_000
MAX_NAME: Final = 1_024
METHOD_NOT_FOUND: Final = -32601

# Control, zero-width, bidirectional, tag and variation characters: they hide text from people, not from models.
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_BREAK: Final = re.compile("[\t\n\r\u2028\u2029]")  # fine in a description; a name is one line

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of thing is listed: method, key of the result, key that names an item, capability."""

    method: str
    key: str
    name: str
    capability: str


KINDS: Final = {
    "tools": Kind("tools/list", "tools", "name", "tools"),
    "prompts": Kind("prompts/list", "prompts", "name", "prompts"),
    "resources": Kind("resources/list", "resources", "uri", "resources"),
    "templates": Kind("resources/templates/list", "resourceTemplates", "uriTemplate", "resources"),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What one upstream offers, in its own order and names. Immutable: a refresh makes a new one."""

    items: Mapping[str, tuple[Item, ...]] = field(default_factory=lambda: dict.fromkeys(KINDS, ()))
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    instructions: str | None = None
    ttl: Mapping[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[Item, ...]:
        """The items of one kind: a key of `KINDS`."""
        return self.items.get(kind, ())


async def read_listing(name: str, peer: Peer, known: Listing, kinds: frozenset[str] = frozenset(KINDS)) -> Listing:
    """Read the given kinds anew and keep the rest of ``known``; a kind that cannot be read keeps what was known.

    Raises `ConnectionLost` when the connection ends meanwhile.
    """
    items, ttl = dict(known.items), dict(known.ttl)
    for kind in KINDS:
        if kind not in kinds:
            continue
        if KINDS[kind].capability not in peer.capabilities:
            items[kind] = ()
            continue
        try:
            items[kind], ttl[kind] = await read_kind(name, kind, peer.request)
        except ErrorReply as exc:
            if exc.code == METHOD_NOT_FOUND:
                items[kind] = ()
            if kind != "templates" or exc.code != METHOD_NOT_FOUND:  # many servers have resources and no templates
                log.warning("%s: %s failed: %s", name, KINDS[kind].method, exc.message, extra={"upstream": name})
    return Listing(items, peer.capabilities, clean(peer.instructions) if peer.instructions else None, ttl)


async def read_kind(
    server: str, kind: str, request: Callable[[str, Item], Awaitable[dict[str, Any]]]
) -> tuple[tuple[Item, ...], int]:
    """Read all pages of one kind; returns the entries and how long they are fresh, in milliseconds.

    Paging ends at a cap or when a cursor comes again, with a warning.
    """
    how, good, seen = KINDS[kind], dict[str, Item](), set[str]()
    params: Item = {}
    ttl: int | None = None
    for _ in range(MAX_PAGES):
        result = await request(how.method, params)
        fresh = result.get("ttlMs")  # MCP 2026-07-28, basic/caching; an older server says nothing: not fresh at all
        fresh = fresh if type(fresh) is int and fresh > 0 else 0
        ttl = fresh if ttl is None else min(ttl, fresh)
        page = result.get(how.key)
        for raw in page if isinstance(page, list) else []:
            reason = _fault(kind, how.name, raw) or ("listed twice" if raw[how.name] in good else None)
            if reason is not None:
                label = raw.get(how.name) if isinstance(raw, dict) else None
                log.warning("%s: left out a malformed entry of %s (%.80r): %s", server, how.method, label, reason)
                continue
            good[raw[how.name]] = _cleaned(raw)
            if len(good) >= MAX_ITEMS:
                log.warning("%s: %s: more than %d entries; the rest is left out", server, how.method, MAX_ITEMS)
                return tuple(good.values()), ttl or 0
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str):
            return tuple(good.values()), ttl or 0
        if cursor in seen:
            log.warning("%s: %s: its cursor came a second time; paging ends here", server, how.method)
            return tuple(good.values()), ttl or 0
        seen.add(cursor)
        params = {"cursor": cursor}
    log.warning("%s: %s: more than %d pages; the rest is left out", server, how.method, MAX_PAGES)
    return tuple(good.values()), ttl or 0


def clean(text: str) -> str:
    """Remove the characters that a person does not see."""
    return _HIDDEN.sub("", text) if _HIDDEN.search(text) else text


def _fault(kind: str, name_key: str, raw: Any) -> str | None:
    """Why an entry cannot be used, or None."""
    if not isinstance(raw, dict):
        return "not an object"
    name = raw.get(name_key)
    if not isinstance(name, str) or not name or len(name) > MAX_NAME:
        return f"{name_key} is not a text of 1 to {MAX_NAME} characters"
    if _HIDDEN.search(name) or _BREAK.search(name):
        return f"{name_key} holds invisible characters"
    if kind == "tools" and not isinstance(raw.get("inputSchema"), dict):
        return "inputSchema is not an object"
    for key in ("description", "title"):
        if raw.get(key) is not None and not isinstance(raw[key], str):
            return f"{key} is not a text"
    meta = raw.get("_meta")
    return None if meta is None or isinstance(meta, dict) else "_meta is not an object"


def _cleaned(raw: Item) -> Item:
    """Copy an entry with hidden characters removed from every description and title, however deep."""
    cleaned: Item = _clean_texts(raw)
    return cleaned


def _clean_texts(node: Any) -> Any:
    if isinstance(node, list):
        return [_clean_texts(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: clean(value) if key in ("description", "title") and isinstance(value, str) else _clean_texts(value)
        for key, value in node.items()
    }
