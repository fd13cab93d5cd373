"""Immutable: what each door shows and where each name leads. Names are looked up, never parsed."""

import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from gateway.arguments import Check, checker, transformed
from gateway.templates import expands_to
from gateway.uris import spellings
from policies.model import Target
from upstreams import wire
from upstreams.config import ArgumentsConfig
from upstreams.headers import Path

if TYPE_CHECKING:
    from policies.rules import Standing

Item = dict[str, Any]
Shape = Callable[[Item], Item]

KINDS: Final = ("tools", "prompts", "resources", "templates")
POINTER_BYTES: Final = 8
SHAPES: Final = 4  # in which a list is written: one for each of two eras, and two that only the tool API has


@dataclass(frozen=True)
class ToolRoute:
    """Where a tool call goes. ``limits`` are the timeout and the most that progress extends it to, in seconds."""

    server: str
    own_name: str
    shown: Item
    schema: dict[str, Any]
    limits: tuple[float, float]
    canonical: str = ""
    """Its name where everything is shown, whatever the door: what key filters and limits go by."""
    validate: bool = True
    arguments: ArgumentsConfig | None = None
    parameters: Mapping[Path, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def target(self) -> Target:
        """The tool as rules see it: under its server's own name."""
        annotations = self.shown.get("annotations")
        return Target("tool", self.server, self.own_name, annotations if isinstance(annotations, dict) else {})

    @property
    def known_as(self) -> str:
        """What operators know it by, at every door."""
        return self.canonical

    @cached_property
    def check(self) -> Check:
        """The compiled check of this tool's arguments; made at the first call."""
        return checker(f"{self.server}'s tool {self.own_name}", self.schema)

    @cached_property
    def mirrored(self) -> Mapping[Path, tuple[str, str]]:
        """The parameters that callers repeat in headers; of those that the config sets they do not know."""
        hidden = self.arguments.set if self.arguments is not None else {}
        return {path: one for path, one in self.parameters.items() if path[0] not in hidden}

    def outgoing(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the upstream gets them."""
        return arguments if self.arguments is None else transformed(arguments, self.arguments)


@dataclass(frozen=True)
class Route:
    """Where a prompt, resource or template leads: its server, the server's own name or URI, and what clients see."""

    server: str
    own_name: str
    shown: Item

    @property
    def known_as(self) -> str:
        """What operators know it by, at every door."""
        return self.own_name


@dataclass(frozen=True)
class Door:
    """One address of the gateway: its tools, prompts, resources and templates, by the names that clients use there."""

    path: str
    servers: tuple[str, ...]
    tools: Mapping[str, ToolRoute]
    prompts: Mapping[str, Route]
    resources: Mapping[str, Route]
    templates: Mapping[str, Route]
    marked: Mapping[str, Mapping[str, str]]
    """For each server the own URIs that appear here under another form, and that form."""
    ttl: Mapping[str, int]
    """For each kind how long its list is fresh, in milliseconds: as long as the shortest of its parts."""
    generations: Mapping[str, int]
    """For each kind the number of its list: equal numbers at a door mean equal lists."""
    view: str = ""
    """Whose view of the door this is; empty for the whole one."""
    whole: "Door | None" = field(default=None, compare=False, repr=False)
    """The door of which this is a view: they share their encoded entries."""

    @cached_property
    def standings(self) -> dict[Hashable, "Standing"]:
        """Of a view: what its rules say of the tools that were called, whatever the arguments."""
        return {}

    @cached_property
    def generation(self) -> tuple[int, ...]:
        """The numbers of all its lists."""
        return tuple(self.generations.values())

    @cached_property
    def _lists(self) -> dict[tuple[str, Shape], list[bytes]]:
        return {}

    @cached_property
    def _ends(self) -> dict[tuple[str, Shape, int, int | None], int]:
        """Where each page ends; there are as many as pages, as a start is 0 or where another one ended."""
        return {}

    @cached_property
    def _encoded(self) -> dict[tuple[str, Shape], dict[str, bytes]]:
        return {}

    @property
    def own_bytes(self) -> int:
        """About how much memory a view takes beside the whole door: its tables, and a pointer for each entry listed."""
        tables = [self.routes(kind) for kind in KINDS]
        return sum(sys.getsizeof(table) + POINTER_BYTES * SHAPES * len(table) for table in tables)

    def routes(self, kind: str) -> Mapping[str, Any]:
        """The routes of one kind, in the order of the list."""
        table: Mapping[str, Any] = getattr(self, kind)
        return table

    def page(self, kind: str, shape: Shape, start: int, limit: int | None) -> tuple[wire.Fragment, int | None]:
        """Encode the entries from ``start`` on, at most ``limit`` bytes (one entry at least).

        Returns the JSON array and the index where the next page starts, None at the end.
        """
        entries = self._entries(kind, shape)
        key = (kind, shape, start, limit)
        end = self._ends.get(key)
        if end is None:
            end = self._ends[key] = _end(entries, start, limit)
        return wire.Fragment(b"[%b]" % b",".join(entries[start:end])), end if end < len(entries) else None

    def resource(self, uri: str) -> tuple[str, str] | None:
        """Find the server of a URI and the URI as that server knows it; listed ones first, then templates."""
        route = self.resources.get(uri)
        if route is not None:
            return route.server, route.own_name
        for template, found in self.templates.items():
            if expands_to(template, uri):
                extra = len(template) - len(found.own_name)  # the mark in front of a template is in front of its URIs
                return found.server, uri[extra:]
        return None

    @cached_property
    def respelled(self) -> frozenset[tuple[str, str]]:
        """By server the other spellings of what is listed: to be read as it is listed, or not at all."""
        listed = {(route.server, route.own_name) for route in self.resources.values()}
        return frozenset((server, one) for server, uri in listed for one in spellings(uri)) - listed

    def outward(self, server: str, uri: str) -> str:
        """The form in which a server's own URI appears here."""
        return self.marked.get(server, {}).get(uri, uri)

    def same_list(self, other: "Door", kind: str) -> bool:
        """Tell whether this door, in another catalog, shows the same list of this kind."""
        return self.generations[kind] == other.generations[kind]

    def _entries(self, kind: str, shape: Shape) -> list[bytes]:
        key = (kind, shape)
        if key not in self._lists:
            known = (self.whole or self)._encoded.setdefault(key, {})
            for name, route in self.routes(kind).items():
                if name not in known:
                    known[name] = wire.dumps(shape(route.shown))
            self._lists[key] = [known[name] for name in self.routes(kind)]
        return self._lists[key]


def _end(entries: list[bytes], start: int, limit: int | None) -> int:
    """Behind the last of the entries from ``start`` on that one page has."""
    if limit is None:
        return len(entries)
    end, size = start, 0
    while end < len(entries) and (end == start or size + len(entries[end]) < limit):
        size += len(entries[end]) + 1
        end += 1
    return end


@dataclass(frozen=True)
class Catalog:
    """All doors by their path. A change makes a new catalog; requests under way keep the one they began with."""

    doors: Mapping[str, Door]
