"""What can go wrong between the gateway and a server behind it; no I/O, and no word about HTTP status or policy."""

from typing import Any


class UpstreamError(Exception):
    """Any failure of a request to an upstream. ``upstream`` is the server's name in the config."""

    def __init__(self, upstream: str, reason: str) -> None:
        super().__init__(f"{upstream}: {reason}")
        self.upstream = upstream
        self.reason = reason


class UpstreamUnavailable(UpstreamError):
    """The upstream is not connected, went away during the call, or takes no more calls."""


class UpstreamBusy(UpstreamUnavailable):
    """As many calls as may wait for this upstream are waiting already."""


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer within ``seconds``; it was told to cancel."""

    def __init__(self, upstream: str, seconds: float) -> None:
        super().__init__(upstream, f"no answer within {seconds:g} s")
        self.seconds = seconds


class ErrorReply(Exception):
    """The upstream answered a request with a JSON-RPC error (JSON-RPC 2.0 §5.1)."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class ConnectionLost(Exception):
    """The connection to the upstream ended; its text says how, for the log and for people."""

    nothing_sent = False


class Unreachable(ConnectionLost):
    """No connection could be made: nothing was sent."""

    nothing_sent = True


class SessionExpired(ConnectionLost):
    """The upstream no longer knows our session (HTTP 404; MCP 2025-11-25, basic/transports, session management)."""
