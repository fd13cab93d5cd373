"""Clients that do not read, wait or cost too much, against a real gateway: nobody else notices."""

import asyncio
import json
import os
import queue
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.transports import listener as listener_module
from gateway.transports.limits import LimitedProtocol
from tests.fixtures.live_gateway import (
    ENVELOPE,
    JSON,
    META,
    WAIT_SECONDS,
    LiveGateway,
    call,
    head,
    live_gateway,
    modern_headers,
    read_answer,
    request,
)
from tests.fixtures.processes import running
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
PATTERN = {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}, "u": {"uniqueItems": True}}}
COUNT = 200
FLOOD = COUNT * 100_000  # bytes that an upstream sends to a client that does not read


class Watched(LimitedProtocol):
    """Tells when a connection is gone, and is impatient."""

    stall_seconds = 0.2
    lost: "queue.SimpleQueue[int]" = queue.SimpleQueue()  # the ports of clients

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.put(self.client[1] if self.client else 0)


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern", "legacy") as one:
        one.tools = [tool("flood"), tool("big"), tool("echo"), tool("pattern", PATTERN)]
        one.calls["big"] = lambda params: {"content": [{"type": "text", "text": "x" * (FLOOD // 2)}]}
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listener_module, "LimitedProtocol", Watched)
        config = {"mcpServers": {"up": {"url": upstream.url}}, "server": {"max_message": "64MiB", "drain": "1s"}}
        with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
            yield live


def flood() -> bytes:
    """A call whose upstream sends far more than its client reads."""
    params = {"name": "up_flood", "arguments": {"count": COUNT}, "_meta": {**ENVELOPE, META + "logLevel": "debug"}}
    headers = {**JSON, **modern_headers("tools/call", params)}
    return head("POST", "/mcp", headers, json.dumps(request("tools/call", params)).encode())


def narrow(gate: LiveGateway, data: bytes) -> socket.socket:
    """A connection whose client takes little: with a small buffer, and it never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(WAIT_SECONDS)
    connection.connect(("127.0.0.1", gate.port))
    connection.sendall(data)
    return connection


@pytest.mark.parametrize(
    "data", [flood(), head("POST", "/mcp", JSON, json.dumps(call("up_big")).encode())], ids=["stream", "json"]
)
def test_a_client_that_does_not_read_loses_its_connection_and_no_other_notices(
    gate: LiveGateway, upstream: RawUpstream, data: bytes
) -> None:
    assert gate.post(call("up_echo")).status == 200
    upstream.release.clear()
    with narrow(gate, data) as deaf:
        session = gate.session()
        longest = 0.0
        with gate.connect() as other:
            for _ in range(50):
                start = time.perf_counter()
                body = json.dumps(call("up_echo")).encode()
                other.sendall(head("POST", "/mcp", {**JSON, "Mcp-Session-Id": session}, body))
                assert read_answer(other).code is None
                longest = max(longest, time.perf_counter() - start)
            while Watched.lost.get(timeout=WAIT_SECONDS) != deaf.getsockname()[1]:
                pass
        print(f"slowest of 50 other calls: {longest * 1000:.1f} ms")


def test_what_waits_for_a_client_that_does_not_read_is_bounded(upstream: RawUpstream, tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    config = tmp_path / "onegate.yaml"
    config.write_text(json.dumps({"mcpServers": {"up": {"url": upstream.url}}}))
    with process(config) as (pid, port), ExitStack() as stack:
        before = memory(pid, "VmHWM")
        for _ in range(3):
            upstream.release.clear()
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS))
            client.sendall(flood())
            assert upstream.release.wait(WAIT_SECONDS)  # the gateway has hung up on the upstream, or taken everything
        grown = memory(pid, "VmHWM") - before
    print(f"three floods of {FLOOD / 2**20:.0f} MiB: peak grew by {grown / 2**20:.1f} MiB")
    assert grown < 60 * 2**20  # 16 MiB for each stream, and what its frames cost on the way


def test_a_thousand_idle_connections_are_held_and_others_served(upstream: RawUpstream, tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_500:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_500), hard))
    config = tmp_path / "onegate.yaml"
    config.write_text(json.dumps({"mcpServers": {"up": {"url": upstream.url}}}))
    with process(config) as (pid, port), ExitStack() as stack:
        before = memory(pid, "VmRSS")
        for number in range(1_000):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS))
            if number % 2:
                client.sendall(b"POST /mcp HTTP/1.1\r\nHost: loc")
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as other:
            start = time.perf_counter()
            other.sendall(head("POST", "/mcp", JSON, json.dumps(call("up_echo")).encode()))
            assert read_answer(other).code is None
            print(f"a call beside 1,000 idle connections: {(time.perf_counter() - start) * 1000:.1f} ms")
        grown = memory(pid, "VmRSS") - before
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"1,000 idle connections: {grown / 2**10 / 1000:.1f} KiB each")
    assert grown < 64 * 2**20


def params(inside: str, name: str = "up_echo") -> bytes:
    start = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'
    return f'{start}{name}","arguments":{inside}}}}}'.encode()


KIB10 = 10 * 1024
HOSTILE = {
    "deep": b"[" * KIB10,
    # What the schema refuses does not reach the upstream, whose memory would count: it lives in this process.
    "flat": params('{"s":5,"x":[' + ",".join(["[]"] * 3_300) + "]}", "up_pattern"),
    "objects": params('{"s":5,"x":[' + ",".join(["{}"] * 3_300) + "]}", "up_pattern"),
    "keys": params("{" + ",".join(f'"{n:x}":0' for n in range(1_100)) + "}"),
    "duplicates": params("{" + ",".join(['"a":0'] * 1_600) + "}"),
    "escapes": params('{"x":"' + "\\u00e9" * 1_600 + '"}'),
    "big integers": params('{"x":[' + ",".join(["9" * 30] * 320) + "]}"),
    "huge integers": params('{"x":[' + ",".join(["9" * 300] * 33) + "]}"),
    "one huge integer": params('{"x":' + "9" * 10_000 + "}"),
    "floats": params('{"x":[' + ",".join(["1.7976931348623157e308"] * 430) + "]}"),
    "long digits": params('{"x":0.' + "1" * 10_000 + "}"),
    "backtracking": params('{"s":"' + "a" * 10_000 + '!"}', "up_pattern"),
    "unique items": params('{"u":[' + ",".join(f"[{n}]" for n in range(1_600)) + "]}", "up_pattern"),
    "name": params("{}", "x" * 10_000),
    "cursor": json.dumps(request("tools/list", {"cursor": "A" * 10_000})).encode(),
    "uri": json.dumps(request("resources/read", {"uri": "raw://" + "%2e/" * 2_500})).encode(),
    "state": json.dumps(request("tools/call", {"name": "up_echo", "requestState": "-_" * 5_000})).encode(),
    "batch": json.dumps([request("ping", None, n) for n in range(250)]).encode(),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_body_of_10_kib_costs_less_than_a_mebibyte(gate: LiveGateway, kind: str) -> None:
    body, headers = HOSTILE[kind], {**JSON, "Mcp-Session-Id": gate.session(version="2025-03-26")}
    for _ in range(2):  # the first one compiles schemas and loads libraries
        gate.post(body, headers)
    peak, seconds = on_loop(gate, lambda: cost(gate, body, headers))
    print(f"{kind}: {len(body)} bytes cost {peak / 1024:.0f} KiB and {seconds * 1000:.1f} ms")
    assert peak < 2**20


async def cost(gate: LiveGateway, body: bytes, headers: dict[str, str]) -> tuple[int, float]:
    """Peak of memory in bytes, and CPU seconds of this thread, of one request from the ASGI seam on."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **headers}.items()
        ],
    }
    sent: list[Any] = []

    events = [{"type": "http.request", "body": body, "more_body": False}]
    ended = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not events:
            await ended.wait()
            return {"type": "http.disconnect"}
        return events.pop()

    async def send(event: Any) -> None:
        sent.append(event)

    tracemalloc.start()
    start = time.thread_time()
    try:
        await gate.server(scope, receive, send)
        return tracemalloc.get_traced_memory()[1], time.thread_time() - start
    finally:
        ended.set()
        tracemalloc.stop()


def on_loop(gate: LiveGateway, work: Callable[[], Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work(), gate.loop).result(WAIT_SECONDS)


@contextmanager
def process(config: Path) -> Iterator[tuple[int, int]]:
    """A gateway in a process of its own: its pid and port."""
    argv = [sys.executable, "-m", "gateway", "serve", "-c", config, "--port", "0"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with running(argv, r"http://127\.0\.0\.1:(\d+)/mcp", env, config.parent) as started:
        yield started.pid, int(started.match[1])


def memory(pid: int, field: str) -> int:
    """Bytes of memory of a process, as Linux counts them."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024
