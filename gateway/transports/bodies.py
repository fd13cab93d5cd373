"""Bodies of requests: their type and their size. Knows HTTP, nothing of what a body says."""

from typing import Final

from gateway.eras.envelope import repeated_header
from gateway.errors import HEADER_MISMATCH, INVALID_REQUEST, McpError
from gateway.transports.guard import media_type
from gateway.transports.inbound import SESSION_HEADER, Inbound, Settled

LENGTH: Final = "content-length"
FORM: Final = "application/x-www-form-urlencoded"


class Bodies:
    """What is taken as the body of a POST: at most ``most`` bytes of JSON."""

    def __init__(self, most: int) -> None:
        self._most = most

    def here(self, inbound: Inbound) -> bytes | None:
        """The body, where all of it is here, and its type is known from an equal head; else None."""
        if inbound.turn is None or inbound.settled is None or not inbound.settled.typed:
            return None
        body = inbound.turn.take_body()
        if body is not None:
            self._check_size(len(body))
        return body

    async def read(self, inbound: Inbound) -> bytes:
        """Wait for the body. Raises `McpError`."""
        _check_media(inbound)
        turn = inbound.turn
        if turn is not None and turn.head is not None and isinstance(turn.head.kept, Settled):
            turn.head.kept.typed = True
        length = inbound.headers.get(LENGTH, "0")
        self._check_size(int(length) if length.isdigit() else self._most + 1)
        event = await inbound.receive()
        parts, size = [], 0
        while True:
            if event["type"] == "http.disconnect":
                inbound.exchange.gone = True
                raise McpError(INVALID_REQUEST, "The client went away")
            parts.append(event.get("body", b""))
            size += len(parts[-1])
            self._check_size(size)
            if not event.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)
            event = await inbound.receive()

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise McpError(INVALID_REQUEST, f"The body is over {self._most} bytes", status=413)


def _check_media(inbound: Inbound) -> None:
    kind = media_type(inbound.headers)
    # A web page can send a form anywhere without asking, but no Authorization header: RFC 6750 §2.1, Fetch §3.2.
    plain_form = kind == FORM and "authorization" in inbound.headers and SESSION_HEADER not in inbound.headers
    if kind != "application/json" and not plain_form:
        raise McpError(INVALID_REQUEST, "Content-Type must be application/json", status=415)
    if len(inbound.headers) == len(inbound.raw_headers):
        return  # none comes twice
    repeated = repeated_header(name.decode("latin-1") for name, _ in inbound.raw_headers)
    if repeated is not None:
        raise McpError(HEADER_MISMATCH, f"The {repeated} header comes more than once", status=400)
