"""What an upstream may need of the client whose request it serves; the seam through which calls talk back."""

from collections.abc import Hashable, Mapping
from typing import Any, Final, Protocol

from upstreams.errors import ErrorReply

METHOD_NOT_FOUND: Final = -32601  # JSON-RPC 2.0 §5.1


class ClientChannel(Protocol):
    """The way back to one client, for the time of one request.

    ``face`` is the era in which an upstream that speaks both should be asked, ``client`` identifies the client
    (equal for all requests of one session), ``capabilities`` are the ones it declared.
    """

    @property
    def face(self) -> str: ...

    @property
    def client(self) -> Hashable: ...

    @property
    def capabilities(self) -> Mapping[str, Any]: ...

    @property
    def log_level(self) -> str | None: ...

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification on the stream of this request; never waits, drops what cannot be sent."""
        ...

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request to the client and wait for its result. Raises `ErrorReply` when it refuses or cannot."""
        ...


class NoChannel:
    """A client that hears nothing and answers nothing: plain HTTP callers, and the gateway's own requests."""

    face: Final = "modern"
    capabilities: Final[Mapping[str, Any]] = {}
    log_level: Final = None

    def __init__(self) -> None:
        self.client: Hashable = object()  # each plain caller is a client of its own

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Drop the notification."""

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Refuse: there is nobody to ask."""
        raise ErrorReply(METHOD_NOT_FOUND, f"The client of this call does not support {method}")


NO_CHANNEL: Final[ClientChannel] = NoChannel()
"""Of requests that no client caused."""
