"""Who sees and reaches what: the one place that asks policies, key filters and rate limits. Does no I/O.

A caller's view of a door is itself a door: what is not in it does not exist for that caller, in lists and calls alike.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import ReferenceType, ref

from gateway.catalog import Door, Route, ToolRoute
from gateway.errors import RateLimited
from gateway.narrowing import Filter
from gateway.uris import spellings
from policies.limits import RateLimits
from policies.model import Caller, Decision, Target
from policies.rules import ALLOW_ALL, Outcome, Policies, Policy

MAX_VIEWS: Final = 512  # doors as callers see them; the one not asked for longest is made anew when it is
MAX_VIEW_BYTES: Final = 64 * 2**20  # of all views: with 10,000 tools at a door one takes half a megabyte
HOLD_SECONDS: Final = 0.01  # how long the event loop is held by one view that is being made
GUARDED: Final = frozenset({"deny", "error"})
"""Verdicts of a rule that keeps something shut; who allows or requires a URI says it in its own spelling."""
CHECK_EVERY: Final = 32  # entries between two looks at the clock

Filters = tuple[Filter, ...]
ViewKey = tuple[str, tuple[int, ...], Hashable, Filters]

ALLOWED: Final = Decision(True)
NARROWED: Final = Decision(False, "what the key or the request is narrowed to", "narrowed", hidden=True)


@dataclass(slots=True)
class Sight:
    """What a caller saw of a door the last time. It keeps neither a config nor a list that is gone."""

    of: "ReferenceType[Access]"
    view: "ReferenceType[Door]"
    filters: Filters


@dataclass(eq=False)
class Access:
    """The rules of one config. A reload makes another."""

    policy: Policy = ALLOW_ALL
    routes: Mapping[str, Policy] = field(default_factory=dict)
    limits: RateLimits = field(default_factory=lambda: RateLimits(()))
    _views: "OrderedDict[ViewKey, Door]" = field(default_factory=OrderedDict)
    _held: int = 0  # bytes of all views
    _making: dict[ViewKey, "asyncio.Future[None]"] = field(default_factory=dict)
    _everywhere: Policies = field(init=False)
    _on_routes: dict[str, Policies] = field(init=False)

    def __post_init__(self) -> None:
        self._everywhere = Policies([self.policy])
        self._on_routes = {path: Policies([self.policy, route]) for path, route in self.routes.items()}

    def policies(self, door: str) -> Policies:
        """The policies that must all allow what goes through a door; any path may be asked about."""
        return self._on_routes.get(door, self._everywhere)

    async def view(self, door: Door, caller: Caller, filters: Filters = ()) -> Door:
        """The door as this caller sees it; made once for all callers of whom the rules read the same."""
        while (known := self.known(door, caller, filters)) is None:
            key = self._key(door, caller, filters)
            if key in self._making:
                await asyncio.shield(self._making[key])
                continue
            await self._make(key, door, caller, filters)
        return known

    def known(self, door: Door, caller: Caller, filters: Filters = ()) -> Door | None:
        """The door as this caller sees it, if it was made before; else None."""
        if self._is_open(door) and not filters:
            return door
        last: Sight | None = caller.memo.get(door.path)
        if last is not None and last.of() is self and last.filters is filters:
            view = last.view()
            if view is not None and view.whole is door:
                return view
        key = self._key(door, caller, filters)
        view = self._views.get(key)
        if view is not None:
            self._views.move_to_end(key)
            caller.memo[door.path] = Sight(ref(self), ref(view), filters)
        return view

    def _key(self, door: Door, caller: Caller, filters: Filters) -> ViewKey:
        return (door.path, door.generation, self.policies(door.path).view_key(caller), filters)

    def forget_all_but(self, doors: Mapping[str, Door]) -> None:
        """Drop the views of doors whose lists have become others: they would keep the former lists in memory."""
        present = {path: door.generation for path, door in doors.items()}
        for key in [key for key in self._views if present.get(key[0]) != key[1]]:
            self._held -= self._views.pop(key).own_bytes

    def may_call(self, view: Door, route: ToolRoute, caller: Caller, arguments: Mapping[str, Any]) -> Decision:
        """Decide about a tool in the caller's view, which only the arguments may refuse."""
        target = route.target
        # The view is that of all callers of whom the rules read the same, so what stands for one stands for all.
        standing = view.standings.get(target.key)
        if standing is None:
            if self._is_open(view):
                return ALLOWED
            if view.whole is None:
                return self.policies(view.path).decide(caller, target, arguments)
            standing = view.standings[target.key] = self.policies(view.path).standing(caller, target)
        if standing.outcome is not Outcome.DEPENDS:
            return standing.decision
        return self.policies(view.path).decide(caller, target, arguments)

    def may_read(self, door: Door, server: str, uri: str, caller: Caller) -> Decision:
        """Decide about one resource by its own URI; what is denied in another spelling of it is denied."""
        policies = self.policies(door.path)
        decision = policies.decide(caller, Target("resource", server, uri), None)
        for other in spellings(uri) if decision.allowed else ():
            twin = policies.decide(caller, Target("resource", server, other), None)
            if twin.verdict in GUARDED:
                return twin
        return decision

    def standing(
        self, door: Door, kind: str, route: ToolRoute | Route, caller: Caller, filters: Filters = ()
    ) -> Decision:
        """What is said of one entry of the whole door, whether this caller sees it or not."""
        if not _let_through(route, filters):
            return NARROWED
        if kind == "resources":
            return self.may_read(door, route.server, route.own_name, caller)
        return self.policies(door.path).decide(caller, _target(kind, route), None)

    def take(self, caller: Caller, route: ToolRoute, now: float) -> None:
        """Count one call, at ``now`` of a clock that does not go back. Raises `RateLimited`."""
        if not self.limits.any:
            return
        wait = self.limits.take(caller.identity.key, route.canonical, now)
        if wait > 0:
            raise RateLimited(wait)

    def _is_open(self, door: Door) -> bool:
        """Whether no rule stands at this door."""
        return self.policy is ALLOW_ALL and door.path not in self.routes

    async def _make(self, key: ViewKey, door: Door, caller: Caller, filters: Filters) -> None:
        done = self._making[key] = asyncio.get_running_loop().create_future()
        try:
            policies = self.policies(door.path)

            def seen(kind: str, route: Any) -> bool:
                if not _let_through(route, filters):
                    return False
                if kind == "resources":
                    return self.may_read(door, route.server, route.own_name, caller).allowed
                return policies.standing(caller, _target(kind, route)).outcome is not Outcome.DENIED

            view = replace(
                door,
                tools=await _filtered(door.tools, "tools", seen),
                prompts=await _filtered(door.prompts, "prompts", seen),
                resources=await _filtered(door.resources, "resources", seen),
                templates=await _filtered(door.templates, "templates", seen),
                whole=door,
                view=hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest(),
            )
            self._views[key] = view
            self._held += view.own_bytes
            while len(self._views) > 1 and (len(self._views) > MAX_VIEWS or self._held > MAX_VIEW_BYTES):
                _, oldest = self._views.popitem(last=False)
                self._held -= oldest.own_bytes
        finally:
            del self._making[key]
            done.set_result(None)


def _target(kind: str, route: ToolRoute | Route) -> Target:
    if isinstance(route, ToolRoute):
        return route.target
    return Target("prompt" if kind == "prompts" else "resource", route.server, route.own_name)


def _let_through(route: ToolRoute | Route, filters: Filters) -> bool:
    """Whether it is within everything that the caller is narrowed to."""
    if isinstance(route, ToolRoute):
        return all(one.lets(route.server, route.canonical) for one in filters)
    return within(filters, route.server)


def within(filters: Filters, server: str) -> bool:
    """Whether a server's prompts and resources are within everything that the caller is narrowed to."""
    return all(one.lets_others(server) for one in filters)


async def _filtered(routes: Mapping[str, Any], kind: str, seen: Callable[[str, Any], bool]) -> dict[str, Any]:
    """The routes that are seen; the loop gets its turn in between."""
    loop = asyncio.get_running_loop()
    kept: dict[str, Any] = {}
    until = loop.time() + HOLD_SECONDS
    for number, (name, route) in enumerate(routes.items()):
        if seen(kind, route):
            kept[name] = route
        if number % CHECK_EVERY == 0 and loop.time() > until:
            await asyncio.sleep(0)
            until = loop.time() + HOLD_SECONDS
    return kept
