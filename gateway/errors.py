"""Every error that a client can get: exception -> JSON-RPC error -> HTTP status, in one table each."""

import math
from collections.abc import Mapping
from typing import Any, Final

from upstreams.errors import ErrorReply, UpstreamBusy, UpstreamTimeout, UpstreamUnavailable

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002  # MCP 2025-11-25, server/resources
URL_ELICITATION: Final = -32042  # MCP 2025-11-25, client/elicitation
HEADER_MISMATCH: Final = -32020  # MCP 2026-07-28, basic/transports
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
CANCELLED: Final = -32800  # what the MCP SDKs answer on a stream that must end

# Own codes lie outside the ranges of JSON-RPC and MCP and end in the HTTP status that they mean.
UNAUTHORIZED: Final = -31401
FORBIDDEN: Final = -31403
RATE_LIMITED: Final = -31429
UNAVAILABLE: Final = -31503
TIMED_OUT: Final = -31504


class McpError(Exception):
    """An error answer to one request: the JSON-RPC members, and the HTTP status where it is not the era's own."""

    def __init__(self, code: int, message: str, data: Any = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = status

    def member(self) -> dict[str, Any]:
        """The ``error`` member of a JSON-RPC response (JSON-RPC 2.0 §5.1)."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}


class InvalidArguments(McpError):
    """The arguments of a tool call do not fit the tool's schema."""

    def __init__(self, problem: str, field: str, expected: Any) -> None:
        super().__init__(INVALID_PARAMS, f"Invalid params: {problem}", {"field": field, "expected": expected})


class ResourceNotFound(McpError):
    """No resource with this URI is there for this caller."""

    def __init__(self, uri: str) -> None:
        super().__init__(RESOURCE_NOT_FOUND, f"Resource not found: {uri}", {"uri": uri})


class Forbidden(McpError):
    """The policy does not let this caller do it, and does not hide that it is there."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(FORBIDDEN, f"Not allowed: {name}", {"reason": reason})


class RateLimited(McpError):
    """Too many calls; ``wait`` is the seconds until the next one may come."""

    def __init__(self, wait: float) -> None:
        seconds = max(1, math.ceil(wait))
        super().__init__(RATE_LIMITED, f"Too many calls; try again in {seconds} s", {"retry_after": seconds}, 429)
        self.seconds = seconds


class Refused(McpError):
    """The gateway takes no requests now: it is full or it is about to stop."""

    def __init__(self, message: str) -> None:
        super().__init__(UNAVAILABLE, message, status=503)


class UnknownTool(McpError):
    """Nothing of this name is there for this caller (MCP 2025-11-25, server/tools, error handling)."""

    def __init__(self, name: str) -> None:
        super().__init__(INVALID_PARAMS, f"Unknown tool: {name}")


class Superseded(Refused):
    """The config was replaced while a request still waited; nothing of it has been sent on."""

    def __init__(self) -> None:
        super().__init__("The gateway has just taken a new config; ask again")


def unknown_method(method: str) -> McpError:
    """The gateway has no such method in this era."""
    return McpError(METHOD_NOT_FOUND, f"Method not found: {method}")


def to_error(exc: Exception, request_id: str) -> McpError:
    """Make any failure of a request the error that its caller gets; an unforeseen one tells nothing of its inside."""
    match exc:
        case McpError():
            return exc
        case ErrorReply() if exc.code in HOP_CODES:
            return McpError(INTERNAL_ERROR, f"The upstream refused what the gateway sent: {exc.message}", status=200)
        case ErrorReply():
            own_fault = exc.code in LEGACY_STATUS  # of the upstream: not what HTTP says of this gateway
            return McpError(exc.code, exc.message, exc.data, status=200 if own_fault else None)
        case UpstreamBusy():
            return McpError(UNAVAILABLE, f"Upstream {exc.upstream} is busy: {exc.reason}", {"upstream": exc.upstream})
        case UpstreamUnavailable():
            return McpError(UNAVAILABLE, f"Upstream {exc.upstream} is unavailable", {"upstream": exc.upstream})
        case UpstreamTimeout():
            data = {"upstream": exc.upstream, "timeout": exc.seconds}
            return McpError(TIMED_OUT, f"Upstream {exc.upstream} did not answer within {exc.seconds:g} s", data)
    return McpError(INTERNAL_ERROR, "Internal error", {"request_id": request_id})


HOP_CODES: Final = frozenset({HEADER_MISMATCH, UNSUPPORTED_VERSION})
"""What an upstream says of the gateway's own request: its client did nothing wrong."""

LEGACY_STATUS: Final[Mapping[int, int]] = {PARSE_ERROR: 400, INVALID_REQUEST: 400, INTERNAL_ERROR: 500}
MODERN_STATUS: Final[Mapping[int, int]] = {
    **LEGACY_STATUS,
    INVALID_PARAMS: 400,
    METHOD_NOT_FOUND: 404,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
SESSIONLESS_STATUS: Final[Mapping[int, int]] = {**LEGACY_STATUS, FORBIDDEN: 403, UNAVAILABLE: 503, TIMED_OUT: 504}


def http_status(error: McpError, table: Mapping[int, int]) -> int:
    """The HTTP status of an error answer in the era whose table this is; 200 where the table is silent."""
    return error.status if error.status is not None else table.get(error.code, 200)
