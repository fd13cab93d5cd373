"""The audit log of a real gateway, from outside: as many lines as decisions, and no way round, into or through them."""

import hashlib
import hmac
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.audit import lines
from tests.fixtures.gateways import raw_entry
from tests.fixtures.live_gateway import (
    ENVELOPE,
    JSON,
    LiveGateway,
    Message,
    call,
    head,
    live_gateway,
    modern_headers,
    request,
)
from tests.fixtures.raw_upstream import WAIT_SECONDS, RawUpstream, raw_upstream, tool
from tests.fixtures.tokens import AUDIENCE, ISSUER, SECRET, token
from tests.fixtures.waiting import until

NEEDS_X = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TOOLS = [
    tool("echo"),
    tool("wait"),
    tool("fail"),
    tool("refuse"),
    tool("shut"),
    tool("guarded"),
    tool("few"),
    tool("slow"),
]
DENY = [
    'mcp.tool.name == "shut"',
    'mcp.tool.name == "guarded" && mcp.tool.arguments.env == "prod"',
    'mcp.resource.uri == "raw://shut"',
    'mcp.prompt.name == "hush"',
]
NUL = "\0"
HOSTILE = 'a"\\\n\r\x00\x1b[2J\x7f\x85\u2028\u2029\u202e\u200b\ufeff{"sub":"root"}'
SECRET_TEXT = "hunter2-in-an-argument"


@dataclass
class Audited:
    """A gateway, what stands behind it, and its log."""

    live: LiveGateway
    upstream: RawUpstream
    log: Path

    def lines(self, count: int) -> list[Message]:
        """The lines, once there are so many."""
        until(lambda: len(lines(self.log)) >= count, f"{count} lines are written")
        return lines(self.log)


@contextmanager
def audited(folder: Path, log: str = "audit.jsonl", **sections: Any) -> Iterator[Audited]:
    """Run it over two upstreams, the second of which is a process."""
    with ExitStack() as stack:
        upstream = stack.enter_context(raw_upstream("modern", "legacy"))
        upstream.tools = [*TOOLS, tool("strict", NEEDS_X)]
        upstream.calls["fail"] = lambda params: {"content": [], "isError": True}
        upstream.calls["refuse"] = lambda params: {"error": {"code": -32000, "message": "no"}}
        upstream.calls["slow"] = lambda params: {"content": [], "waited": upstream.release.wait(WAIT_SECONDS)}
        upstream.answers_to |= {
            "prompts/list": {"prompts": [{"name": "greet"}, {"name": "hush"}]},
            "resources/list": {"resources": [{"uri": uri, "name": "r"} for uri in ("raw://one", "raw://shut")]},
            "resources/subscribe": {},
        }
        servers = {
            "raw": {"url": upstream.url, "tools": {"overrides": {"slow": {"timeout": "0.1s"}}}},
            "local": raw_entry(),
        }
        config = {
            "mcpServers": servers,
            "policy": {"allow": ["true"], "deny": DENY},
            "rate_limits": [{"per": "tool", "rate": "1/h", "tools": ["raw_few"]}],
            "telemetry": {"audit": {"file": log, **sections.pop("audit", {})}},
            **sections,
        }
        live = stack.enter_context(live_gateway(folder, config))
        try:
            yield Audited(live, upstream, folder / log)
        finally:
            upstream.release.set()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Audited]:
    with audited(tmp_path) as one:
        yield one


Row = tuple[str, Message, tuple[str | None, str | None, str]]

ROWS: list[Row] = [
    ("tools/call", {"name": "raw_echo", "arguments": {"a": 1}}, ("raw_echo", "allow", "success")),
    ("tools/call", {"name": "raw_fail", "arguments": {}}, ("raw_fail", "allow", "error")),
    ("tools/call", {"name": "raw_refuse"}, ("raw_refuse", "allow", "error")),
    ("tools/call", {"name": "raw_shut"}, ("raw_shut", "deny", "denied")),
    ("tools/call", {"name": "raw_guarded", "arguments": {"env": "prod"}}, ("raw_guarded", "deny", "denied")),
    ("tools/call", {"name": "raw_guarded", "arguments": {"env": "dev"}}, ("raw_guarded", "allow", "success")),
    ("tools/call", {"name": "raw_none"}, (None, None, "error")),
    ("tools/call", {"name": HOSTILE}, (None, None, "error")),
    ("tools/call", {"name": 5}, (None, None, "error")),
    ("tools/call", {}, (None, None, "error")),
    ("tools/call", {"name": "raw_echo", "arguments": []}, ("raw_echo", None, "error")),
    ("tools/call", {"name": "raw_strict", "arguments": {"x": "no"}}, ("raw_strict", None, "error")),
    ("tools/call", {"name": "raw_slow"}, ("raw_slow", "allow", "timeout")),
    ("prompts/get", {"name": "raw_greet"}, ("greet", "allow", "success")),
    ("prompts/get", {"name": "raw_hush"}, ("hush", "deny", "denied")),
    ("prompts/get", {"name": "none"}, (None, None, "error")),
    ("resources/read", {"uri": "raw://one"}, ("raw://one", "allow", "success")),
    ("resources/read", {"uri": "raw://shut"}, ("raw://shut", "deny", "denied")),
    ("resources/read", {"uri": "raw://none"}, (None, None, "error")),
    ("resources/read", {"uri": "raw://../one"}, (None, None, "error")),
]


def short(line: Message) -> tuple[str, str | None, str | None, str]:
    return line["method"], line["target"], line["decision"], line["outcome"]


def expected(rows: list[Row]) -> list[tuple[str, str | None, str | None, str]]:
    return [(method, *said) for method, _, said in rows]


def batch(gate: Audited, rows: list[Row]) -> None:
    session = gate.live.session(version="2025-03-26")
    messages = [request(method, params, number) for number, (method, params, _) in enumerate(rows)]
    assert len(gate.live.legacy(session, messages).json) == len(rows)


def in_session(gate: Audited, rows: list[Row]) -> None:
    session = gate.live.session()
    for method, params, _ in rows:
        gate.live.legacy(session, request(method, params))


def without_session(gate: Audited, rows: list[Row]) -> None:
    for method, params, _ in rows:
        gate.live.post(request(method, params))


def modern(gate: Audited, rows: list[Row]) -> None:
    for method, params, _ in rows:
        subject = params.get("uri", params.get("name", ""))
        if isinstance(subject, str) and subject.isprintable() and subject:
            gate.live.modern(method, params)
        else:  # no header can say it; the relay is reached by one that says nothing else
            gate.live.post(request(method, params))


@pytest.mark.parametrize("send", [without_session, in_session, modern, batch])
def test_every_decision_has_one_line_however_it_comes_and_ends(
    gate: Audited, send: Callable[[Audited, list[Row]], None]
) -> None:
    send(gate, ROWS)
    found = gate.lines(len(ROWS))
    assert sorted(map(repr, map(short, found))) == sorted(map(repr, expected(ROWS)))
    assert len({line["request_id"] for line in found}) == (1 if send is batch else len(ROWS))
    assert {line["door"] for line in found} == {"/mcp"}


def test_lists_and_what_never_comes_to_the_relay_have_none(gate: Audited) -> None:
    live = gate.live
    for message in (request("tools/list"), request("ping"), request("nobody/knows"), {"no": "request"}, b"{{{"):
        live.post(message)
    live.modern("server/discover")
    live.post(call("raw_echo"), {"Origin": "https://evil.example.com"})
    live.post(call("raw_echo"), path="/nowhere")
    live.post(call("raw_echo"))
    assert [short(line) for line in gate.lines(1)] == [("tools/call", "raw_echo", "allow", "success")]


def test_a_meta_that_is_no_object_has_its_line(gate: Audited) -> None:
    answer = gate.live.post(request("tools/call", {"name": "raw_echo", "_meta": []}))
    assert answer.code == -32602
    assert [line["asked"] for line in gate.lines(1)] == ["raw_echo"]


def test_who_calls_too_often_has_a_line_for_each_call(gate: Audited) -> None:
    for _ in range(3):
        gate.live.post(call("raw_few"))
    assert [line["outcome"] for line in gate.lines(3)] == ["success", "rate_limited", "rate_limited"]


def test_a_call_whose_server_dies_has_its_line(gate: Audited, tmp_path: Path) -> None:
    pid = int(gate.live.post(call("local_pid")).json["result"]["content"][0]["text"])
    mark = tmp_path / "mark"
    with ThreadPoolExecutor(1) as pool:
        files = {"mark": str(mark), "until": str(tmp_path / "never")}
        waiting = pool.submit(gate.live.post, call("local_wait", files))
        until(mark.exists, "the call arrives at its server")
        os.kill(pid, signal.SIGKILL)
        assert waiting.result(WAIT_SECONDS).status == 503
    line = gate.lines(2)[1]
    assert (line["target"], line["upstream"], line["outcome"]) == ("local_wait", "local", "unavailable")


def test_a_client_that_hangs_up_or_cancels_has_its_line(gate: Audited) -> None:
    params = {"name": "raw_wait", "arguments": {}, "_meta": ENVELOPE}
    body = json.dumps(request("tools/call", params)).encode()
    connection = gate.live.connect(head("POST", "/mcp", {**JSON, **modern_headers("tools/call", params)}, body))
    assert gate.upstream.started.wait(WAIT_SECONDS)
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()
    assert [line["outcome"] for line in gate.lines(1)] == ["cancelled"]
    gate.upstream.started.clear()
    session = gate.live.session()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.live.legacy, session, call("raw_wait", request_id=7))
        assert gate.upstream.started.wait(WAIT_SECONDS)
        gate.live.legacy(session, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
        waiting.result(WAIT_SECONDS)
    assert [short(line)[2:] for line in gate.lines(2)] == [("allow", "cancelled")] * 2


def test_subscriptions_have_a_line_for_each_resource(gate: Audited) -> None:
    session = gate.live.session()
    for uri in ("raw://one", "raw://shut", "raw://none"):
        gate.live.legacy(session, request("resources/subscribe", {"uri": uri}))
    asked = {"notifications": {"resourceSubscriptions": ["raw://one", "raw://shut"]}}
    gate.live.modern("subscriptions/listen", asked)
    assert [short(line) for line in gate.lines(5)] == [
        ("resources/subscribe", "raw://one", "allow", "success"),
        ("resources/subscribe", "raw://shut", "deny", "denied"),
        ("resources/subscribe", None, None, "error"),
        ("subscriptions/listen", "raw://one", "allow", "success"),
        ("subscriptions/listen", "raw://shut", "deny", "denied"),
    ]


def test_nothing_that_a_caller_sends_breaks_or_disguises_a_line(tmp_path: Path) -> None:
    jwt = [{"issuer": ISSUER, "audiences": [AUDIENCE], "secret": SECRET}]
    with audited(tmp_path, auth={"jwt": jwt}, audit={"arguments": "full"}) as gate:
        headers = {"Authorization": f"Bearer {token(sub=HOSTILE.replace(NUL, ''), exp=time.time() + 600)}"}
        for message in (call("raw_echo", {HOSTILE: [HOSTILE]}), call(HOSTILE), call("raw_shut", {"x": HOSTILE})):
            gate.live.post(message, headers)
        found = gate.lines(3)
        text = gate.log.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 3
    assert text.replace("\n", "").isprintable()
    assert {line["sub"] for line in found} == {HOSTILE.replace(NUL, "")}
    assert found[0]["arguments"] == {HOSTILE: [HOSTILE]}
    assert found[1]["asked"] == HOSTILE


def test_arguments_are_known_by_a_keyed_digest_only(gate: Audited) -> None:
    big = b'{"n":123456789012345678901234567890}'
    for arguments in ({"q": SECRET_TEXT, "n": 1}, {"n": 1, "q": SECRET_TEXT}, {"q": SECRET_TEXT, "n": 2}):
        gate.live.post(call("raw_echo", arguments))
    gate.live.post(json.dumps(call("raw_echo")).encode().replace(b'"arguments": {}', b'"arguments": ' + big))
    digests = [line["arguments_digest"] for line in gate.lines(4)]
    assert (digests[0] == digests[1], len(set(digests))) == (True, 3)
    written = gate.log.read_bytes()
    assert SECRET_TEXT.encode() not in written
    assert hashlib.sha256(big).hexdigest().encode() not in written
    key = bytes.fromhex(gate.log.with_name("audit.jsonl.key").read_text())
    assert digests[3] == "hmac-sha256:" + hmac.new(key, big, "sha256").hexdigest()


def test_so_are_those_of_calls_that_are_refused_before_they_are_looked_at(gate: Audited) -> None:
    for name in ("raw_shut", "raw_none", "raw_echo"):
        gate.live.post(call(name, {"q": SECRET_TEXT}))
    digests = [line["arguments_digest"] for line in gate.lines(3)]
    assert digests[0] == digests[1] == digests[2] is not None


def test_what_is_written_is_what_was_sent_on(tmp_path: Path) -> None:
    overrides = {"echo": {"arguments": {"set": {"unit": "C"}, "default": {"days": 3}}}}
    with audited(tmp_path, audit={"arguments": "full"}) as gate:
        servers = {"raw": {"url": gate.upstream.url, "tools": {"overrides": overrides}}}
        config = tmp_path / "next.yaml"
        config.write_text(json.dumps({"mcpServers": servers, **audit_of(gate.log, arguments="full")}))
        reload(gate.live, config)
        gate.live.post(
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"raw_echo","arguments":{"unit":"F"},'
            b'"arguments":{"unit":"K","q":1}}}'
        )
        (line,) = gate.lines(1)
        (seen,) = gate.upstream.calls_seen()
    assert line["arguments"] == json.loads(seen)["params"]["arguments"] == {"unit": "C", "days": 3, "q": 1}


def audit_of(log: Path, **more: Any) -> Message:
    return {"policy": "allow_all", "telemetry": {"audit": {"file": str(log), **more}}}


def reload(live: LiveGateway, file: Path) -> None:
    from gateway.config import load

    config, done = load(file, {}), threading.Event()

    def take() -> None:
        live.gateway.reload(config)
        done.set()

    live.loop.call_soon_threadsafe(take)
    assert done.wait(WAIT_SECONDS)


def test_a_reload_moves_the_log_and_calls_under_way_end_in_the_old_one(gate: Audited, tmp_path: Path) -> None:
    moved = tmp_path / "moved.jsonl"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.live.post, call("raw_wait"))
        assert gate.upstream.started.wait(WAIT_SECONDS)
        config = tmp_path / "next.yaml"
        config.write_text(json.dumps({"mcpServers": {"raw": {"url": gate.upstream.url}}, **audit_of(moved)}))
        reload(gate.live, config)
        gate.live.post(call("raw_echo"))
        gate.upstream.release.set()
        waiting.result(WAIT_SECONDS)
    assert [line["target"] for line in gate.lines(1)] == ["raw_wait"]
    until(lambda: [line["target"] for line in lines(moved)] == ["raw_echo"], "the next call is in the next log")


@pytest.mark.skipif(os.name != "posix", reason="a pipe that nobody reads stands for a disk that is away")
def test_calls_are_refused_while_nothing_can_be_written_and_none_is_left_out(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with audited(tmp_path, log="pipe", audit={"arguments": "full"}) as gate:
            gate.live.gateway.telemetry.observer.audit._max_bytes = 2**21
            served = 0
            while (refused := gate.live.post(call("raw_fail", {"q": "x" * 2**18}))).status == 200:
                served += 1
                assert served < 20, "there is room for a few lines of 256 KiB"
            assert (refused.status, refused.code) == (503, -31503)
            assert int(refused.headers["retry-after"]) > 0
            session = gate.live.session()
            again = gate.live.legacy(session, call("raw_echo"))
            assert (again.status, again.code) == (503, -31503)
            assert gate.live.modern("tools/call", {"name": "raw_echo"}).status == 503
            assert gate.live.modern("tools/list").status == 200
            assert gate.live.gateway.telemetry.observer.measures.audit_refused == 3
            assert len(gate.upstream.calls_seen()) == served
            taken = bytearray()

            def read() -> bool:
                with suppress(BlockingIOError):
                    taken.extend(os.read(reader, 2**20))
                return taken.count(b"\n") >= served

            until(read, "every line comes through")
            assert gate.live.post(call("raw_echo")).status == 200
            until(lambda: read() and taken.count(b"\n") > served, "the next line too")
            assert [json.loads(line)["target"] for line in taken.splitlines()] == ["raw_fail"] * served + ["raw_echo"]
    finally:
        os.close(reader)


def test_the_last_lines_are_written_when_the_gateway_stops(tmp_path: Path) -> None:
    with audited(tmp_path) as gate:
        for _ in range(5):
            gate.live.post(call("raw_echo"))
        log = gate.log
    assert len(lines(log)) == 5
    assert not [thread for thread in threading.enumerate() if thread.name == "audit"]
