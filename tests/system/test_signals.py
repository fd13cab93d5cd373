"""Signals that end the gateway in good order, and the second one, which ends it at once. Figures are printed (-s)."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.fixtures.gateways import Message, post, raw_entry, serving, stdio
from tests.fixtures.pending import CLIENTS_SECONDS, SERVERS, Marks, milliseconds_since, pending_call, ready, started
from tests.fixtures.process_tree import alive, descendants
from tests.fixtures.waiting import until

MODERN, META = "2026-07-28", "io.modelcontextprotocol/"


def test_sigterm_lets_calls_in_flight_finish_and_takes_no_new_ones(
    tmp_path: Path, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    with serving(tmp_path, SERVERS) as gateway:
        ready(gateway)
        left, done = descendants(gateway.pid), marks()
        waiting = pending_call(pool, gateway, "other_wait", mark=marks(), until=done)
        assert gateway.status("/readyz") == 200
        start = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        until(lambda: gateway.status("/readyz") == 503, "/readyz says that it stops")
        print(f"/readyz said 503 {milliseconds_since(start)} after SIGTERM")
        status, headers, message = post(gateway.url, "tools/call", {"name": "victim_echo", "arguments": {}})
        assert (status, message["error"]["code"]) == (503, -31503)
        assert int(headers["Retry-After"]) > 0
        assert gateway.status("/healthz") == 200
        assert not waiting.done()
        start = time.monotonic()
        done.touch()
        status, message = waiting.result(CLIENTS_SECONDS)
        assert (status, message["result"]["content"][0]["text"]) == (200, "waited")
        assert gateway.process.process.wait(CLIENTS_SECONDS) == 0
        print(f"the gateway ended {milliseconds_since(start)} after its last call could")
        until(lambda: not any(map(alive, left)), "all are gone")
        gateway.log()


LISTEN = {
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}},
    },
}
HELLO = {
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def opened(url: str, body: Message | None, **headers: str) -> HTTPResponse:
    """A request whose answer may be a stream; GET without a body."""
    data = None if body is None else json.dumps({"jsonrpc": "2.0", "id": 1, **body}).encode()
    sent = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    answer = urlopen(Request(url, data, {**sent, **headers}), timeout=CLIENTS_SECONDS)
    assert isinstance(answer, HTTPResponse)
    return answer


def test_sigterm_ends_open_streams_cleanly(tmp_path: Path) -> None:
    with serving(tmp_path, SERVERS) as gateway:
        ready(gateway)
        with opened(gateway.url, HELLO) as hello:
            session = {"Mcp-Session-Id": hello.headers["Mcp-Session-Id"], "Mcp-Protocol-Version": "2025-11-25"}
        modern = {"Mcp-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
        with opened(gateway.url, None, **session) as legacy, opened(gateway.url, LISTEN, **modern) as listening:
            start = time.monotonic()
            os.kill(gateway.pid, signal.SIGTERM)
            legacy.read()  # an end that is cut off would raise IncompleteRead
            listening.read()
        assert gateway.process.process.wait(CLIENTS_SECONDS) == 0
        print(f"with two open streams the gateway ended {milliseconds_since(start)} after SIGTERM")


def test_sigterm_ends_a_gateway_whose_server_hangs_in_its_start(tmp_path: Path) -> None:
    with serving(tmp_path, {"slow": raw_entry("--gate", tmp_path / "never")}) as gateway:
        left = until(lambda: started(gateway.pid), "the server is started")
        start = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        assert gateway.process.process.wait(CLIENTS_SECONDS / 2) == 0
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"SIGTERM while a server hangs in its start: all gone after {milliseconds_since(start)}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_gateway_at_once_and_its_servers_with_it(
    number: signal.Signals, tmp_path: Path, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    with serving(tmp_path, SERVERS) as gateway:
        ready(gateway)
        left = descendants(gateway.pid)
        waiting = pending_call(pool, gateway, "victim_hang", mark=marks())
        os.kill(gateway.pid, number)
        until(lambda: gateway.status("/readyz") == 503, "/readyz says that it stops")
        assert gateway.process.process.poll() is None
        start = time.monotonic()
        os.kill(gateway.pid, number)
        assert gateway.process.process.wait(CLIENTS_SECONDS) == 128 + number
        ended = milliseconds_since(start)
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"second {number.name}: exit after {ended}, all processes gone after {milliseconds_since(start)}")
        with pytest.raises(OSError):  # noqa: PT011 - how a connection breaks is the system's affair
            waiting.result(CLIENTS_SECONDS)


def test_sigterm_ends_a_stdio_gateway_with_its_servers(tmp_path: Path) -> None:
    with stdio(tmp_path, SERVERS) as client:
        ready(client)
        left = descendants(client.process.pid)
        start = time.monotonic()
        os.kill(client.process.pid, signal.SIGTERM)
        try:
            assert client.process.wait(CLIENTS_SECONDS) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("SIGTERM did not end onegate stdio")
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"onegate stdio was gone {milliseconds_since(start)} after SIGTERM")
