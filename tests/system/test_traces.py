"""One trace from the client through the gateway to the upstream, as a real receiver gets it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.fixtures.gateways import FIXTURES, Served, raw_entry, serving
from tests.fixtures.otlp_receiver import Receiver, Span, receiving

TRACED = FIXTURES / "traced.py"
SECONDS = 30.0
STAGES = [
    "gateway.receive",
    "gateway.authenticate",
    "gateway.authorize",
    "gateway.route",
    "mcp.tool.execute",
    "gateway.respond",
]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def gate(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    entry = {"command": sys.executable, "args": [str(TRACED), "server", receiver.url]}
    telemetry = {"otlp": {"endpoint": receiver.url, "arguments": True}}
    policy = {"deny": ['mcp.tool.name == "fail" && identity.kind == "anonymous" && request.path == "/mcp/t"']}
    home = tmp_path_factory.mktemp("traces")
    with serving(home, {"t": entry}, telemetry=telemetry, policy=policy, name="gate") as served:
        served.tools()
        yield served


def client(receiver: Receiver, url: str, mode: str, tool: str) -> None:
    command = [sys.executable, str(TRACED), "client", receiver.url, url, mode, tool]
    subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)


def post(url: str, tool: str, traceparent: str, meta: str = "") -> None:
    params = {"name": tool, "arguments": {"text": "a"}, **({"_meta": {"traceparent": meta}} if meta else {})}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {"Content-Type": "application/json", "traceparent": traceparent}
    with urlopen(Request(url, body, headers), timeout=SECONDS) as answer:
        answer.read()


def message(method: str, params: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def sent(url: str, body: Any, **headers: str) -> Any:
    usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return urlopen(Request(url, json.dumps(body).encode(), {**usual, **headers}), timeout=SECONDS)


def gateway_spans(receiver: Receiver, trace: str) -> dict[str, Span]:
    return {span.name: span for span in receiver.of(trace) if span.service == "gate"}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_one_trace_spans_the_client_the_gateway_and_the_upstream(gate: Served, receiver: Receiver, mode: str) -> None:
    receiver.spans.clear()
    client(receiver, gate.url, mode, "t_work")
    own, _ = receiver.named("the upstream's own work", "gateway.respond")
    server, *_ = receiver.named("tools/call t_work", *STAGES)
    everyone = {span.id: span for span in receiver.of(own.trace)}
    services, at = [], own
    while at.parent:
        services.append(at.service)
        at = everyone[at.parent]
    services.append(at.service)
    assert list(dict.fromkeys(services)) == ["server", "gate", "client"]
    spans = gateway_spans(receiver, own.trace)
    assert {name for name, span in spans.items() if span.parent == server.id} >= set(STAGES)


def test_the_spans_follow_each_other_and_say_what_was_called(gate: Served, receiver: Receiver) -> None:
    receiver.spans.clear()
    post(gate.url, "t_work", f"00-{TRACE}-{PARENT}-01")
    receiver.named("the upstream's own work", "gateway.respond", "tools/call t_work")
    spans = gateway_spans(receiver, TRACE)
    server = spans["tools/call t_work"]
    assert (server.parent, server.failed) == (PARENT, False)
    assert server.attributes["mcp.method.name"] == "tools/call"
    assert (server.attributes["gen_ai.tool.name"], server.attributes["gen_ai.operation.name"]) == (
        "t_work",
        "execute_tool",
    )
    assert spans["gateway.authorize"].attributes == {"mcp.tool.name": "t_work", "rbac.result": "allowed"}
    assert spans["mcp.tool.execute"].attributes == {"mcp.server": "t", "mcp.tool.arguments": '{"text":"a"}'}
    stages = [spans[name] for name in STAGES]
    assert all(server.begun <= span.begun <= span.ended <= server.ended for span in stages)
    in_order = [spans[name] for name in STAGES[2:]]
    assert [span.name for span in sorted(in_order, key=lambda span: span.begun)] == STAGES[2:]


def test_the_context_of_the_message_counts_before_that_of_the_connection(gate: Served, receiver: Receiver) -> None:
    receiver.spans.clear()
    inner = TRACE[::-1]
    post(gate.url, "t_work", f"00-{TRACE}-{PARENT}-01", f"00-{inner}-{PARENT}-01")
    assert receiver.named("tools/call t_work")[0].trace == inner


def test_a_caller_that_does_not_sample_is_followed(gate: Served, receiver: Receiver) -> None:
    receiver.spans.clear()
    other = "1" * 32
    post(gate.url, "t_work", f"00-{other}-{PARENT}-00")
    post(gate.url, "t_work", f"00-{TRACE}-{PARENT}-01")
    receiver.named("gateway.respond")
    assert receiver.of(other) == []


def test_a_refused_call_says_so_and_has_no_execution(gate: Served, receiver: Receiver) -> None:
    receiver.spans.clear()
    post(gate.url + "/t", "fail", f"00-{TRACE}-{PARENT}-01")
    receiver.named("tools/call t_fail")
    spans = gateway_spans(receiver, TRACE)
    assert spans["gateway.authorize"].attributes["rbac.result"] == "denied"
    assert "mcp.tool.execute" not in spans
    assert spans["tools/call t_fail"].failed


def test_a_tool_error_fails_the_span(gate: Served, receiver: Receiver) -> None:
    receiver.spans.clear()
    post(gate.url, "t_fail", f"00-{TRACE}-{PARENT}-01")
    (server,) = receiver.named("tools/call t_fail")
    assert (server.failed, server.attributes["error.type"]) == (True, "tool_error")


def test_each_message_of_a_batch_has_its_own_spans(gate: Served, receiver: Receiver) -> None:
    receiver.spans.clear()
    version = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with sent(gate.url, message("initialize", version)) as hello:
        session = {"Mcp-Session-Id": hello.headers["Mcp-Session-Id"]}
    traces = [TRACE, TRACE[::-1]]
    contexts = [{"traceparent": f"00-{trace}-{PARENT}-01"} for trace in traces]
    calls = [
        message("tools/call", {"name": name, "arguments": {"text": "a"}, "_meta": meta}, number)
        for number, name, meta in zip((1, 2), ("t_fail", "t_work"), contexts, strict=True)
    ]
    with sent(gate.url, calls, **session) as answer:
        assert len(json.loads(answer.read())) == 2
    assert [receiver.named(f"tools/call {name}")[0].trace for name in ("t_fail", "t_work")] == traces


def test_a_receiver_that_is_down_harms_no_call(tmp_path: Path) -> None:
    telemetry = {"otlp": {"endpoint": "http://127.0.0.1:1"}}
    with serving(tmp_path, {"raw": raw_entry()}, telemetry=telemetry) as served:
        assert [served.call("raw_echo", text=str(number)) for number in range(5)]
        assert all("traceback" not in event for event in served.log())


def test_spans_of_the_last_calls_are_sent_at_the_end(tmp_path: Path) -> None:
    with receiving() as receiver:
        with serving(tmp_path, {"raw": raw_entry()}, telemetry={"otlp": {"endpoint": receiver.url}}) as served:
            served.call("raw_echo", text="secret")
        assert receiver.named("tools/call raw_echo")
        assert not any(b"secret" in body for body in receiver.raw)
