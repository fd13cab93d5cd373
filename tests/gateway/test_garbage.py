"""A request that was served leaves no reference cycle: the pauses in which those are found would be every call's."""

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.live_gateway import JSON, LiveGateway, call, live_gateway, modern_headers, request
from tests.fixtures.raw_upstream import raw_upstream, tool

CALLS = 5
OURS = ("gateway.", "upstreams.", "policies.", "uvicorn.")
PARAMS: dict[str, Any] = {"name": "up_echo", "arguments": {}}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
FUNCTION = {"id": "c", "type": "function", "function": {"name": "up_echo", "arguments": "{}"}}
FORMS: dict[str, tuple[str, Any, dict[str, str]]] = {
    "plain": ("/mcp", call("up_echo", {}), JSON),
    "modern": (
        "/mcp",
        request("tools/call", {**PARAMS, "_meta": META}),
        {**JSON, **modern_headers("tools/call", PARAMS)},
    ),
    "failing tool": ("/mcp", call("up_fail", {}), JSON),
    "unknown tool": ("/mcp", call("up_none", {}), JSON),
    "list": ("/mcp", request("tools/list"), JSON),
    "tool API": ("/v1/mcp/tool/execute", FUNCTION, JSON),
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with raw_upstream("modern", "legacy") as upstream:
        upstream.tools = [tool("echo"), tool("fail")]
        upstream.calls["fail"] = lambda params: {"error": {"code": -32000, "message": "no"}}
        config = {"mcpServers": {"up": {"url": upstream.url}}}
        with live_gateway(tmp_path_factory.mktemp("garbage"), config) as running:
            yield running


def leavings(live: LiveGateway, path: str, message: Any, headers: dict[str, str]) -> Counter[str]:
    """What only the collector can take away after some requests, by type."""
    live.post(message, headers, path)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(CALLS):
            live.post(message, headers, path)
        gc.collect()
        found = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    return Counter({name: count for name, count in found.items() if name.startswith(OURS)})


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_to_the_garbage_collector(live: LiveGateway, form: str) -> None:
    assert leavings(live, *FORMS[form]) == Counter()


def test_neither_is_by_a_session(live: LiveGateway) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    session = live.post(request("initialize", hello), JSON).headers["mcp-session-id"]
    assert leavings(live, "/mcp", call("up_echo", {}), {**JSON, "Mcp-Session-Id": session}) == Counter()
