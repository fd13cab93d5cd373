import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fixtures.byte_server import OK, ByteServer, Script, Visit, byte_server, closing, saying, whole
from tests.fixtures.certificate import certificate
from tests.fixtures.clock import real_time, turns, until  # noqa: F401
from upstreams.errors import ConnectionLost, Unreachable
from upstreams.proxied import ProxiedAnswer, ProxiedPool
from upstreams.urls import parse_url

pytestmark = pytest.mark.anyio

FAR = "http://far.example/mcp"
UNFINISHED = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
MOVED = b"HTTP/1.1 307 Moved\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def pool_through(
    script: Script, origin: str = FAR, headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[ProxiedPool, ByteServer]]:
    """A pool whose requests all go to a proxy that runs ``script``."""
    async with byte_server(script) as proxy:
        pool = ProxiedPool(parse_url(origin), headers or {}, proxy.origin)
        try:
            yield pool, proxy
        finally:
            await pool.close()


async def opened(pool: ProxiedPool, url: str = FAR) -> ProxiedAnswer:
    return await pool.open("POST", parse_url(url), {}, b"{}")


async def asked(pool: ProxiedPool) -> bytes:
    return await whole(await opened(pool))


def headers_of(head: str) -> dict[str, str]:
    """The headers of a request, by lower-case name; none may come twice."""
    pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:-2]]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs)
    return headers


async def test_a_request_names_its_whole_url_and_connections_are_kept() -> None:
    async with pool_through(saying(OK, OK), headers={"X-Key": "k"}) as (pool, proxy):
        assert await asked(pool) == b"ok"
        assert await asked(pool) == b"ok"
        ((first, second),) = proxy.heads()
        assert first == second
        assert first.startswith(f"POST {FAR} HTTP/1.1\r\n")
        headers = headers_of(first)
        assert (headers["host"], headers["user-agent"], headers["x-key"]) == ("far.example", "onegate", "k")
        assert (headers["accept-encoding"], headers["content-length"]) == ("identity", "2")
        assert "authorization" not in headers


async def test_a_target_goes_out_as_it_was_written() -> None:
    async with pool_through(saying(OK)) as (pool, proxy):
        await whole(await opened(pool, "http://far.example:81/%2Fa%20/é?b=%26+c"))
        assert proxy.heads()[0][0].startswith("POST http://far.example:81/%2Fa%20/%C3%A9?b=%26+c HTTP/1.1\r\n")


@pytest.mark.parametrize("declared", [{}, {"authorization": "Bearer b"}])
async def test_user_and_password_of_the_url_go_as_basic_unless_the_entry_says_so(
    declared: dict[str, str],
) -> None:
    url = "http://user:word@far.example/mcp"
    async with pool_through(saying(OK), url, declared) as (pool, proxy):
        await whole(await opened(pool, url))
        assert proxy.heads()[0][0].startswith(f"POST {FAR} HTTP/1.1\r\n")
        assert headers_of(proxy.heads()[0][0])["authorization"] == declared.get("authorization", "Basic dXNlcjp3b3Jk")


async def test_an_entrys_headers_stand_in_place_of_our_own_and_a_requests_in_place_of_both() -> None:
    declared = {"user-agent": "mine", "HOST": "elsewhere", "Accept-encoding": "br", "Accept": "entry"}
    async with pool_through(saying(OK), headers=declared) as (pool, proxy):
        await whole(await pool.open("GET", parse_url(FAR), {"accept": "request"}, None))
        headers = headers_of(proxy.heads()[0][0])
        assert (headers["user-agent"], headers["host"], headers["accept-encoding"]) == ("mine", "elsewhere", "br")
        assert headers["accept"] == "request"


async def test_header_names_are_lower_case_and_repeated_ones_joined() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-One: a\r\nx-one:  b \r\nContent-Length: 0\r\n\r\n"
    async with pool_through(saying(head)) as (pool, _):
        answer = await opened(pool)
        assert answer.headers == {"x-one": "a, b", "content-length": "0"}
        answer.release()


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    cookie = MOVED.replace(b"Location", b"Set-Cookie: a=b; Path=/\r\nLocation")
    async with pool_through(saying(cookie, OK)) as (pool, proxy):
        answer = await opened(pool)
        assert (answer.status, await whole(answer)) == (307, b"")
        await asked(pool)
        assert "cookie" not in headers_of(proxy.heads()[0][1])


async def test_leaving_an_answer_before_its_end_closes_its_connection() -> None:
    async with pool_through(saying(UNFINISHED)) as (pool, proxy):
        answer = await opened(pool)
        assert await answer.chunk() == b"half"
        answer.release()
        await proxy.visits[0].ended.wait()


@pytest.mark.parametrize("read", [True, False])
async def test_nothing_is_held_of_an_answer_that_was_released(read: bool) -> None:
    async with pool_through(saying(OK, OK, OK)) as (pool, _):
        for _ in range(3):
            answer = await opened(pool)
            assert pool._answers
            if read:
                await answer.chunk()
            answer.release()
            assert not pool._answers


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nX: sesame", UNFINISHED, b"sesame\r\n\r\n"])
async def test_an_answer_that_breaks_is_told_without_a_word_of_it(said: bytes) -> None:
    async with pool_through(closing(said)) as (pool, _):
        with pytest.raises(ConnectionLost, match=r"^the connection broke: ") as caught:
            await asked(pool)
        assert not isinstance(caught.value, Unreachable)
        assert "sesame" not in f"{caught.value!r}"
        assert "half" not in f"{caught.value!r}"


@pytest.mark.parametrize("answers", [(), (UNFINISHED,)])
async def test_closing_wakes_who_waits_and_refuses_who_comes(answers: tuple[bytes, ...]) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        for answer in answers:
            await visit.say(answer)
        await visit.left()

    async with pool_through(script) as (pool, proxy):
        waiting = asyncio.ensure_future(asked(pool))
        await until(lambda: proxy.visits and proxy.visits[0].requests)
        await turns()
        await pool.close()
        with pytest.raises(ConnectionLost):
            await waiting
        with pytest.raises(ConnectionLost, match="closed"):
            await asked(pool)
        await proxy.visits[0].ended.wait()


async def test_a_header_with_a_line_break_is_refused_before_anything_is_sent() -> None:
    async with pool_through(saying(OK)) as (pool, proxy):
        with pytest.raises(ConnectionLost, match="the header X-Key holds a line break"):
            await pool.open("POST", parse_url(FAR), {"X-Key": "a\r\nX-Other: b"}, b"{}")
        assert proxy.visits == []


async def test_a_proxy_that_is_not_there_is_unreachable_and_no_secret_is_told() -> None:
    async with byte_server(saying()) as proxy:
        gone = proxy.origin.replace("//", "//user:sesame@")
    pool = ProxiedPool(parse_url(FAR), {}, gone)
    with pytest.raises(Unreachable, match=r"^cannot connect to far\.example:80 through the proxy: Connection refused$"):
        await opened(pool, f"{FAR}?key=sesame")
    await pool.close()


@pytest.mark.parametrize("proxy", ["sesame", "sesame:3128", "http://[sesame"])
async def test_a_proxy_that_is_no_url_is_unreachable_and_not_quoted(proxy: str) -> None:
    pool = ProxiedPool(parse_url(FAR), {}, proxy)
    with pytest.raises(Unreachable, match=r"through the proxy: its URL in the environment is not a URL$"):
        await opened(pool)
    await pool.close()


async def test_a_proxys_own_credentials_go_to_it() -> None:
    async with byte_server(saying(OK)) as proxy:
        pool = ProxiedPool(parse_url(FAR), {}, proxy.origin.replace("//", "//user:word@"))
        await asked(pool)
        await pool.close()
        assert headers_of(proxy.heads()[0][0])["proxy-authorization"] == "Basic dXNlcjp3b3Jk"


async def test_a_tunnel_that_the_proxy_refuses_is_unreachable_and_nothing_is_sent_into_it() -> None:
    refusal = b"HTTP/1.1 407 sesame\r\nContent-Length: 0\r\n\r\n"
    url = "https://user:word@far.example/mcp?key=k"
    async with pool_through(saying(refusal), url, {"X-Key": "k"}) as (pool, proxy):
        with pytest.raises(
            Unreachable, match=r"^cannot connect to far\.example:443 through the proxy: it answered 407$"
        ):
            await opened(pool, url)
        ((head,),) = proxy.heads()
        assert head.startswith("CONNECT far.example:443 HTTP/1.1\r\n")
        assert set(headers_of(head)) <= {"host", "accept", "accept-encoding", "user-agent"}


async def tunnel(visit: Visit) -> None:
    """Answer CONNECT, and carry bytes until one side has no more."""
    await visit.request()
    host, port = visit.requests[0][0].split(" ")[1].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await visit.say(b"HTTP/1.1 200 OK\r\n\r\n")
    there = asyncio.ensure_future(visit.carry_to(writer))
    while data := await reader.read(2**16):
        await visit.say(data)
    writer.close()
    await there


@pytest.mark.parametrize("trusted", [True, False])
async def test_through_a_tunnel_secrets_go_only_to_the_server_that_proves_its_name(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, context = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with byte_server(saying(OK, OK), tls=context) as far:
        url = far.origin.replace("//", "//user:word@")
        async with pool_through(tunnel, url, {"X-Key": "k"}) as (pool, proxy):
            if trusted:
                for _ in range(2):
                    assert await whole(await opened(pool, url)) == b"ok"
                ((first, _),) = far.heads()
                assert headers_of(first)["authorization"] == "Basic dXNlcjp3b3Jk"
                assert headers_of(first)["x-key"] == "k"
            else:
                with pytest.raises(Unreachable, match=r"its certificate is not trusted \(self.signed"):
                    await opened(pool, url)
                assert [head for heads in far.heads() for head in heads] == []
            ((connect,),) = proxy.heads()
            assert not {"x-key", "authorization", "proxy-authorization"} & set(headers_of(connect))
