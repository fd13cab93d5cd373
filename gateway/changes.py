"""Who is told what when something changes: lists of a door, and resources. Never waits for a slow client."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.access import Access
from gateway.catalog import KINDS, Catalog, Door
from gateway.narrowing import Filter
from gateway.request import Entrant
from policies.model import Caller

LIST_CHANGED: Final = {
    "tools": "notifications/tools/list_changed",
    "prompts": "notifications/prompts/list_changed",
    "resources": "notifications/resources/list_changed",
    "templates": "notifications/resources/list_changed",
}


class Listener(Protocol):
    """A client that hears of changes at one door."""

    @property
    def door(self) -> str: ...

    @property
    def entrant(self) -> Entrant: ...

    def list_changed(self, method: str) -> None:
        """Take the method of a list_changed notification."""
        ...

    def part(self) -> None:
        """End the stream on which changes are told; who still may opens another."""
        ...


@dataclass
class Changes:
    """The listeners of all doors."""

    _listeners: dict[Listener, None] = field(default_factory=dict)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Register; returns what takes the listener out again."""
        self._listeners[listener] = None
        return lambda: self._listeners.pop(listener, None)

    def part(self, concerns: Callable[[Listener], bool]) -> None:
        """End the streams of the listeners whom a new config concerns."""
        for listener in list(self._listeners):
            if concerns(listener):
                listener.part()

    async def announce_reload(self, before: Catalog, old: Access, after: Catalog, new: Access) -> None:
        """Tell every listener which lists differ in what it saw under the old config and sees under the new one."""
        for listener in list(self._listeners):
            was, now = before.doors.get(listener.door), after.doors.get(listener.door)
            if was is None or now is None:
                continue  # the door is gone, and with it whoever listened there
            one, other = await old.view(was, *seen_by(listener)), await new.view(now, *seen_by(listener))
            for method in dict.fromkeys(LIST_CHANGED[kind] for kind in KINDS if not _same(one, other, kind)):
                listener.list_changed(method)

    async def announce(self, before: Catalog, after: Catalog, access: Access) -> None:
        """Tell every listener which lists differ, between two catalogs, in its own view of its door."""
        changed = {
            path: [kind for kind in KINDS if not door.same_list(before.doors[path], kind)]
            for path, door in after.doors.items()
            if door is not before.doors[path]
        }
        for listener in list(self._listeners):
            kinds = changed.get(listener.door)
            if kinds:
                old = await access.view(before.doors[listener.door], *seen_by(listener))
                new = await access.view(after.doors[listener.door], *seen_by(listener))
                for method in dict.fromkeys(LIST_CHANGED[kind] for kind in kinds if _differs(old, new, kind)):
                    listener.list_changed(method)
        access.forget_all_but(after.doors)


def seen_by(listener: Listener) -> tuple[Caller, tuple[Filter, ...]]:
    """Whose view of the door a listener hears of."""
    return listener.entrant.caller, listener.entrant.filters


def _differs(old: Door, new: Door, kind: str) -> bool:
    return not new.view or not _same(old, new, kind)  # of the whole door the list is known to be another one


def _same(old: Door, new: Door, kind: str) -> bool:
    mine, theirs = old.routes(kind), new.routes(kind)
    return list(mine) == list(theirs) and all(route.shown == theirs[name].shown for name, route in mine.items())


def _anything(uri: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ResourceListener:
    """Hears of a resource under its server's own URI and passes it on under the URI that the client knows."""

    send: Callable[[str], None]
    shown: str
    own: str
    may: Callable[[str], bool] = field(default=_anything, compare=False)
    """Whether the client may know of it: servers also tell of what lies under a resource, and rules change."""

    def __call__(self, changed: str) -> None:
        if self.may(changed):
            self.send(self.shown if changed == self.own else changed)
