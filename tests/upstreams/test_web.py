from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from tests.fixtures.clock import real_time  # noqa: F401
from tests.fixtures.web_server import web_server
from upstreams.errors import ConnectionLost, ErrorReply, Unreachable
from upstreams.web import WebClient, proxy_for, same_origin

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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b?c", True),
        ("https://h/", "https://h:443/", True),
        ("http://H/", "http://h/", True),
        ("http://h/", "https://h/", False),
        ("http://h/", "http://h:8080/", False),
        ("http://h/", "http://h.example/", False),
        ("http://h/", "http://h@evil/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert same_origin(URL(one), URL(other)) is same


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


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_is_read_up_to_the_limit_as_it_is_after_decompression(compressed: bool) -> None:
    async def large(request: web.Request, body: Any) -> web.StreamResponse:
        response = web.Response(body=b"x" * int(request.query["size"]))
        if compressed:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    async with web_server(large) as server:
        client = WebClient(server.url, {"Accept-Encoding": "gzip"}, 1000)
        async with client.send("POST", {}, b"{}", client.url.with_query(size=1000)) as response:
            assert len(await client.read(response)) == 1000
        async with client.send("POST", {}, b"{}", client.url.with_query(size=100_000)) as response:
            with pytest.raises(ErrorReply, match="over 1000 bytes"):
                await client.read(response)
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
