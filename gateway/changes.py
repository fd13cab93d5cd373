"""Who is told what when something changes: lists of a door, and resources. Never waits for a slow client."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.catalog import KINDS, Catalog

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

    def list_changed(self, method: str) -> None:
        """Take the method of a list_changed notification."""
        ...


@dataclass
class Changes:
    """The listeners of all doors."""

    _listeners: dict[Listener, None] = field(default_factory=dict)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Register; returns what takes the listener out again."""
        self._listeners[listener] = None
        return lambda: self._listeners.pop(listener, None)

    def announce(self, before: Catalog, after: Catalog) -> None:
        """Tell every listener which lists of its door differ between two catalogs."""
        changed = {
            path: dict.fromkeys(LIST_CHANGED[kind] for kind in KINDS if not door.same_list(before.doors[path], kind))
            for path, door in after.doors.items()
            if door is not before.doors.get(path)
        }
        for listener in list(self._listeners):
            for method in changed.get(listener.door, {}):
                listener.list_changed(method)


@dataclass(frozen=True, slots=True)
class ResourceListener:
    """Hears of a resource under its server's own URI and passes it on under the URI that the client knows."""

    send: Callable[[str], None]
    shown: str
    own: str

    def __call__(self, changed: str) -> None:
        self.send(self.shown if changed == self.own else changed)
