"""How each era's messages are served over HTTP: which stream they get, and what ends them."""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.eras.envelope import BATCH_VERSIONS, MODERN_VERSIONS, VERSION_HEADER, open_envelope, unsupported_version
from gateway.eras.legacy import (
    answer_legacy,
    initialize_result,
    join,
    negotiated,
    request_key,
    take_notification,
)
from gateway.eras.modern import DIALECT as MODERN
from gateway.eras.modern import ModernCall, answer_modern
from gateway.eras.sessionless import DIALECT as SESSIONLESS
from gateway.eras.sessionless import answer_sessionless
from gateway.eras.sessions import MAX_IN_FLIGHT, Session
from gateway.errors import (
    CANCELLED,
    INVALID_REQUEST,
    LEGACY_STATUS,
    MODERN_STATUS,
    SESSIONLESS_STATUS,
    UNAUTHORIZED,
    McpError,
    Refused,
)
from gateway.service import at_end
from gateway.telemetry.current import SERVING
from gateway.transports.exchange import Exchange, Message, accepts
from gateway.transports.idempotency import batch_digest, is_call, once_in_era, once_in_session
from gateway.transports.inbound import SESSION_HEADER, Inbound, canceller, check_message, resume, told
from gateway.unauthorized import EXPIRED
from upstreams import wire

log = logging.getLogger("onegate.http")


async def modern(inbound: Inbound, message: Message) -> None:
    """A self-contained request: a client that hangs up has cancelled it."""
    if "id" not in message or "method" not in message:
        await _modern_notice(inbound, message)
        return
    envelope = open_envelope(message, inbound.headers)
    if isinstance(envelope, McpError):
        await inbound.refuse(envelope, MODERN_STATUS)
        return
    if message["method"] == "subscriptions/listen" and not accepts(inbound.headers, "text/event-stream"):
        raise McpError(INVALID_REQUEST, "Accept must allow text/event-stream", status=406)
    call = ModernCall(
        message,
        envelope.capabilities,
        envelope.log_level,
        inbound.entrant,
        inbound.door,
        inbound.exchange,
        inbound.exchange,
        inbound.headers,
        once_in_era(inbound, message, MODERN.name),
    )
    inbound.exchange.watch(inbound.canceller())
    if message["method"] != "subscriptions/listen":  # which ends in its own words
        _end_with_token(inbound)
    await _finish(inbound, answer_modern(inbound.service, call), MODERN_STATUS)


async def legacy(inbound: Inbound, message: Message) -> None:
    """A message of a session. A client that hangs up has not cancelled (MCP 2025-11-25, basic/transports)."""
    session = _session(inbound)
    if "method" not in message:
        session.answered(message)
        await inbound.exchange.respond(202)
    elif "id" not in message:
        take_notification(session, message)
        await inbound.exchange.respond(202)
    else:
        with _held(session):
            inbound.exchange.watch(None)
            _end_with_token(inbound)
            await _in_session(inbound, session, message)


async def initialize(inbound: Inbound, message: Message) -> None:
    """Open a session and answer with its id."""
    if "id" not in message:
        raise McpError(INVALID_REQUEST, "Invalid request: initialize needs an id")
    version, capabilities = negotiated(message.get("params") or {})
    session = inbound.sessions.open(inbound.entrant, inbound.door, version, capabilities)
    join(inbound.service, session)
    inbound.exchange.add_header(b"mcp-session-id", session.id.encode())
    result = await initialize_result(inbound.service, session)
    await inbound.exchange.finish(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})


async def sessionless(inbound: Inbound, message: Message) -> None:
    """One request, one answer; as an event stream only for a client that takes nothing else."""
    if "id" not in message or "method" not in message:
        raise McpError(INVALID_REQUEST, "Invalid request: without a session only requests can be sent", status=400)
    once = once_in_era(inbound, message, SESSIONLESS.name)
    _end_with_token(inbound)
    if not accepts(inbound.headers, "application/json") and accepts(inbound.headers, "text/event-stream"):
        inbound.exchange.open()
    inbound.exchange.watch(inbound.canceller())
    answer = answer_sessionless(inbound.service, message, inbound.entrant, inbound.door, once)
    await _finish(inbound, answer, SESSIONLESS_STATUS)


async def batch(inbound: Inbound, messages: list[Any]) -> None:
    """A batch, which only one version has, within a session of that version: answers come as one array."""
    session = inbound.sessions.find(inbound.headers.get(SESSION_HEADER, ""), inbound.entrant, inbound.door)
    if session is None or session.version not in BATCH_VERSIONS or not messages or len(messages) > MAX_IN_FLIGHT:
        raise McpError(INVALID_REQUEST, "Invalid request: batches are not part of this protocol version")
    for message in messages:
        check_message(message)
    if len(session.in_flight) + len(messages) > MAX_IN_FLIGHT:
        raise Refused("The session has too many requests in flight")
    answers: list[Message] = []
    silent = Exchange(_never, _nowhere, inbound.service.spawn, streams=False)

    key = once_in_session(inbound, session, next(filter(is_call, messages), {}))
    whole = b"" if key is None else batch_digest(messages)

    async def one(index: int, message: Message) -> None:
        serving = inbound.serving.part()
        SERVING.set(serving)
        session.entrant = inbound.entrant  # another request may have come in between, with filters of its own
        once = key.of(whole, index) if key is not None and is_call(message) else None
        try:
            with _cancellable(session, message["id"]):  # a cancelled one has no answer
                answer = answer_legacy(inbound.service, session, message, silent, once)
                answers.append(await _reply(inbound, message, answer))
        finally:
            serving.finish()

    with _held(session):
        async with asyncio.TaskGroup() as group:
            for index, message in enumerate(messages):
                if "method" not in message:
                    session.answered(message)
                elif "id" not in message:
                    take_notification(session, message)
                else:
                    group.create_task(one(index, message))
    if answers:
        await inbound.exchange.respond(200, wire.dumps(answers))
    else:
        await inbound.exchange.respond(202)


async def session_stream(inbound: Inbound) -> None:
    """The GET stream of a session; a newer one takes its place."""
    session = _session(inbound)
    exchange = inbound.exchange
    previous = session.stream
    if isinstance(previous, Exchange):
        previous.close()
    exchange.add_header(b"mcp-session-id", session.id.encode())
    expiry = at_end(inbound.entrant, exchange.close)
    try:
        with _held(session), inbound.service.listening():
            exchange.open()
            exchange.watch(None)
            session.attach(exchange)
            await exchange.follow()
    finally:
        expiry()
        if session.stream is exchange:
            session.stream = None


async def end_session(inbound: Inbound) -> None:
    """DELETE: the client is done."""
    inbound.sessions.end(_session(inbound))
    await inbound.exchange.respond(204)


async def _in_session(inbound: Inbound, session: Session, message: Message) -> None:
    if len(session.in_flight) >= MAX_IN_FLIGHT:
        raise Refused("The session has too many requests in flight")
    try:
        once = once_in_session(inbound, session, message)
        with _cancellable(session, message["id"]):
            answer = answer_legacy(inbound.service, session, message, inbound.exchange, once)
            await _finish(inbound, answer, LEGACY_STATUS)
    except asyncio.CancelledError:
        resume()  # cancelled by notifications/cancelled or the session's end; the stream needs an end all the same
        error = {"code": CANCELLED, "message": "Request cancelled"}
        await inbound.exchange.finish(200, {"jsonrpc": "2.0", "id": message["id"], "error": error})


@contextmanager
def _cancellable(session: Session, request_id: Any) -> Iterator[None]:
    """Let the client, or the session's end, cancel the present task, which answers this request."""
    # A repeated id is the client's fault, but every POST has its own answer: only cancellation would mean the last one.
    key, cancel = request_key(request_id), canceller()
    session.in_flight[key] = cancel
    try:
        yield
    finally:
        if session.in_flight.get(key) is cancel:
            del session.in_flight[key]


def _end_with_token(inbound: Inbound) -> None:
    """Have the stream that the answer may become end when the caller's token does, and the call with it.

    An answer that is no stream is given: it is a single one, to a request that was let in. Plain calls need no timer.
    """
    if inbound.entrant.ends is not None:
        inbound.exchange.on_open = inbound.until_expired


async def _finish(inbound: Inbound, answer: Awaitable[Message], table: Mapping[int, int]) -> None:
    try:
        result = await answer
    except asyncio.CancelledError:
        if not inbound.expired:
            raise
        resume()
        await inbound.refuse(McpError(UNAUTHORIZED, EXPIRED.message), table)
        return
    except Exception as exc:
        await _refuse(inbound, exc, table)
        return
    await inbound.exchange.finish(200, {"jsonrpc": "2.0", "id": inbound.reply_id, "result": result})


async def _refuse(inbound: Inbound, exc: Exception, table: Mapping[int, int]) -> None:
    """Not where the error is caught: a name for it there would tie it to that frame, which its traceback holds."""
    await inbound.refuse(told(exc, inbound.request_id, log), table)


async def _reply(inbound: Inbound, message: Message, answer: Awaitable[Message]) -> Message:
    try:
        return {"jsonrpc": "2.0", "id": message["id"], "result": await answer}
    except Exception as exc:
        return {"jsonrpc": "2.0", "id": message["id"], "error": told(exc, inbound.request_id, log).member()}


async def _modern_notice(inbound: Inbound, message: Message) -> None:
    """The modern wire has no notifications of clients; the few that are sent are accepted and mean nothing."""
    if "method" not in message:
        raise McpError(INVALID_REQUEST, "Invalid request: this protocol version has no responses of clients")
    version = inbound.headers.get(VERSION_HEADER)
    if version not in MODERN_VERSIONS:
        await inbound.refuse(unsupported_version(version), MODERN_STATUS)
        return
    await inbound.exchange.respond(202)


def _session(inbound: Inbound) -> Session:
    session = inbound.sessions.find(inbound.headers[SESSION_HEADER], inbound.entrant, inbound.door)
    if session is None:
        raise McpError(INVALID_REQUEST, "Session not found", status=404)
    return session


@contextmanager
def _held(session: Session) -> Iterator[None]:
    """While it is held, a session is not idle."""
    session.busy += 1
    try:
        yield
    finally:
        session.busy -= 1


async def _never() -> Message:
    await asyncio.get_running_loop().create_future()
    return {}


async def _nowhere(event: Any) -> None:
    return None
