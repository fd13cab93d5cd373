import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.fixtures.clock import real_time, until  # noqa: F401
from tests.fixtures.fakes import FakeChannel, Surroundings, entry, initialized
from tests.fixtures.web_server import WebServer, events, reply, web_server
from upstreams import http
from upstreams.connection import Call
from upstreams.errors import ConnectionLost, ErrorReply, SessionExpired, Unreachable
from upstreams.http import HttpConnection
from upstreams.negotiation import LEGACY

pytestmark = pytest.mark.anyio

SECRET = "Bearer sesame"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(http, "RETRY_LEAST_SECONDS", 0.001)


@asynccontextmanager
async def connected(
    server: WebServer | str, max_message: int = 2**20
) -> AsyncIterator[tuple[HttpConnection, Surroundings]]:
    url = server if isinstance(server, str) else server.url
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        around = Surroundings(group, max_message)
        connection = HttpConnection(entry(url=url, headers={"Authorization": SECRET}), around.wiring)
        try:
            yield connection, around
        finally:
            await connection.close()
            around.end()


async def answered(request: web.Request, body: Any) -> web.StreamResponse:
    return web.json_response(reply(body, said=body["params"])) if "id" in body else web.Response(status=202)


async def in_session(request: web.Request, body: Any) -> web.StreamResponse:
    if body.get("method") == "initialize":
        return web.json_response(reply(body, **initialized(LEGACY[0])), headers={"Mcp-Session-Id": "s1"})
    return await answered(request, body)


async def open_session(connection: HttpConnection) -> None:
    await connection.request(Call("initialize", {}))
    connection.handshake_done({"MCP-Protocol-Version": LEGACY[0]})


async def test_a_json_answer_is_the_result() -> None:
    async with web_server(answered) as server, connected(server) as (connection, _):
        assert await connection.request(Call("m", {"a": 1}, {"Mcp-Name": "n"})) == {"said": {"a": 1}}
        (seen,) = server.seen
        assert seen.headers["Accept"] == "application/json, text/event-stream"
        assert (seen.headers["Mcp-Name"], seen.headers["Authorization"]) == ("n", SECRET)


async def test_a_streamed_answer_brings_progress_and_logs_to_its_own_call() -> None:
    async def streamed(request: web.Request, body: Any) -> web.StreamResponse:
        token = body["params"]["_meta"]["progressToken"]
        async with events(request) as send:
            await send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
            await send({"method": "notifications/progress", "params": {"progressToken": "other"}})
            await send({"method": "notifications/message", "params": {"data": "log"}})
            await send({"method": "notifications/tools/list_changed"})
            await send({"jsonrpc": "2.0", "id": 999, "result": {"not": "yours"}})
            await send(reply(body, ok=True))
        return send.response  # type: ignore[attr-defined]

    channel = FakeChannel()
    async with web_server(streamed) as server, connected(server) as (connection, around):
        call = Call("m", {"_meta": {"progressToken": "mine"}}, channel=channel)
        assert await connection.request(call) == {"ok": True}
        assert channel.heard == [
            ("notifications/progress", {"progressToken": "mine", "progress": 1}),
            ("notifications/message", {"data": "log"}),
        ]
        assert around.notices == [("notifications/tools/list_changed", {})]


async def test_a_question_on_a_calls_stream_is_answered_by_that_calls_client() -> None:
    asked = asyncio.Event()

    async def asks(request: web.Request, body: Any) -> web.StreamResponse:
        if "method" not in body:
            asked.set()
            return web.Response(status=202)
        async with events(request) as send:
            await send({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})
            await asked.wait()
            await send(reply(body))
        return send.response  # type: ignore[attr-defined]

    async with web_server(asks) as server, connected(server) as (connection, _):
        await connection.request(Call("m", {}, channel=FakeChannel(answer={"roots": [1]})))
        assert server.seen[1].body == {"jsonrpc": "2.0", "id": "q", "result": {"roots": [1]}}


@pytest.mark.parametrize("body", [{"id": 77, "result": {}}, [], "x", {"id": "1", "result": {}}])
async def test_an_answer_that_is_not_to_the_request_is_an_error(body: Any) -> None:
    async def wrong(request: web.Request, sent: Any) -> web.StreamResponse:
        return web.json_response(body)

    async with web_server(wrong) as server, connected(server) as (connection, _):
        with pytest.raises(ErrorReply, match="no reply"):
            await connection.request(Call("m", {}))


@pytest.mark.parametrize("status", [202, 301, 400, 401, 403, 404, 405, 429, 500, 503])
async def test_a_status_that_is_no_answer_is_told_without_secrets(status: int) -> None:
    async def refused(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=status, text=f"you sent {request.headers['Authorization']}")

    async with web_server(refused) as server, connected(server) as (connection, _):
        with pytest.raises(ConnectionLost) as caught:
            await connection.request(Call("m", {}))
        assert str(status) in str(caught.value)
        assert "sesame" not in f"{caught.value!r} {caught.value}"


async def test_a_json_rpc_error_under_any_status_is_that_error() -> None:
    async def refused(request: web.Request, body: Any) -> web.StreamResponse:
        return web.json_response({"id": None, "error": {"code": -32022, "message": "no"}}, status=400)

    async with web_server(refused) as server, connected(server) as (connection, _):
        with pytest.raises(ErrorReply, match="no"):
            await connection.request(Call("m", {}))


async def test_a_forgotten_session_is_told_apart_from_a_wrong_url() -> None:
    forgotten = False

    async def forgetful(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=404) if forgotten else await in_session(request, body)

    async with web_server(forgetful) as server, connected(server) as (connection, _):
        await open_session(connection)
        await connection.request(Call("m", {}))
        last = server.of("m")[0].headers
        assert (last["Mcp-Session-Id"], last["MCP-Protocol-Version"]) == ("s1", LEGACY[0])
        forgotten = True
        with pytest.raises(SessionExpired):
            await connection.request(Call("m", {}))
        connection.forget_session()
        with pytest.raises(ConnectionLost, match="404") as caught:
            await connection.request(Call("m", {}))
        assert not isinstance(caught.value, SessionExpired)


async def test_closing_ends_the_session_at_the_server() -> None:
    async with web_server(in_session) as server:
        async with connected(server) as (connection, _):
            await open_session(connection)
        assert [one.headers["Mcp-Session-Id"] for one in server.of("DELETE")] == ["s1"]


async def test_a_stream_that_ends_before_the_answer_is_resumed_after_its_last_event() -> None:
    waiting: dict[str, Any] = {}

    async def breaks(request: web.Request, body: Any) -> web.StreamResponse:
        waiting["body"] = body
        async with events(request) as send:
            await send(id="e0", retry=1)
        return send.response  # type: ignore[attr-defined]

    async def resumes(request: web.Request, body: Any) -> web.StreamResponse:
        number = int(request.headers["Last-Event-ID"][1:])
        async with events(request) as send:
            await send(reply(waiting["body"], ok=True) if number == 8 else None, id=f"e{number + 1}")
        return send.response  # type: ignore[attr-defined]

    async with web_server(breaks, resumes) as server, connected(server) as (connection, _):
        assert await connection.request(Call("m", {})) == {"ok": True}
        assert [one.headers["Last-Event-ID"] for one in server.of("GET")] == [f"e{number}" for number in range(9)]
        assert len(server.of("POST")) == 1


@pytest.mark.parametrize("fields", [{}, {"id": "e0", "retry": 0}])
async def test_a_stream_that_brings_nothing_more_is_given_up(fields: Any) -> None:
    async def ends(request: web.Request, body: Any) -> web.StreamResponse:
        async with events(request) as send:
            await send(**fields)
        return send.response  # type: ignore[attr-defined]

    async with web_server(ends, ends) as server, connected(server) as (connection, _):
        with pytest.raises(ConnectionLost, match="closed the stream"):
            await connection.request(Call("m", {}))
        assert len(server.of("GET")) == (http.RESUME_ATTEMPTS + 1 if fields else 0)


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_over_the_limit_is_refused(streamed: bool) -> None:
    async def endless(request: web.Request, body: Any) -> web.StreamResponse:
        kind = "text/event-stream" if streamed else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"data: " + b"x" * 1000)
        return response

    async with web_server(endless) as server, connected(server, 10_000) as (connection, _):
        with pytest.raises(ErrorReply, match="over 10000 bytes"):
            await connection.request(Call("m", {}))


@pytest.mark.parametrize("legacy", [True, False])
async def test_a_cancelled_call_is_cancelled_as_its_era_says(legacy: bool) -> None:
    async def hangs(request: web.Request, body: Any) -> web.StreamResponse:
        if body.get("method") == "hang":
            await asyncio.Event().wait()
        return await in_session(request, body)

    async with web_server(hangs) as server, connected(server) as (connection, _):
        if legacy:
            await open_session(connection)
        call = asyncio.ensure_future(connection.request(Call("hang", {})))
        await until(lambda: server.of("hang"))
        call.cancel()
        await until(lambda: server.gone)
        if legacy:
            await until(lambda: server.of("notifications/cancelled"))
            assert (
                server.of("notifications/cancelled")[0].body["params"]["requestId"] == server.of("hang")[0].body["id"]
            )
        else:
            assert server.of("notifications/cancelled") == []


async def test_the_servers_own_stream_brings_changes_and_is_opened_again_with_its_last_id() -> None:
    async def streams(request: web.Request, body: Any) -> web.StreamResponse:
        async with events(request) as send:
            await send({"method": "notifications/tools/list_changed"}, id="e1", retry=1)
            if "Last-Event-ID" in request.headers:
                await asyncio.Event().wait()
        return send.response  # type: ignore[attr-defined]

    async with web_server(in_session, streams) as server, connected(server) as (connection, around):
        await open_session(connection)
        await until(lambda: len(server.of("GET")) == 2 and len(around.notices) == 2)
        first, second = server.of("GET")
        assert (first.headers["Mcp-Session-Id"], second.headers["Last-Event-ID"]) == ("s1", "e1")


async def test_a_server_without_a_stream_is_asked_for_it_once() -> None:
    async with web_server(in_session) as server, connected(server) as (connection, around):
        await open_session(connection)
        await until(lambda: around.tasks[0].done())
        assert len(server.of("GET")) == 1


@pytest.mark.alone
async def test_a_server_that_closes_its_stream_at_once_is_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_LEAST_SECONDS", 0.1)

    async def closes(request: web.Request, body: Any) -> web.StreamResponse:
        async with events(request) as send:
            await send(id="e1", retry=0)
        return send.response  # type: ignore[attr-defined]

    async with web_server(in_session, closes) as server, connected(server) as (connection, _):
        await open_session(connection)
        await until(lambda: len(server.of("GET")) >= 2)
        for _ in range(50):
            await connection.request(Call("m", {}))
        assert len(server.of("GET")) < 10


async def test_a_stream_that_knows_no_session_any_more_is_told() -> None:
    async def forgot(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=404)

    async with web_server(in_session, forgot) as server, connected(server) as (connection, around):
        await open_session(connection)
        await until(lambda: around.expired)


async def test_a_redirect_within_the_origin_is_followed_once_with_the_same_body() -> None:
    async def moves(request: web.Request, body: Any) -> web.StreamResponse:
        if request.path == "/mcp":
            raise web.HTTPTemporaryRedirect("/mcp/")
        return await answered(request, body)

    async with web_server(moves) as server, connected(server) as (connection, _):
        assert await connection.request(Call("m", {"a": 1})) == {"said": {"a": 1}}
        assert [(one.path, one.headers["Authorization"]) for one in server.seen] == [
            ("/mcp", SECRET),
            ("/mcp/", SECRET),
        ]


@pytest.mark.parametrize("kind", [web.HTTPTemporaryRedirect, web.HTTPPermanentRedirect, web.HTTPFound])
async def test_a_redirect_out_of_the_origin_is_not_followed_and_no_credential_leaves(kind: Any) -> None:
    async with web_server(answered) as other:

        async def leads_away(request: web.Request, body: Any) -> web.StreamResponse:
            raise kind(other.url)

        async with web_server(leads_away) as server, connected(server) as (connection, _):
            with pytest.raises(ConnectionLost, match=r"HTTP 30\d"):
                await connection.request(Call("m", {}))
        assert other.seen == []


async def test_a_server_that_is_not_there_is_unreachable_and_told() -> None:
    async with web_server() as server:
        url = server.url
    async with connected(url) as (connection, around):
        with pytest.raises(Unreachable, match=r"cannot connect to 127\.0\.0\.1"):
            await connection.request(Call("m", {}))
        assert len(around.lost) == 1


async def test_a_connection_that_breaks_midway_is_lost() -> None:
    async def breaks(request: web.Request, body: Any) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with web_server(breaks) as server, connected(server) as (connection, _):
        with pytest.raises(ConnectionLost) as caught:
            await connection.request(Call("m", {}))
        assert not isinstance(caught.value, Unreachable)
        assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("streamed", [True, False])
async def test_closing_fails_the_calls_in_flight(streamed: bool) -> None:
    async def hangs(request: web.Request, body: Any) -> web.StreamResponse:
        if streamed:
            async with events(request) as send:
                await send(id="e1")
                await asyncio.Event().wait()
        await asyncio.Event().wait()
        raise AssertionError

    async with web_server(hangs) as server, connected(server) as (connection, _):
        call = asyncio.ensure_future(connection.request(Call("m", {})))
        await until(lambda: server.seen)
        await asyncio.sleep(0.01)  # the head of the answer is on its way
        await connection.close()
        with pytest.raises(ConnectionLost):
            await call
