from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fixtures.clock import real_time  # noqa: F401
from tests.fixtures.web_server import web_server
from upstreams.errors import ConnectionLost, ErrorReply, Unreachable
from upstreams.urls import joined
from upstreams.web import WebClient, media_type, proxy_for

pytestmark = pytest.mark.anyio

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def ok(request: web.Request, body: Any) -> web.StreamResponse:
    response = web.json_response({})
    response.set_cookie("track", "me")
    return response


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://far.example/mcp", "http://proxy:1"),
        ("https://far.example/mcp", "http://proxy:2"),
        ("http://near.example/mcp", None),
        ("http://deep.near.example:8080/mcp", None),
        ("http://127.0.0.1/mcp", None),
    ],
)
def test_the_environment_names_the_proxy(url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:2")
    monkeypatch.setenv("NO_PROXY", "near.example,127.0.0.1")
    assert proxy_for(url) == proxy


def test_without_a_proxy_in_the_environment_there_is_none() -> None:
    assert proxy_for("http://far.example/") is None


async def test_requests_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_server(ok) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        client = WebClient("http://far.example/mcp", {}, 1000)
        async with client.send("POST", {}, b"{}") as response:
            assert response.status == 200
        await client.close()
        assert proxy.seen[0].headers["Host"] == "far.example"


async def test_cookies_are_not_kept_and_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password sesame\ndefault login me password sesame\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with web_server(ok) as server:
        client = WebClient(server.url, {"X-Own": "1"}, 1000)
        for _ in range(2):
            async with client.send("POST", {}, b"{}"):
                pass
        await client.close()
        for seen in server.seen:
            assert "Cookie" not in seen.headers
            assert "Authorization" not in seen.headers
            assert seen.headers["X-Own"] == "1"


@pytest.mark.parametrize("location", ["", "http://[", "//", "http://h:99999/", "\x00"])
async def test_a_redirect_to_nowhere_is_the_answer(location: str) -> None:
    async def moves(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": location.replace("\x00", "%00:")})

    async with web_server(moves) as server:
        client = WebClient(server.url, {}, 1000)
        async with client.send("POST", {}, b"{}") as response:
            assert response.status == 307
        await client.close()
        assert len(server.seen) <= 2


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_within_the_origin_is_followed_once(status: int) -> None:
    async def moves(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"{request.path}/on"})

    async with web_server(moves) as server:
        client = WebClient(server.url, {"X-Own": "1"}, 1000)
        async with client.send("POST", {"X-Call": "2"}, b"[1]") as response:
            assert response.status == status
        await client.close()
        assert [(one.path, one.body) for one in server.seen] == [("/mcp", [1]), ("/mcp/on", [1])]
        assert [(one.headers["X-Own"], one.headers["X-Call"]) for one in server.seen] == [("1", "2")] * 2


async def test_a_redirect_that_names_a_user_of_its_own_gives_it_no_credentials() -> None:
    async def moves(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"http://evil:word@{request.host}/on"})

    async with web_server(moves) as server:
        client = WebClient(server.url.replace("//", "//user:word@"), {}, 1000)
        async with client.send("POST", {}, b"{}"):
            pass
        await client.close()
        assert {one.headers["Authorization"] for one in server.seen} == {"Basic dXNlcjp3b3Jk"}


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_may_change_the_method_is_the_answer(status: int) -> None:
    async def moves(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/on"})

    async with web_server(moves) as server:
        client = WebClient(server.url, {}, 1000)
        async with client.send("POST", {}, b"{}") as response:
            assert response.status == status
        await client.close()
        assert len(server.seen) == 1


async def test_a_body_is_read_up_to_the_limit() -> None:
    async def large(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(body=b"x" * int(request.query["size"]))

    async with web_server(large) as server:
        client = WebClient(server.url, {}, 1000)
        async with client.send("POST", {}, b"{}", joined(client.url, "?size=1000")) as response:
            assert len(await client.read(response)) == 1000
        for size in (1001, 1_000_000):
            async with client.send("POST", {}, b"{}", joined(client.url, f"?size={size}")) as response:
                with pytest.raises(ErrorReply, match="over 1000 bytes"):
                    await client.read(response)
        await client.close()


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_compressed_body_is_refused(proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def compressed(request: web.Request, body: Any) -> web.StreamResponse:
        response = web.Response(body=b"x" * 100_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with web_server(compressed) as server:
        if proxied:
            monkeypatch.setenv("http_proxy", server.origin)
        client = WebClient("http://far.example/" if proxied else server.url, {}, 1000)
        async with client.send("POST", {}, b"{}") as response:
            with pytest.raises(ErrorReply, match="compressed"):
                await client.read(response)
        await client.close()


async def test_the_media_type_is_lower_case_and_without_parameters() -> None:
    async def typed(request: web.Request, body: Any) -> web.StreamResponse:
        return web.Response(body=b"", headers={"Content-Type": "Text/Event-Stream ; charset=utf-8"})

    async with web_server(typed) as server:
        client = WebClient(server.url, {}, 1000)
        async with client.send("POST", {}, b"{}") as response:
            assert media_type(response) == "text/event-stream"
        await client.close()


async def test_what_cannot_be_reached_says_where_and_nothing_of_the_urls_secrets() -> None:
    async with web_server() as server:
        url = server.url
    client = WebClient(f"{url}?key=sesame", {}, 1000)
    with pytest.raises(Unreachable) as caught:
        async with client.send("POST", {}, b"{}"):
            pass
    await client.close()
    assert "cannot connect to 127.0.0.1" in str(caught.value)
    assert "sesame" not in str(caught.value)


async def test_an_answer_that_is_no_http_is_a_lost_connection_without_secrets() -> None:
    async def cut(request: web.Request, body: Any) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 nonsense sesame\r\n\r\n")  # type: ignore[attr-defined]
        request.transport.abort()
        return web.Response()

    async with web_server(cut) as server:
        client = WebClient(f"{server.url}?key=sesame", {}, 1000)
        with pytest.raises(ConnectionLost) as caught:
            async with client.send("POST", {}, b"{}"):
                pass
        await client.close()
        assert "sesame" not in str(caught.value)
