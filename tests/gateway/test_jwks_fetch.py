"""The fetcher itself, against a server that is wrong, slow, huge, redirecting or down."""

from collections.abc import Callable

import pytest

from gateway.jwks import MAX_BYTES, NotFetched, fetch
from tests.fixtures.clock import real_time  # noqa: F401
from tests.fixtures.jwks_endpoint import answer, chunked, compressed, jwks_endpoint, redirect

pytestmark = pytest.mark.anyio


async def test_the_body_comes_as_it_is() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = answer(b'{"keys": []}')
        assert await fetch(endpoint.url) == b'{"keys": []}'
        assert endpoint.seen[0].startswith("GET /jwks.json HTTP/1.1")


async def test_a_redirect_is_not_followed() -> None:
    async with jwks_endpoint() as endpoint, jwks_endpoint() as other:
        endpoint.reply, other.reply = redirect(other.url), answer(b'{"keys": []}')
        assert await fetch(endpoint.url) == NotFetched("HTTP 302 Found")
        assert other.seen == []


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Internal Server Error", "204 No Content", "206 Partial Content"]
)
async def test_any_status_but_200_is_an_outage(status: str) -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = answer(b"" if status.startswith("204") else b'{"keys": []}', status)
        assert isinstance(await fetch(endpoint.url), NotFetched)


@pytest.mark.parametrize("form", [answer, chunked])
async def test_a_body_over_one_mebibyte_is_an_outage(form: Callable[[bytes], bytes]) -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = form(b" " * (MAX_BYTES + 1))
        assert await fetch(endpoint.url) == NotFetched(f"is over {MAX_BYTES} bytes")
        endpoint.reply = form(b" " * MAX_BYTES)
        assert await fetch(endpoint.url) == b" " * MAX_BYTES


async def test_a_compressed_body_is_not_unpacked() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = compressed(b" " * 10_000_000)
        assert isinstance(await fetch(endpoint.url), NotFetched)
        assert "Accept-Encoding: identity" in endpoint.seen[0]


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.open.clear()
        assert await fetch(endpoint.url, 0.05) == NotFetched("no answer within 0.05 s")


async def test_a_server_that_is_down_is_an_outage() -> None:
    async with jwks_endpoint() as endpoint:
        url = endpoint.url
    assert isinstance(await fetch(url), NotFetched)


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
async def test_a_server_that_speaks_no_http_is_an_outage(reply: bytes) -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = reply
        assert isinstance(await fetch(endpoint.url), NotFetched)


async def test_a_cookie_is_not_brought_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = answer(b"{}", "200 OK", "Set-Cookie: a=b")
        await fetch(endpoint.url)
        await fetch(endpoint.url)
        assert "cookie" not in endpoint.seen[1].lower()


async def test_what_is_on_this_machine_is_never_asked_for_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with jwks_endpoint() as endpoint, jwks_endpoint() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        endpoint.reply = answer(b"{}")
        assert await fetch(endpoint.url) == b"{}"
        assert proxy.seen == []
