import asyncio
import gc
import socket
from typing import Any

import pytest

from tests.fixtures.byte_server import (
    OK,
    Visit,
    asked,
    byte_server,
    closing,
    echo,
    opened,
    pool_to,
    saying,
    whole,
)
from tests.fixtures.clock import both_loops, turns, until  # noqa: F401
from upstreams import pool as pools
from upstreams.errors import ConnectionLost, Unreachable
from upstreams.outbox import LARGE
from upstreams.pool import Pool
from upstreams.urls import parse_url

pytestmark = pytest.mark.anyio

UNFINISHED = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
TOO_LONG = ".".join(5 * ["a" * 63])  # more than the 255 bytes that a name may have: no lookup leaves the machine
NEVER_ENDING = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"


async def test_exchanges_that_follow_each_other_share_a_connection() -> None:
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        for body in (b"one", b"two", b"", b"three"):
            assert await asked(pool, body) == body
        assert [len(heads) for heads in server.heads()] == [4]


async def test_bodies_of_any_size_arrive_as_they_were_sent() -> None:
    sizes = (LARGE - 1, LARGE, LARGE + 1, 5 * LARGE, 0, 2_000_000, 3)
    bodies = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        for body in bodies:
            assert await asked(pool, body) == body
        assert [len(heads) for heads in server.heads()] == [len(bodies)]
        assert await asyncio.gather(*(asked(pool, body) for body in bodies)) == bodies


async def test_exchanges_at_the_same_time_get_their_own_answers() -> None:
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        bodies = [b"%d" % number * (1 + number * 1000) for number in range(50)]
        for _ in range(3):
            assert await asyncio.gather(*(asked(pool, body) for body in bodies)) == bodies
        assert len(server.visits) == 50


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + OK,
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsesa",
        OK + b"sesame",
    ],
)
async def test_a_connection_that_can_take_no_other_exchange_is_closed(last: bytes) -> None:
    async with byte_server(saying(last)) as server, pool_to(server.origin) as pool:
        assert await asked(pool) == b"ok"
        assert await asked(pool) == b"ok"
        assert len(server.visits) == 2
        await server.visits[0].ended.wait()


async def test_what_comes_unasked_on_an_idle_connection_answers_nothing() -> None:
    speak = asyncio.Event()

    async def talks(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        await speak.wait()
        await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsesame")
        await visit.left()

    async with byte_server(talks) as server, pool_to(server.origin) as pool:
        assert await asked(pool) == b"ok"
        speak.set()
        await turns()
        assert await asked(pool) == b"ok"
        assert len(server.visits) == 2


@pytest.mark.parametrize("answer", [UNFINISHED, NEVER_ENDING])
async def test_leaving_an_answer_before_its_end_closes_its_connection(answer: bytes) -> None:
    async with byte_server(saying(answer)) as server, pool_to(server.origin) as pool:
        for number in range(2):
            left = await opened(pool)
            assert await left.chunk()
            left.release()
            await server.visits[number].ended.wait()
        assert len(server.visits) == 2


async def test_an_answer_that_nobody_read_does_not_leak_into_the_next() -> None:
    async with byte_server(saying(OK, UNFINISHED + b"-done")) as server, pool_to(server.origin) as pool:
        (await opened(pool)).release()
        assert await asked(pool) == b"half-done"
        assert len(server.visits) == 1


async def test_a_connection_idle_for_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        await asked(pool)
        monkeypatch.setattr(pools, "KEEPALIVE_SECONDS", 0.0)
        await asked(pool)
        assert len(server.visits) == 2


async def test_a_connection_idle_for_too_long_is_closed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "KEEPALIVE_SECONDS", 0.01)
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        for number in range(2):
            await asked(pool)
            await server.visits[number].ended.wait()


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with byte_server(closing(OK)) as server, pool_to(server.origin) as pool:
        for number in range(3):
            assert await asked(pool) == b"ok"
            await server.visits[number].ended.wait()
            await turns()
        assert len(server.visits) == 3


@pytest.mark.parametrize("answers", [(), (UNFINISHED,)])
async def test_cancelling_closes_the_connection(answers: tuple[bytes, ...]) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        for answer in answers:
            await visit.say(answer)
        await visit.left()

    async with byte_server(script) as server, pool_to(server.origin) as pool:
        reading = asyncio.ensure_future(asked(pool))
        await until(lambda: server.visits and server.visits[0].requests)
        await turns()
        reading.cancel()
        await server.visits[0].ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await reading


@pytest.mark.parametrize("answers", [(), (UNFINISHED,), (NEVER_ENDING,)])
async def test_closing_wakes_who_waits_and_refuses_who_comes(answers: tuple[bytes, ...]) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        for answer in answers:
            await visit.say(answer)
        await visit.left()

    async with byte_server(script) as server, pool_to(server.origin) as pool:
        waiting = asyncio.ensure_future(asked(pool))
        await until(lambda: server.visits and server.visits[0].requests)
        await turns()
        await pool.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await waiting
        with pytest.raises(ConnectionLost, match="closed"):
            await asked(pool)
        await server.visits[0].ended.wait()
        assert len(server.visits) == 1


async def test_closing_closes_idle_connections_and_can_be_repeated() -> None:
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        await asked(pool)
        await pool.close()
        await pool.close()
        await server.visits[0].ended.wait()


async def test_a_connection_made_while_closing_is_not_used() -> None:
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        opening = asyncio.ensure_future(asked(pool))
        await turns(1)
        await pool.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await opening
        assert all(heads == [] for heads in server.heads())


async def test_a_request_says_what_the_rfc_asks_for() -> None:
    async with byte_server(echo) as server, pool_to(server.origin, {"X-Key": "k"}) as pool:
        await whole(await opened(pool, b"body", "/mcp?a=b"))
        await whole(await pool.open("GET", parse_url("http://h"), {"Accept": "x"}, None))
        authority = server.origin.removeprefix("http://")
        own = f"Host: {authority}\r\nUser-Agent: onegate\r\nAccept-Encoding: identity\r\nX-Key: k\r\n"
        assert server.heads() == [
            [
                f"POST /mcp?a=b HTTP/1.1\r\n{own}Content-Length: 4\r\n\r\n",
                f"GET / HTTP/1.1\r\n{own}Accept: x\r\n\r\n",
            ]
        ]


async def test_an_entrys_headers_stand_in_place_of_our_own() -> None:
    declared = {"user-agent": "mine", "HOST": "elsewhere", "Accept-encoding": "br", "authorization": "Bearer b"}
    async with byte_server(echo) as server:
        url = server.origin.replace("//", "//user:password@")
        async with pool_to(url, declared) as pool:
            await asked(pool, None)
        lines = "".join(f"{name}: {value}\r\n" for name, value in declared.items())
        assert server.heads() == [[f"POST /mcp HTTP/1.1\r\n{lines}\r\n"]]


async def test_a_requests_own_headers_stand_in_place_of_the_entrys() -> None:
    async with byte_server(echo) as server, pool_to(server.origin, {"accept": "entry"}) as pool:
        await whole(await pool.open("POST", parse_url("http://h/"), {"Accept": "request"}, None))
        assert server.heads()[0][0].lower().count("accept:") == 1
        assert "Accept: request\r\n" in server.heads()[0][0]


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb", "a\0b"])
async def test_a_header_with_a_line_break_is_refused_before_anything_is_sent(value: str) -> None:
    async with byte_server(echo) as server, pool_to(server.origin) as pool:
        with pytest.raises(ConnectionLost, match="the header X-Key holds a line break"):
            await pool.open("POST", parse_url("http://h/"), {"X-Key": value}, b"{}")
        assert server.visits == []
        with pytest.raises(ConnectionLost, match="the header X-Key holds a line break"):
            Pool(parse_url(server.origin), {"X-Key": value})


async def test_user_and_password_of_the_url_go_as_basic_and_never_into_errors() -> None:
    async with byte_server(echo) as server:
        url = server.origin.replace("//", "//us%40er:p%3Ass@")
        async with pool_to(url) as pool:
            await asked(pool)
        assert "\r\nAuthorization: Basic dXNAZXI6cDpzcw==\r\n" in server.heads()[0][0]
        assert "us%40er" not in server.heads()[0][0]
    async with pool_to(url) as pool:
        with pytest.raises(Unreachable, match=r"cannot connect to 127\.0\.0\.1:\d+: Connection refused") as caught:
            await asked(pool)
        for secret in ("us%40er", "us@er", "p%3Ass", "p:ss", "dXNAZXI6cDpzcw"):
            assert secret not in f"{caught.value!r} {parse_url(url)!r}"


async def test_an_ipv6_address_stands_in_brackets() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with byte_server(echo, "::1") as server, pool_to(server.origin) as pool:
        assert await asked(pool, b"six") == b"six"
        assert f"\r\nHost: {server.origin.removeprefix('http://')}\r\n" in server.heads()[0][0]


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_name_that_leads_nowhere_is_unreachable(host: str) -> None:
    async with pool_to(f"http://{host}/") as pool:
        with pytest.raises(Unreachable, match=f"cannot connect to {host}:80: .*") as caught:
            await asked(pool)
        assert "Errno" not in str(caught.value)


async def test_each_address_of_a_name_is_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    families = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")

    async def two(host: str, port: int, **asked: Any) -> list[Any]:
        assert (host, asked) == ("far.example", {"type": socket.SOCK_STREAM})
        return [(*families, (address, port)) for address in ("127.0.0.9", "127.0.0.1")]

    async with byte_server(echo) as server:
        monkeypatch.setattr(type(loop), "getaddrinfo", lambda loop, *asked, **more: two(*asked, **more))
        async with pool_to(server.origin.replace("127.0.0.1", "far.example")) as pool:
            assert await asked(pool, b"here") == b"here"


async def test_a_lookup_that_fails_after_its_caller_has_gone_is_no_fault_of_the_loop() -> None:
    """A gateway that stops while a name is looked up had an error in its log."""
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    async with pool_to(f"http://{TOO_LONG}/") as pool:
        asking = asyncio.ensure_future(asked(pool))
        await turns(1)
        asking.cancel()
        await asyncio.wait([asking])
        with pytest.raises(Unreachable):  # by now the other lookup has ended too
            await asked(pool)
        await turns()
    del asking
    gc.collect()
    assert faults == []
