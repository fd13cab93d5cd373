"""Writes an answer that is there as a whole in one piece: uvicorn writes head and body apart, each by a system call.

Knows uvicorn's request cycle, nothing of what is answered.
"""

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.transports.exchange import Header, Whole


def whole_answer(cycle: RequestResponseCycle) -> Whole:
    """What answers a request in one write; does what the cycle's own `send` would do with start and body."""

    async def answer(status: int, headers: Iterable[Header], body: bytes) -> None:
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        if cycle.response_started:
            raise RuntimeError("the response has started")
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise RuntimeError(f"the header {name.decode()} holds a line break")
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            lines.append(body)
        cycle.transport.write(b"".join(lines))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    return answer
