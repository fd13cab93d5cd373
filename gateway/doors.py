"""Builds the catalog from the config and the listings: doors, names, collisions, overrides. Pure but for warnings."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from gateway.arguments import shown_schema
from gateway.catalog import KINDS, Catalog, Door, Item, Route, ToolRoute
from gateway.config import Config
from gateway.names import exposed_name, marked_uri, selected
from upstreams.config import ServerEntry, ToolOverride
from upstreams.headers import annotated_parameters, without_annotations
from upstreams.listing import Listing

log = logging.getLogger("onegate.mcp")

DEFAULT_PATH: Final = "/mcp"


@dataclass(frozen=True, slots=True)
class DoorPlan:
    """What the config says of one door. ``prefixed`` tells whether names carry their server's prefix."""

    path: str
    servers: tuple[str, ...]
    prefixed: bool
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    timeout: float | None = None


def plan_doors(config: Config) -> dict[str, DoorPlan]:
    """List the doors of a config by path: everything, one for each server, and the configured routes."""
    every = tuple(config.servers)
    plans = [DoorPlan(config.server.path, every, True)] if config.server.path is not None else []
    if config.server.per_server_doors:
        base = (config.server.path or DEFAULT_PATH).rstrip("/")
        plans += [DoorPlan(f"{base}/{quote(name, safe='')}", (name,), False) for name in every]
    for path, route in config.routes.items():
        prefixed = route.prefix == "always" or (route.prefix == "auto" and len(route.upstreams) > 1)
        tools = route.tools
        servers = tuple(name for name in route.upstreams if name in config.servers)
        plans.append(DoorPlan(path, servers, prefixed, tuple(tools.include), tuple(tools.exclude), route.timeout))
    return {plan.path: plan for plan in plans}


class CatalogBuilder:
    """Makes one catalog after another; remembers which collisions it has warned of."""

    def __init__(self, config: Config, former: "CatalogBuilder | None" = None) -> None:
        self._entries = config.servers
        self._plans = plan_doors(config)
        self._warned: set[tuple[str, ...]] = set()
        self._generation: int = former._generation if former is not None else 0  # a number never means two lists

    def build(self, listings: Mapping[str, Listing], changed: str, previous: Catalog, owners: Catalog) -> Catalog:
        """Build anew the doors of one server that ``changed``, from the listings of all servers.

        A name stays with whoever has it in ``owners``: ``previous``, or `empty` for the config's order to decide.
        """
        self._generation += 1
        doors: dict[str, Door] = {}
        for path, plan in self._plans.items():
            before = previous.doors[path]
            if changed not in plan.servers:
                doors[path] = before
                continue
            door = self._door(plan, listings, owners.doors[path])
            kept = {kind: before.generations[kind] for kind in KINDS if _same_list(before, door, kind)}
            doors[path] = replace(door, generations={**door.generations, **kept})
        return Catalog(doors)

    def rebuild(self, listings: Mapping[str, Listing], previous: Catalog) -> Catalog:
        """Build every door after another config's catalog; names stay with whoever has them there."""
        self._generation += 1
        doors = {}
        for path, plan in self._plans.items():
            before = previous.doors.get(path, _closed(plan))
            door = self._door(plan, listings, before)
            kept = {kind: before.generations[kind] for kind in KINDS if _same_list(before, door, kind)}
            doors[path] = replace(door, generations={**door.generations, **kept})
        return Catalog(doors)

    def empty(self) -> Catalog:
        """The catalog before any server was seen."""
        return Catalog({path: _closed(plan) for path, plan in self._plans.items()})

    def _door(self, plan: DoorPlan, listings: Mapping[str, Listing], before: Door) -> Door:
        present = [(self._entries[name], listings[name]) for name in plan.servers if name in listings]
        offers = [offer for entry, listing in present for offer in self._tools(plan, entry, listing)]
        prompts = [offer for entry, listing in present for offer in self._prompts(plan, entry, listing)]
        marked: dict[str, dict[str, str]] = {}
        return Door(
            path=plan.path,
            servers=plan.servers,
            tools=self._settle(plan, "tool", offers, before.tools),
            prompts=self._settle(plan, "prompt", prompts, before.prompts),
            resources=_uris(present, "resources", "uri", before.resources, marked),
            templates=_uris(present, "templates", "uriTemplate", before.templates, marked),
            marked=marked,
            ttl={kind: min((one.ttl.get(kind, 0) for _, one in present), default=0) for kind in KINDS},
            generations=dict.fromkeys(KINDS, self._generation),
        )

    def _tools(self, plan: DoorPlan, entry: ServerEntry, listing: Listing) -> Iterator[tuple[str, ToolRoute]]:
        for item in listing.of("tools"):
            own = item["name"]
            if not selected(own, entry.tools.include, entry.tools.exclude):
                continue
            if not selected(own, list(plan.include), list(plan.exclude)):
                continue
            route = self._tool(plan, entry, item)
            if route is not None:
                yield route.shown["name"], route

    def _tool(self, plan: DoorPlan, entry: ServerEntry, item: Item) -> ToolRoute | None:
        own, override = item["name"], entry.tools.overrides.get(item["name"], ToolOverride())
        schema = item["inputSchema"]
        try:
            parameters = annotated_parameters(schema)
        except ValueError as exc:
            # MCP 2026-07-28, basic/transports: a client must not use such a tool over HTTP.
            if entry.type != "stdio":
                self._warn("%s: left out the tool %s: %s", entry.name, own, str(exc))
                return None
            schema, parameters = without_annotations(schema), {}
        changes: Item = {"name": self._name(plan, entry, override.name or own, own), "inputSchema": schema}
        if override.description is not None:
            changes["description"] = override.description
        arguments = override.arguments if override.arguments.default or override.arguments.set else None
        if arguments is not None:
            changes["inputSchema"] = shown_schema(schema, arguments)
        timeout = override.timeout or plan.timeout or entry.timeout
        return ToolRoute(
            server=entry.name,
            own_name=own,
            shown={**item, **changes},
            schema=item["inputSchema"],
            limits=(timeout, max(timeout, entry.max_timeout)),
            canonical=exposed_name(entry.effective_prefix, override.name or own, entry.name, own),
            validate=entry.validate_arguments,
            arguments=arguments,
            parameters=parameters,
        )

    def _prompts(self, plan: DoorPlan, entry: ServerEntry, listing: Listing) -> Iterator[tuple[str, Route]]:
        for item in listing.of("prompts"):
            own = item["name"]
            name = self._name(plan, entry, own, own)
            yield name, Route(entry.name, own, {**item, "name": name})

    def _name(self, plan: DoorPlan, entry: ServerEntry, name: str, own: str) -> str:
        return exposed_name(entry.effective_prefix if plan.prefixed else "", name, entry.name, own)

    def _settle(
        self, plan: DoorPlan, kind: str, offers: list[tuple[str, Any]], before: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Give each name to one of those who offer it: to its present owner, else to the first."""
        offered = {(name, route.server, route.own_name) for name, route in offers}
        owner = {
            name: (route.server, route.own_name)
            for name, route in before.items()
            if (name, route.server, route.own_name) in offered
        }
        routes: dict[str, Any] = {}
        for name, route in offers:
            if owner.setdefault(name, (route.server, route.own_name)) == (route.server, route.own_name):
                routes[name] = route
            else:
                self._warn(
                    f"%s: the {kind} name %s is taken by %s; %s's is left out (a `prefix` or an override mends it)",
                    plan.path,
                    name,
                    owner[name][0],
                    route.server,
                )
        return routes

    def _warn(self, text: str, *args: str) -> None:
        if (text, *args) not in self._warned:
            self._warned.add((text, *args))
            log.warning(text, *args)


def _uris(
    present: list[tuple[ServerEntry, Listing]],
    kind: str,
    key: str,
    before: Mapping[str, Route],
    marked: dict[str, dict[str, str]],
) -> dict[str, Route]:
    """Map URIs (or templates): one that two servers list stays with the present owner or the first; the other's is
    marked with its server's name."""
    offered = {(entry.name, item[key]) for entry, listing in present for item in listing.of(kind)}
    owner = {
        uri: (route.server, route.own_name)
        for uri, route in before.items()
        if (route.server, route.own_name) in offered
    }
    routes: dict[str, Route] = {}
    for entry, listing in present:
        for item in listing.of(kind):
            shown = own = item[key]
            if owner.setdefault(own, (entry.name, own)) != (entry.name, own):
                shown = marked_uri(entry.name, own)
                if owner.setdefault(shown, (entry.name, own)) != (entry.name, own):
                    continue  # what another server lists under the very mark is not taken from it
                marked.setdefault(entry.name, {})[own] = shown
            routes[shown] = Route(entry.name, own, item if shown == own else {**item, key: shown})
    return routes


def _closed(plan: DoorPlan) -> Door:
    return Door(plan.path, plan.servers, {}, {}, {}, {}, {}, dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0))


def _same_list(one: Door, other: Door, kind: str) -> bool:
    mine, theirs = one.routes(kind), other.routes(kind)
    # Where they lead counts too: what is remembered of a list is judged, and called, by that.
    return list(mine.items()) == list(theirs.items())
