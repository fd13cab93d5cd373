"""Plain HTTP callers: one request, one answer, no session and no way back to the client."""

from typing import Any, Final

from gateway.eras.legacy import plain, shape_tool
from gateway.errors import INVALID_REQUEST, McpError
from gateway.once import Once
from gateway.relay import METHODS
from gateway.request import Dialect, Entrant, NoChannel, Request
from gateway.service import Service

Message = dict[str, Any]

DIALECT: Final = Dialect("sessionless", shape_tool, None)
MADE_FOR_SESSIONS: Final = (
    f"Start with initialize, or send a request that needs no session: ping, {', '.join(sorted(METHODS))}"
)


async def answer_sessionless(
    service: Service, message: Message, entrant: Entrant, door: str, once: Once | None = None
) -> Message:
    """Answer one request of a caller that holds no session; raises what the relay raises."""
    method = message["method"]
    if method == "ping":
        return {}
    if method not in METHODS:
        raise McpError(INVALID_REQUEST, MADE_FOR_SESSIONS, status=400)
    params = message.get("params") or {}
    request = Request(method, params, entrant.caller, door, DIALECT, NoChannel(), filters=entrant.filters, once=once)
    return plain(await service.relay.handle(request))
