"""The admin listener of a running `onegate serve`: its page in a browser, and when it is there at all."""

import html
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.fixtures.browser import dom
from tests.fixtures.gateways import Message, command, environment, raw_entry, serving, stdio
from tests.fixtures.pending import CLIENTS_SECONDS, Marks, pending_call
from tests.fixtures.processes import running
from tests.fixtures.raw_upstream import raw_upstream
from tests.fixtures.waiting import until

TOKEN = "a-token-of-operators"
PERIOD = 5_000  # of the page, in milliseconds
HOSTILE = "</td><script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">"
RULES = {"allow": ['jwt.role == "viewer" && mcp.tool.name == "echo"']}
ADMIN: Message = {"listen": "127.0.0.1:0"}


def document(url: str) -> Message:
    with urlopen(f"{url}/status.json", timeout=CLIENTS_SECONDS) as answer:
        return dict(json.load(answer))


def ready(url: str) -> bool:
    return all(one["state"] == "ready" for one in document(url)["upstreams"])


@contextmanager
def between(target: str, before: Callable[[int], None]) -> Iterator[str]:
    """A server that passes each request on, after telling ``before`` the how manyth request for the page it is."""
    pages: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.split("?")[0] == "/status":
                pages.append(self.path)
                before(len(pages))
            with urlopen(target + self.path, timeout=CLIENTS_SECONDS) as answer:
                body = answer.read()
                self.send_response(answer.status)
                for name in ("content-type", "content-security-policy", "x-content-type-options"):
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_browser_shows_servers_and_tools_and_runs_nothing_of_theirs(tmp_path: Path) -> None:
    with raw_upstream("modern") as upstream:
        upstream.tools = [{"name": "bad", "description": HOSTILE, "inputSchema": {"type": "object"}}]
        bad = {"command": "sh", "args": ["-c", f"echo {json.dumps(HOSTILE)} >&2; exit 3"]}
        servers = {"good": raw_entry(), "odd": {"url": upstream.url}, "ill": bad}
        with serving(tmp_path, servers, admin=ADMIN) as gateway:
            until(lambda: len(gateway.tools()) == 6, "the servers are listed")
            until(lambda: document(gateway.admin)["upstreams"][2]["state"] == "waiting", "one is down")
            page = dom(f"{gateway.admin}/status", PERIOD + 1_000)
    title = re.search("<title>(.*)</title>", page)
    assert title is not None
    assert title[1] == "onegate: ready"
    assert page.count("<script") == 1
    assert "<img" not in page
    assert html.escape(HOSTILE, quote=False) in page  # as Chromium writes text
    for said in ("good_echo", "odd_bad", "The tool hang.", "exited with code 3"):
        assert said in page


def test_the_page_renews_itself_and_keeps_the_claims(tmp_path: Path) -> None:
    with serving(tmp_path, {"a": raw_entry()}, admin=ADMIN, policy=RULES) as gateway:
        until(lambda: ready(gateway.admin), "the server is up")

        def act(page: int) -> None:
            if page == 2:
                gateway.ask("tools/call", {"name": "a_pid", "arguments": {}})

        claims = quote('{"role": "viewer"}')
        with between(gateway.admin, act) as url:
            first = dom(f"{url}/status?as={claims}")
            assert "denied" not in first
        with between(gateway.admin, act) as url:
            later = dom(f"{url}/status?as={claims}", PERIOD + 1_000)
    assert "tools/call a_pid" in later
    assert "denied: no rule allows it" in later
    assert "1 tools, as" in later
    assert "The tool echo." in later
    assert "The tool pid." not in later


def test_a_page_whose_gateway_is_gone_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, {"a": raw_entry()}, admin=ADMIN) as gateway:

        def act(page: int) -> None:
            if page == 2:
                raise ConnectionAbortedError

        with between(gateway.admin, act) as url:
            page = dom(f"{url}/status", PERIOD + 1_000)
    assert re.search(r'<p id="stale" role="alert">', page)
    assert "onegate 0" in page  # and what it knew stays


def test_a_browser_gets_in_with_the_token_as_password(tmp_path: Path) -> None:
    with serving(tmp_path, {"a": raw_entry()}, admin={**ADMIN, "token": TOKEN}) as gateway:
        address = gateway.admin.removeprefix("http://")
        assert "Servers" not in dom(f"http://{address}/status")
        page = dom(f"http://me:{TOKEN}@{address}/status", PERIOD + 1_000)
    assert "Servers" in page
    assert re.search(r'<p id="stale" role="alert" hidden', page)
    assert TOKEN not in page


def test_it_answers_while_calls_drain_and_ends_after_them(
    tmp_path: Path, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    with serving(tmp_path, {"a": raw_entry()}, admin=ADMIN) as gateway:
        until(lambda: ready(gateway.admin), "the server is up")
        url, done = gateway.admin, marks()
        waiting = pending_call(pool, gateway, "a_wait", mark=marks(), until=done)
        os.kill(gateway.pid, signal.SIGTERM)
        until(lambda: document(url)["gateway"]["draining"], "it drains")
        about = document(url)["gateway"]
        assert (about["ready"], about["in_flight"]) == (False, 1)
        assert about["not_ready_because"] == ["the gateway is about to stop"]
        done.touch()
        assert waiting.result(CLIENTS_SECONDS)[0] == 200
        assert gateway.process.process.wait(CLIENTS_SECONDS) == 0
        with pytest.raises(URLError):
            document(url)


def test_over_stdio_no_listener_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with stdio(tmp_path, {"a": raw_entry()}, admin={"listen": f"127.0.0.1:{port}"}) as client:
        client.initialize()
        assert "a_echo" in client.tools()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=CLIENTS_SECONDS)


def test_a_gateway_whose_configured_address_is_taken_says_what_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(RuntimeError, match=rf"cannot have {listen}: .*; choose another address with admin\.listen"),
            serving(tmp_path, {"a": raw_entry()}, admin={"listen": listen}),
        ):
            pass


def test_the_command_says_how_the_servers_fare(tmp_path: Path) -> None:
    with serving(tmp_path, {"a": raw_entry()}, admin={**ADMIN, "token": TOKEN}) as gateway:
        until(lambda: "a_echo" in gateway.tools(), "the server is listed")
        env = {**environment(tmp_path), "ONEGATE_ADMIN_TOKEN": TOKEN}
        argv = command("status", gateway.admin)
        with running(argv, r"(?m)^a\tready\t.*", env=env, cwd=tmp_path) as process:
            assert process.process.wait(CLIENTS_SECONDS) == 0
