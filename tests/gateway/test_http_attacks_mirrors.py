"""Headers that repeat the body and disagree with it, sent to a real gateway (MCP 2026-07-28, basic/transports)."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.fixtures.live_gateway import (
    ENVELOPE,
    JSON,
    MODERN,
    LiveGateway,
    call,
    head,
    live_gateway,
    modern_headers,
    request,
)
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

REGION = {
    "type": "object",
    "properties": {"n": {"type": "integer", "x-mcp-header": "N"}, "r": {"type": "string", "x-mcp-header": "Region"}},
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        one.tools = [tool("echo"), tool("region", REGION)]
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("gate"), {"mcpServers": {"up": {"url": upstream.url}}}) as live:
        yield live


def modern(
    gate: LiveGateway, body_name: str, headers: dict[str, str], arguments: object = None
) -> tuple[int, int | None]:
    """Status and code of a modern call whose headers are given as they are."""
    params = {"name": body_name, "arguments": arguments or {}, "_meta": ENVELOPE}
    body = json.dumps(request("tools/call", params)).encode()
    # http.client refuses what an attacker sends
    answer = gate.raw(head("POST", "/mcp", {**JSON, **headers}, body))
    return answer.status, answer.code


GOOD = modern_headers("tools/call", {"name": "up_echo"})


def encoded(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize("name", ["up_echo", "  up_echo\t ", encoded("up_echo"), f" {encoded('up_echo')} "])
def test_mirrored_headers_are_stripped_and_decoded_before_they_are_compared(gate: LiveGateway, name: str) -> None:
    assert modern(gate, "up_echo", {**GOOD, "Mcp-Name": name}) == (200, None)


@pytest.mark.parametrize(
    "change",
    [
        {"Mcp-Name": "up_other"},
        {"Mcp-Name": "UP_ECHO"},
        {"Mcp-Name": ""},
        {"Mcp-Name": "up_echo\xa0"},
        {"Mcp-Name": "\x85up_echo"},
        {"Mcp-Name": encoded("up_other")},
        {"Mcp-Name": "=?base64?dXBfZWNobw?="},
        {"Mcp-Name": "=?base64?dXBfZWNob1==?="},
        {"Mcp-Name": "=?BASE64?dXBfZWNobw==?="},
        {"Mcp-Name": "=?base64?dXBf ZWNobw==?="},
        {"Mcp-Name": "=?base64?/w==?="},
        {"Mcp-Name": "up_echo\r\nMcp-Name: up_echo"},
        {"Mcp-Name": "up_other\r\nmcp-name: up_echo"},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "TOOLS/CALL"},
        {"Mcp-Method": "tools/call\r\nMcp-Method: tools/call"},
        {"MCP-Protocol-Version": "2026-07-29"},
        {"MCP-Protocol-Version": "2025-11-25"},
        {"MCP-Protocol-Version": f"{MODERN}\r\nMCP-Protocol-Version: {MODERN}"},
    ],
    ids=str,
)
def test_headers_that_disagree_with_the_body_are_refused(
    gate: LiveGateway, upstream: RawUpstream, change: dict[str, str]
) -> None:
    before = len(upstream.calls_seen())
    assert modern(gate, "up_echo", {**GOOD, **change}) == (400, -32020)
    assert len(upstream.calls_seen()) == before


@pytest.mark.parametrize("missing", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
def test_a_missing_mirrored_header_is_refused(gate: LiveGateway, missing: str) -> None:
    assert modern(gate, "up_echo", {name: one for name, one in GOOD.items() if name != missing}) == (400, -32020)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Mcp-Param-Region": "eu"},
        {"Mcp-Param-N": "42"},
        {"Mcp-Param-N": "43", "Mcp-Param-Region": "eu"},
        {"Mcp-Param-N": "42", "Mcp-Param-Region": "us"},
        {"Mcp-Param-N": "42", "Mcp-Param-Region": "eu\xa0"},
        {"Mcp-Param-N": "42\r\nMcp-Param-N: 42", "Mcp-Param-Region": "eu"},
        {"Mcp-Param-N": "42", "Mcp-Param-Region": "us\r\nmcp-param-region: eu"},
        {"Mcp-Param-N": "4" * 5_000, "Mcp-Param-Region": "eu"},
        {"Mcp-Param-N": "42", "Mcp-Param-Region": "=?base64?ZXU?="},
    ],
    ids=lambda given: ascii(given)[:50],
)
def test_mirrored_arguments_that_disagree_are_refused(
    gate: LiveGateway, upstream: RawUpstream, given: dict[str, str]
) -> None:
    before, headers = len(upstream.calls_seen()), {**GOOD, "Mcp-Name": "up_region", **given}
    assert modern(gate, "up_region", headers, {"n": 42, "r": "eu"}) == (400, -32020)
    assert len(upstream.calls_seen()) == before


def test_mirrored_headers_are_made_anew_for_the_upstream(gate: LiveGateway, upstream: RawUpstream) -> None:
    headers = {
        **GOOD,
        "Mcp-Name": "up_region",
        "Mcp-Param-N": "42.0",
        "Mcp-Param-Region": encoded("eu"),
        "Mcp-Param-X": "x",
    }
    assert modern(gate, "up_region", headers, {"n": 42, "r": "eu"}) == (200, None)
    sent = upstream.seen[-1][0]
    assert (sent["mcp-name"], sent["mcp-param-n"], sent["mcp-param-region"]) == ("region", "42", "eu")
    assert "mcp-param-x" not in sent


def test_no_header_of_the_caller_reaches_the_upstream(gate: LiveGateway, upstream: RawUpstream) -> None:
    names = ("Authorization", "Cookie", "X-Api-Key", "X-Forwarded-For", "X-Other", "Forwarded")
    assert gate.post(call("up_echo"), dict.fromkeys(names, "canary-7")).code is None
    assert "canary-7" not in str(upstream.seen[-1])
