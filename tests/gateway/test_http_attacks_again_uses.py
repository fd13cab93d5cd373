"""What requests do whose heads are remembered is counted, written down, traced and cancelled like that of any other."""

import gc
import json
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.api_keys import new_key
from gateway.errors import HEADER_MISMATCH
from gateway.telemetry.tracing import Ended, Tracing
from gateway.transports.limits import LimitedProtocol
from tests.fixtures.again import LIST, PING, on_loop, pipelined, plainly, reload, talk
from tests.fixtures.audit import lines
from tests.fixtures.gate import JWT, entry
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import (
    ENVELOPE,
    JSON,
    LEGACY,
    LiveGateway,
    Message,
    call,
    head,
    live_gateway,
    modern_headers,
    read_answer,
    request,
)
from tests.fixtures.raw_upstream import WAIT_SECONDS, RawUpstream, raw_upstream, tool
from tests.fixtures.tool_api import EXECUTE, item
from tests.fixtures.waiting import until

KEY, ENTRY = new_key("ci")
LIFE_SECONDS = 1.0  # of a token that ends under test
KEYED = {"X-Api-Key": KEY}
REMEMBERED = pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "not remembered"])


@dataclass
class Watched:
    """A gateway, its upstream and its audit log."""

    live: LiveGateway
    upstream: RawUpstream
    log: Path
    config: Message


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        upstream = stack.enter_context(raw_upstream("modern", "legacy"))
        upstream.tools = [tool("echo"), tool("shut"), tool("wait")]
        log = folder / "audit.jsonl"
        config = {
            "mcpServers": {"a": {"url": upstream.url}},
            "auth": {"jwt": [JWT], "api_keys": [entry(ENTRY)]},
            "policy": {"allow": ["true"], "deny": ['mcp.tool.name == "shut"']},
            "rate_limits": [{"per": "identity", "rate": "4/h", "tools": ["a_echo"]}],
            "telemetry": {"audit": {"file": str(log)}},
        }
        live = stack.enter_context(live_gateway(folder, config))
        yield Watched(live, upstream, log, config)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("gate")) as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(gate: Watched) -> None:
    gate.upstream.release.clear()
    gate.upstream.started.clear()
    gate.upstream.hung_up.clear()


ECHO, SHUT, WAIT = call("a_echo", {"x": 1}), call("a_shut"), call("a_wait")
NATURALLY_OTHERS = {"time", "request_id", "latency_ms", "sub", "arguments_digest"}


def test_limits_audit_and_counts_see_as_many_requests_as_come(gate: Watched) -> None:
    told = []
    for remembered in (True, False):
        who, log = signed("user", f"counted-{remembered}"), len(lines(gate.log))
        measures = gate.live.gateway.telemetry.observer.measures
        calls, failures = dict(measures.calls), dict(measures.auth_failures)
        with talk(gate.live, remembered=remembered) as one:
            answers = [one.ask(message, who) for message in [ECHO, SHUT] * 3 + [ECHO] * 4 + [LIST]]
            refused = [one.ask(ECHO, {"Authorization": "Bearer x.y.z"}).status for _ in range(3)]
        ids = [answer.headers["x-request-id"] for answer in answers]
        assert len(set(ids)) == len(ids)
        until(lambda log=log: len(lines(gate.log)) == log + 10, "ten lines are written")
        written = lines(gate.log)[log:]
        assert [line["request_id"] for line in written] == ids[:-1]
        plain = [{name: value for name, value in line.items() if name not in NATURALLY_OTHERS} for line in written]
        after = {key: count - calls.get(key, 0) for key, count in measures.calls.items()}
        kept_out = {key: count - failures.get(key, 0) for key, count in measures.auth_failures.items()}
        told.append(([(one.status, one.code) for one in answers], refused, plain, after, kept_out))
    assert told[0] == told[1]
    _, refused, plain, calls, kept_out = told[0]
    assert [line["outcome"] for line in plain].count("rate_limited") == 3
    assert (refused, kept_out) == ([401] * 3, {"401": 3})
    assert sum(calls.values()) == 10


def test_the_spans_of_a_request_are_the_same(gate: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = InMemorySpanExporter()
    tracing = Tracing(Ended(SimpleSpanProcessor(kept), Resource.get_empty()))
    monkeypatch.setattr(gate.live.gateway.telemetry.observer, "tracing", tracing)
    found = []
    for remembered in (True, False):
        with talk(gate.live, remembered=remembered) as one:
            for number in range(3):
                kept.clear()
                trace = f"{number + 1:032x}"
                who = {**KEYED, "traceparent": f"00-{trace}-b7ad6b7169203331-01"} if number == 2 else KEYED
                assert one.ask(call("a_shut" if number else "a_none"), who).code is not None
                assert one.ask(LIST, who).code is None
                until(lambda: len([1 for one in kept.get_finished_spans() if one.name == "tools/list"]), "it is told")
                spans = kept.get_finished_spans()
                names = {span.context.span_id: span.name for span in spans if span.context is not None}
                parents = [(one.name, one.parent and names.get(one.parent.span_id, "the caller's")) for one in spans]
                found.append(
                    (parents, number == 2 and {f"{one.context.trace_id:032x}" for one in spans if one.context})
                )
    assert found[:3] == found[3:]
    assert found[0][0].count(("gateway.authenticate", "tools/list")) == 1
    assert found[2][1] == {f"{3:032x}"}


@REMEMBERED
@pytest.mark.parametrize("ahead", [False, True], ids=["alone", "with another request behind it"])
def test_a_client_that_hangs_up_cancels_its_call(gate: Watched, remembered: bool, ahead: bool) -> None:
    asked = {"name": "a_wait", "arguments": {}, "_meta": ENVELOPE}
    modern = (request("tools/call", asked), {**KEYED, **modern_headers("tools/call", asked)})
    for message, who in ((WAIT, KEYED), modern):
        with talk(gate.live, remembered=remembered) as one:
            assert one.ask(PING, KEYED).status == one.ask(PING, KEYED).status == 200
            one.send(message, who)
            if ahead:
                one.send(PING, who)
            assert gate.upstream.started.wait(WAIT_SECONDS)
        assert gate.upstream.hung_up.wait(WAIT_SECONDS)
        until(lambda: gate.live.gateway.service.in_flight == 0, "the call has ended")
        gate.upstream.started.clear()
        gate.upstream.hung_up.clear()


@REMEMBERED
def test_a_client_that_hangs_up_in_the_same_breath_leaves_nothing_behind(
    gate: Watched, remembered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, lost = list[Exception | None](), LimitedProtocol.connection_lost

    def noted(self: LimitedProtocol, exc: Exception | None) -> None:
        lost(self, exc)
        ended.append(exc)

    monkeypatch.setattr(LimitedProtocol, "connection_lost", noted)
    for count in range(1, 6):
        begun = len(gate.upstream.calls_seen())
        with talk(gate.live, remembered=remembered) as one:
            assert [one.ask(PING, KEYED).status for _ in range(2)] == [200, 200]
            one.send(WAIT, KEYED)
        until(lambda count=count: len(ended) == count, "the connection has ended")
        until(lambda: gate.live.gateway.service.in_flight == 0, "the call has ended")
        if len(gate.upstream.calls_seen()) > begun:
            assert gate.upstream.hung_up.wait(WAIT_SECONDS)
        gate.upstream.hung_up.clear()


@pytest.mark.parametrize(
    "bad", [b"rubbish\r\n\r\n", b"POST /mcp HTTP/1.1\r\n\r\n", b"POST /mcp HTTP/9.9\r\nHost: x\r\n\r\n"]
)
@REMEMBERED
def test_answers_keep_their_order_around_one_that_is_held_up(gate: Watched, remembered: bool, bad: bytes) -> None:
    usual = {"Host": f"127.0.0.1:{gate.live.port}", **JSON, **KEYED}

    def post(message: Message, **more: str) -> bytes:
        return head("POST", "/mcp", {**usual, **more}, json.dumps(message).encode())

    with talk(gate.live, remembered=remembered) as one:
        assert [one.ask(PING, KEYED).status for _ in range(2)] == [200, 200]
        one.connection.sendall(post(call("a_wait", {}, 7)) + post(request("ping", None, 8)))
        assert gate.upstream.started.wait(WAIT_SECONDS)
        one.connection.sendall(post(call("a_shut", {}, 9)) + bad + post(ECHO))
        gate.upstream.release.set()
        assert pipelined(one) == [(200, 7, False), (200, 8, False), (200, 9, True)]
    with talk(gate.live, remembered=remembered) as one:
        assert [one.ask(PING, KEYED).status for _ in range(2)] == [200, 200]
        answers = pipelined(one, post(PING), post(PING, Connection="close"), post(PING))
        assert answers == [(200, 1, False), (200, 1, True)]


def test_a_body_that_comes_after_a_reload_is_its_clients_of_then(gate: Watched, tmp_path: Path) -> None:
    body = json.dumps(PING).encode()
    whole = head("POST", "/mcp", {"Host": f"127.0.0.1:{gate.live.port}", **JSON, **KEYED}, body)
    served = gate.live.gateway.service
    with talk(gate.live) as one:
        assert [one.ask(PING, KEYED).status for _ in range(3)] == [200] * 3
        until(lambda: not served.in_flight, "those before have ended")  # which is after their answers
        one.connection.sendall(whole[: -len(body)])
        until(lambda: served.in_flight, "the head is there")
        try:
            reload(gate.live, tmp_path, {**gate.config, "auth": {"jwt": [JWT]}})
            one.connection.sendall(body)
            assert read_answer(one.connection).status == 401
            assert one.ask(PING, KEYED).status == 401
        finally:
            reload(gate.live, tmp_path, gate.config)
        assert one.ask(PING, KEYED).status == 200


def test_a_body_that_comes_after_the_end_of_its_token_is_nobodys(gate: Watched) -> None:
    body, ends = json.dumps(PING).encode(), time.time() + LIFE_SECONDS
    who = signed("user", exp=ends)
    whole = head("POST", "/mcp", {"Host": f"127.0.0.1:{gate.live.port}", **JSON, **who}, body)
    with talk(gate.live) as one:
        assert [one.ask(PING, who).status for _ in range(2)] == [200, 200]
        one.connection.sendall(whole[:-1])
        until(lambda: time.time() > ends, "the token has ended")
        one.connection.sendall(whole[-1:])
        assert read_answer(one.connection).status == 401


def test_a_session_that_has_ended_is_none_for_a_request_that_was_served_in_it(gate: Watched) -> None:
    with talk(gate.live) as one:
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t"}}
        opened = [one.ask(request("initialize", params), KEYED).headers["mcp-session-id"] for _ in range(3)]
        assert len(set(opened)) == 3
        within = {**KEYED, "Mcp-Session-Id": opened[0]}
        assert [one.ask(PING, within).status for _ in range(3)] == [200] * 3
        assert gate.live.http("DELETE", "/mcp", within).status == 204
        assert [one.ask(PING, within).status for _ in range(2)] == [404, 404]
        assert one.ask(PING, {**KEYED, "Mcp-Session-Id": opened[1]}).status == 200


def test_the_tool_api_and_the_doors_remember_nothing_of_each_other(gate: Watched, tmp_path: Path) -> None:
    asked, closed = item("a_shut"), {**gate.config, "tool_api": {"enabled": False}}
    with talk(gate.live) as one, talk(gate.live, remembered=False) as afresh:
        for path in (EXECUTE, "/mcp", f"{EXECUTE}?format=responses", f"{EXECUTE}?format=x", f"{EXECUTE}/"):
            for body in (json.dumps(asked).encode(), b"[]", b"{", b"", json.dumps(LIST).encode()):
                wanted = plainly(afresh.ask(body, KEYED, path))
                assert [plainly(one.ask(body, KEYED, path)) for _ in range(2)] == [wanted] * 2, (path, body)
        assert one.ask(json.dumps(asked).encode(), KEYED, EXECUTE).status == 403
        try:
            reload(gate.live, tmp_path, closed)
            assert one.ask(json.dumps(asked).encode(), KEYED, EXECUTE).status == 404
        finally:
            reload(gate.live, tmp_path, gate.config)
        assert one.ask(json.dumps(asked).encode(), KEYED, EXECUTE).status == 403


def test_headers_that_repeat_the_body_are_compared_with_each_body(gate: Watched) -> None:
    who = {**KEYED, **modern_headers("tools/call", {"name": "a_none"})}
    good, other = (
        request("tools/call", {"name": name, "arguments": {}, "_meta": ENVELOPE}) for name in ("a_none", "a_shut")
    )
    with talk(gate.live) as one:
        usual = [plainly(one.ask(good, who)) for _ in range(2)]
        answer = one.ask(other, who)
        assert (answer.status, answer.code) == (400, HEADER_MISMATCH)
        assert [plainly(one.ask(good, who)) for _ in range(2)] == usual


def test_a_connection_keeps_nothing_of_a_config_that_is_gone(gate: Watched, tmp_path: Path) -> None:
    """A client may stay for days, and each config has thousands of tokens remembered."""
    with talk(gate.live) as one:
        assert [one.ask(PING, KEYED).status for _ in range(2)] == [200, 200]
        gone = weakref.ref(gate.live.gateway.authenticator)
        for _ in range(2):
            reload(gate.live, tmp_path, gate.config)

        def collected() -> bool:
            on_loop(gate.live, gc.collect)
            return gone() is None

        until(collected, "the former config is forgotten")
        assert one.ask(PING, KEYED).status == 200
