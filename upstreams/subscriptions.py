"""Who wants to hear of which resource of one upstream; counts, so that the upstream is asked once for each URI."""

from collections.abc import Callable

Listener = Callable[[str], None]
"""Told the URI, in the upstream's own form, when the resource changed."""


class Subscriptions:
    """The listeners of one upstream's resources."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[Listener, int]] = {}

    @property
    def uris(self) -> list[str]:
        """Every URI that somebody listens to, in the order of first asking."""
        return list(self._listeners)

    def add(self, uri: str, listener: Listener) -> bool:
        """Add a listener; True when it is the first one for this URI."""
        first = uri not in self._listeners
        counts = self._listeners.setdefault(uri, {})
        counts[listener] = counts.get(listener, 0) + 1
        return first

    def remove(self, uri: str, listener: Listener) -> bool:
        """Take back one `add`; True when nobody listens to this URI any more. An unknown pair changes nothing."""
        counts = self._listeners.get(uri)
        if counts is None or listener not in counts:
            return False
        counts[listener] -= 1
        if counts[listener] == 0:
            del counts[listener]
        if counts:
            return False
        del self._listeners[uri]
        return True

    def updated(self, uri: str) -> None:
        """Tell the listeners of ``uri``; a subscription also covers what lies under it (2025-11-25, resources)."""
        for subscribed, listeners in list(self._listeners.items()):
            if uri == subscribed or uri.startswith(subscribed.rstrip("/") + "/"):
                for listener in list(listeners):
                    listener(uri)
