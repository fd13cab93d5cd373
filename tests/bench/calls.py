"""The one tools/call that every row of the benchmark posts, in each of its wire forms; plain HTTP, no MCP library."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

MODERN, LEGACY = "2026-07-28", "2025-11-25"
TEXT = "the quick brown fox"
READY_SECONDS = 20.0  # until a gateway that has just started knows its upstream
TYPES = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to post again and again: a JSON text and the headers it travels with."""

    url: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


class WrongAnswerError(RuntimeError):
    """An answer is not what it has to be, so there are no figures."""


def sessionless(url: str, tool: str) -> Call:
    """A bare JSON-RPC POST without version or session."""
    return Call(url, request("tools/call", arguments(tool)), TYPES)


def modern(url: str, tool: str) -> Call:
    """A self-contained request of 2026-07-28."""
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    return Call(url, request("tools/call", {**arguments(tool), "_meta": META}), {**TYPES, **headers})


def legacy(url: str, tool: str) -> Call:
    """A call in a session of 2025-11-25, opened here."""
    hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    _, session, _ = post(Call(url, request("initialize", hello), TYPES))
    headers = {**TYPES, "MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}
    post(Call(url, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), headers))
    return Call(url, request("tools/call", arguments(tool)), headers)


def tool_api(url: str, tool: str) -> Call:
    """The call as an LLM application holds it, to the tool API of the gateway with this door."""
    function = {"name": tool, "arguments": json.dumps(arguments(tool)["arguments"])}
    body = json.dumps({"id": "call_1", "type": "function", "function": function})
    return Call(url.removesuffix("/mcp") + "/v1/mcp/tool/execute", body, TYPES)


def check(call: Call) -> None:
    """Raises unless the call is answered right; waits for an upstream that is still starting."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        status, _, body = post(call)
        if status == 200 and f'"{TEXT}"' in body and '"content"' in body and '"error"' not in body:
            return
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"{call.url} answers {status}: {body[:500]}")
        time.sleep(0.1)


def arguments(tool: str) -> dict[str, object]:
    return {"name": tool, "arguments": {"text": TEXT}}


def request(method: str, params: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


def post(call: Call) -> tuple[int, str, str]:
    """Status, session id and body."""
    outgoing = urllib.request.Request(call.url, call.body.encode(), dict(call.headers))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(outgoing, timeout=10) as answer:
            return answer.status, answer.headers.get("Mcp-Session-Id", ""), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", error.read().decode()
