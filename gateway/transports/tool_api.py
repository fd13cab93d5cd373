"""`/v1/mcp/…`: LLM applications list tools and have calls executed in the form that they hold them in, over plain HTTP.

It is the main door in another form: the same entrance, relay, policy and limits; only how calls are written is its own.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.call_formats import FORMATS, Call, Format, content_parts, content_text
from gateway.eras.legacy import plain, shape_tool
from gateway.errors import (
    FORBIDDEN,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    RATE_LIMITED,
    TIMED_OUT,
    UNAUTHORIZED,
    UNAVAILABLE,
    McpError,
    Refused,
    UnknownTool,
    to_error,
)
from gateway.once import Once
from gateway.request import Dialect, NoChannel, Request
from gateway.service import Service
from gateway.telemetry.current import SERVING
from gateway.transports.entrance import NotAdmitted
from gateway.transports.exchange import Message, Receive, Scope, Send
from gateway.transports.http import HttpDoors, raw_path
from gateway.transports.idempotency import once_of, once_of_body
from gateway.transports.inbound import Inbound, Settled, headers_of, parsed, resume
from gateway.transports.turn import Turn
from upstreams import wire
from upstreams.errors import ConnectionLost, ErrorReply, UpstreamTimeout

log = logging.getLogger("onegate.http")

EXECUTE: Final = "/v1/mcp/tool/execute"
TOOLS: Final = "/v1/mcp/tools"
PATHS: Final = frozenset({EXECUTE, TOOLS})

MAX_CALLS: Final = 128  # of one body; a model asks for a handful
MAX_PARALLEL: Final = 16  # of one body: an application must not take every place of an upstream at once
MAX_HELD: Final = 64 * 2**20  # bytes of answers that wait for the last one of an array
TOO_MUCH: Final = "This call was not run: the answers to the others are too large; send fewer calls at a time"
IS_ERROR: Final = (b"x-mcp-is-error", b"true")

EXECUTION: Final = Dialect("tool-api", shape_tool, None)
LISTS: Final = {name: Dialect(f"tool-api-{name}", form.tool, None) for name, form in FORMATS.items()}
LISTS["mcp"] = Dialect("tool-api-mcp", shape_tool, None)

TYPES: Final = {
    UNAUTHORIZED: "authentication_error",
    FORBIDDEN: "tool_execution_error",
    RATE_LIMITED: "rate_limit_error",
    TIMED_OUT: "timeout_error",
    UNAVAILABLE: "upstream_error",
    INTERNAL_ERROR: "internal_error",
}
STATUS: Final = {FORBIDDEN: 403, RATE_LIMITED: 429, TIMED_OUT: 504, UNAVAILABLE: 503, INTERNAL_ERROR: 500}


@dataclass(frozen=True, slots=True)
class _Asked:
    """How a body wants its calls made and their results written."""

    form: Format
    parts: bool
    once: Once | None

    def write(self, call: Call, result: Message) -> Message:
        """A result as it is asked for."""
        return self.form.write(call.id, content_parts(result, self.form) if self.parts else content_text(result))

    def once_at(self, inbound: Inbound, index: int) -> Once | None:
        """The key of one call of an array, as the caller's who is let in now."""
        if self.once is None:
            return None
        present = once_of(inbound, EXECUTION.name, self.form.name, self.parts)
        return None if present is None else present.of(self.once.body, index)


class ToolApi:
    """The ASGI application of these paths."""

    def __init__(self, doors: HttpDoors, service: Service) -> None:
        self._doors = doors
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever goes wrong is answered here."""
        await self._serve(self._doors.inbound(scope, receive, send, self._doors.main_path or ""))

    def again(self, turn: Turn, settled: Settled) -> Awaitable[None] | None:
        """See `HttpDoors.again`."""
        inbound = self._doors.inbound_again(turn, settled)
        return None if inbound is None else self._serve(inbound)

    async def _serve(self, inbound: Inbound) -> None:
        inbound.exchange.never_stream()
        SERVING.set(inbound.serving)
        self._service.begin()
        try:
            await self._answer(inbound)
        except asyncio.CancelledError:
            if not inbound.exchange.gone:
                raise
            resume()  # it was the client's hanging up that cancelled us
        except Exception as exc:
            await _refuse(inbound, _failure(exc, "", self._hides(inbound), inbound.request_id), exc)
        finally:
            self._service.end()
            inbound.serving.finish()

    async def _answer(self, inbound: Inbound) -> None:
        if inbound.settled is None:
            await self._doors.check(inbound, self.again)
        if inbound.door not in self._service.relay.catalog.doors:
            raise McpError(INVALID_REQUEST, "The tool API stands on the main door, and server.path is null", status=404)
        query = _query(inbound.scope["query_string"])
        if raw_path(inbound.scope) == TOOLS:
            if inbound.method not in ("GET", "HEAD"):
                await _not_allowed(inbound, "GET, HEAD")
                return
            self._refuse_late()
            await self._list(inbound, query)
            return
        if inbound.method != "POST":
            await _not_allowed(inbound, "POST")
            return
        form, parts = FORMATS[_choice(query, "format", FORMATS, "chat")], _wants_parts(query)
        raw = await self._doors.body(inbound)
        body = parsed(raw)
        once = once_of_body(inbound, raw, EXECUTION.name, form.name, parts)
        self._refuse_late()
        inbound.exchange.watch(inbound.canceller())
        asked = _Asked(form, parts, once)
        if isinstance(body, list):
            await self._execute_all(inbound, body, asked)
        else:
            await self._execute_one(inbound, form.read(body), asked)

    def _refuse_late(self) -> None:
        if self._service.draining:
            raise Refused("The gateway is about to stop")

    async def _list(self, inbound: Inbound, query: Mapping[str, str]) -> None:
        """The caller's tools; an ETag spares an application the list that it has (RFC 9110 §13.1.2)."""
        dialect = LISTS[_choice(query, "format", LISTS, "chat")]
        result = await self._service.relay.handle(_request(inbound, "tools/list", {}, dialect))
        body = wire.dumps({"tools": result["tools"]})
        tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        headers = ((b"etag", tag.encode()), (b"cache-control", b"private, no-cache"))
        known = [one.strip().removeprefix("W/") for one in inbound.headers.get("if-none-match", "").split(",")]
        if tag in known or "*" in known:
            await inbound.exchange.respond(304, headers=headers)
        else:
            await inbound.exchange.respond(200, body, headers)  # of HEAD the server sends the head alone

    async def _execute_one(self, inbound: Inbound, call: Call, asked: _Asked) -> None:
        try:
            result = await self._result(inbound, call, asked.once)
        except Exception as exc:
            await _refuse(inbound, _failure(exc, call.name, self._hides(inbound), inbound.request_id), exc)
            return
        headers = (IS_ERROR,) if result.get("isError") is True else ()
        await inbound.exchange.respond(200, wire.dumps(asked.write(call, result)), headers)

    async def _execute_all(self, inbound: Inbound, items: list[Any], asked: _Asked) -> None:
        """Every call of an array by itself: each entry of the answer, in the same order, is a result or an error."""
        if len(items) > MAX_CALLS:
            raise McpError(INVALID_REQUEST, f"Invalid request: over {MAX_CALLS} calls in one body", status=400)
        if asked.once is not None:
            asked.once.check()  # of another body no call is made
        answers: list[Message | wire.Fragment] = [{}] * len(items)
        places = asyncio.Semaphore(MAX_PARALLEL)
        failed, held = False, 0

        async def one(index: int, item: Any) -> None:
            nonlocal failed, held
            serving = inbound.serving.part()
            SERVING.set(serving)
            call = Call("", "", {})
            try:
                call = asked.form.read(item)
                async with places:
                    if held > MAX_HELD:
                        raise McpError(INVALID_REQUEST, TOO_MUCH, status=413)
                    await self._doors.admit(inbound)  # who waits for a place may have lost the right to it
                    result = await self._result(inbound, call, asked.once_at(inbound, index))
                failed = failed or result.get("isError") is True
                written = wire.dumps(asked.write(call, result))
                answers[index], held = wire.Fragment(written), held + len(written)
            except Exception as exc:
                status, error = _failure(exc, call.name, self._hides(inbound), inbound.request_id)
                _note(status, exc)
                answers[index] = {**asked.form.id_of(item), "error": error}
            finally:
                serving.finish()

        async with asyncio.TaskGroup() as group:
            for index, item in enumerate(items):
                group.create_task(one(index, item))
        await inbound.exchange.respond(200, wire.dumps(answers), (IS_ERROR,) if failed else ())

    async def _result(self, inbound: Inbound, call: Call, once: Once | None) -> Message:
        request = _request(inbound, "tools/call", {"name": call.name, "arguments": call.arguments}, EXECUTION)
        request.once = once
        result = await self._service.relay.handle(request)
        if result.get("resultType") == "input_required":
            raise ErrorReply(INTERNAL_ERROR, "The upstream needs input that nobody can be asked for here")
        return plain(result)

    def _hides(self, inbound: Inbound) -> bool:
        return self._service.relay.access.policies(inbound.door).hides


def _request(inbound: Inbound, method: str, params: Message, dialect: Dialect) -> Request:
    entrant = inbound.entrant
    return Request(method, params, entrant.caller, inbound.door, dialect, NoChannel(), filters=entrant.filters)


def _query(text: bytes) -> dict[str, str]:
    return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True)) if text else {}


def _choice(query: Mapping[str, str], key: str, known: Mapping[str, Any], default: str) -> str:
    chosen = query.get(key, default).lower()
    if chosen not in known:
        raise McpError(INVALID_REQUEST, f"Invalid request: {key} must be {' or '.join(known)}", status=400)
    return chosen


def _wants_parts(query: Mapping[str, str]) -> bool:
    return _choice(query, "content", {"text": None, "parts": None}, "text") == "parts"


def _failure(exc: Exception, name: str, hides: bool, request_id: str) -> tuple[int, Message]:
    """The status and the error of one call that has no result."""
    if isinstance(exc, ErrorReply):
        return 502, {"type": "upstream_error", "message": to_error(exc, request_id).message}
    error = to_error(exc, request_id)
    if isinstance(error, UnknownTool) and not hides:
        return 404, {"type": "tool_execution_error", "message": f"Tool '{name}' not found"}
    if isinstance(error, NotAdmitted):
        kind = "invalid_request_error" if error.status == 400 else "authentication_error"
        return error.status or 401, {"type": kind, "message": error.message}
    if isinstance(error, UnknownTool) or error.code == FORBIDDEN:
        return 403, {"type": "tool_execution_error", "message": f"Tool '{name}' is not allowed for this request"}
    if error is not exc and error.code == INTERNAL_ERROR:
        return 500, {"type": "internal_error", "message": f"{error.message} (request {request_id})"}
    message = f"{error.message}; the call may have run" if _may_have_run(exc) else error.message
    status = error.status or STATUS.get(error.code, 400)
    return status, {"type": TYPES.get(error.code, "invalid_request_error"), "message": message, **_param(error)}


def _may_have_run(exc: Exception) -> bool:
    """Whether an upstream had the call, or a part of it, when it was given up: who sends it again may do it twice."""
    lost = exc.__cause__
    return isinstance(exc, UpstreamTimeout) or (isinstance(lost, ConnectionLost) and not lost.nothing_sent)


def _param(error: McpError) -> Message:
    field = error.data.get("field") if isinstance(error.data, dict) else None
    return {"param": field} if field else {}


def _note(status: int, exc: Exception) -> None:
    if status == 500:
        log.error("a request failed", exc_info=exc)


async def _refuse(inbound: Inbound, failure: tuple[int, Message], exc: Exception) -> None:
    status, error = failure
    _note(status, exc)
    if inbound.exchange.gone:
        return
    headers = [] if _may_have_run(exc) else headers_of(exc, status)
    await inbound.exchange.respond(status, wire.dumps({"error": error}), tuple(headers))


async def _not_allowed(inbound: Inbound, allow: str) -> None:
    error = {"type": "invalid_request_error", "message": f"Method not allowed: {inbound.method}"}
    await inbound.exchange.respond(405, wire.dumps({"error": error}), ((b"allow", allow.encode()),))
