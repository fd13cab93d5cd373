import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.fixtures.clock import real_time, until  # noqa: F401
from tests.fixtures.fakes import Surroundings, entry
from tests.fixtures.web_server import WebServer, reply, web_server
from upstreams import sse
from upstreams.connection import Call
from upstreams.errors import ConnectionLost
from upstreams.sse import SseConnection

pytestmark = pytest.mark.anyio

SECRET = "Bearer sesame"


class Server:
    """The two halves of an HTTP+SSE server: what `stream` writes, and an answer to each POST on the stream."""

    def __init__(self, *endpoints: str) -> None:
        self.endpoints = endpoints
        self.stream: web.StreamResponse | None = None
        self.over = asyncio.Event()
        self.status = 202
        self.mute = False

    async def get(self, request: web.Request, body: Any) -> web.StreamResponse:
        self.stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await self.stream.prepare(request)
        for endpoint in self.endpoints:
            await self.stream.write(f"event: endpoint\ndata: {endpoint}\n\n".encode())
        await self.over.wait()
        return self.stream

    async def post(self, request: web.Request, body: Any) -> web.StreamResponse:
        if not self.mute and "id" in body and self.status == 202:
            await self.say(reply(body, path=request.path))
        return web.Response(status=self.status)

    async def say(self, message: Any) -> None:
        assert self.stream is not None
        await self.stream.write(b"event: message\ndata: " + orjson.dumps(message) + b"\n\n")


@asynccontextmanager
async def connected(server: WebServer, path: str = "/sse") -> AsyncIterator[tuple[SseConnection, Surroundings]]:
    around = Surroundings()
    one = entry(url=server.origin + path, type="sse", headers={"Authorization": SECRET})
    async with asyncio.timeout(5):
        try:
            connection = await SseConnection.start(one, around.wiring)
            yield connection, around
            await connection.close()
        finally:
            around.end()
            for done in await asyncio.gather(*around.tasks, return_exceptions=True):
                assert done is None or isinstance(done, asyncio.CancelledError)


@pytest.mark.parametrize("endpoint", ["/messages?session=1", "messages?session=1"])
async def test_requests_go_to_the_endpoint_that_the_stream_names(endpoint: str) -> None:
    far = Server(endpoint)
    async with web_server(far.post, far.get) as server, connected(server) as (connection, around):
        assert await connection.request(Call("m", {})) == {"path": "/messages"}
        await far.say({"method": "notifications/tools/list_changed"})
        await until(lambda: around.notices)
        assert [one.headers["Authorization"] for one in server.seen] == [SECRET] * 2


async def test_an_endpoint_of_another_origin_is_refused_and_never_gets_a_credential() -> None:
    async with web_server() as other:
        for endpoint in (f"{other.origin}/messages", other.origin.replace("http:", "") + "/messages", "ftp://h/x"):
            far = Server(endpoint)
            async with web_server(far.post, far.get) as server:
                with pytest.raises(ConnectionLost, match="endpoint of another origin"):
                    async with connected(server):
                        pass
        assert other.seen == []


async def test_a_second_endpoint_changes_nothing() -> None:
    far = Server("/first", "/second")
    async with web_server(far.post, far.get) as server, connected(server) as (connection, _):
        assert await connection.request(Call("m", {})) == {"path": "/first"}


@pytest.mark.parametrize("endpoint", ["http://[", "http://h:99999/"])
async def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    far = Server(endpoint)
    async with web_server(far.post, far.get) as server:
        with pytest.raises(ConnectionLost, match="endpoint of another origin"):
            async with connected(server):
                pass


async def test_a_stream_without_an_endpoint_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "ENDPOINT_SECONDS", 0.05)
    far = Server()
    async with web_server(far.post, far.get) as server:
        with pytest.raises(ConnectionLost, match="no endpoint event"):
            async with connected(server):
                pass


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_what_is_no_stream_is_told_without_secrets(status: int) -> None:
    async def refuses(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=status, text=request.headers["Authorization"])

    async with web_server(get=refuses) as server:
        with pytest.raises(ConnectionLost, match=str(status)) as caught:
            async with connected(server):
                pass
        assert "sesame" not in str(caught.value)


async def test_a_stream_that_ends_fails_the_calls_and_is_told() -> None:
    far = Server("/messages")
    async with web_server(far.post, far.get) as server, connected(server) as (connection, around):
        far.mute = True
        call = asyncio.ensure_future(connection.request(Call("m", {})))
        await until(lambda: server.of("m"))
        far.over.set()
        with pytest.raises(ConnectionLost, match="closed its stream"):
            await call
        assert around.lost == ["the upstream closed its stream"]


async def test_a_post_that_is_refused_fails_its_call_only() -> None:
    far = Server("/messages")
    async with web_server(far.post, far.get) as server, connected(server) as (connection, around):
        far.status = 500
        with pytest.raises(ConnectionLost, match="HTTP 500"):
            await connection.request(Call("m", {}))
        far.status = 202
        assert await connection.request(Call("m", {})) == {"path": "/messages"}
        assert around.lost == []


async def test_closing_is_no_loss() -> None:
    far = Server("/messages")
    async with web_server(far.post, far.get) as server, connected(server) as (connection, around):
        await connection.close()
        await connection.close()
        await until(lambda: all(task.done() for task in around.tasks))
        assert around.lost == []
