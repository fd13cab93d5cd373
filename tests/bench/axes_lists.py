"""How long tools/list takes: the first one of a gateway that has just begun to listen, and those after it."""

import json
import statistics
import time

import calls
from axes_rounds import interleaved
from axes_stage import TEN_RULES, Config, Settings, Stage, called, guarded_config, http, open_stage
from loading import Figures, Row, median

THOUSAND, PAGE = "1,000 tools, warm", "a page of 10,000 tools, warm"
COUNTS = {1_000: THOUSAND, 10_000: PAGE}


def measure(settings: Settings) -> dict[str, Figures]:
    """One connection, JWT and ten rules. A first list waits until the gateway has connected to its upstream."""
    found: dict[str, Figures] = {}
    with open_stage(settings) as stage:
        for count, name in COUNTS.items():
            entry = http(stage.upstream("--tools", str(count)).url)
            config = guarded_config(settings, TEN_RULES, fast=entry)
            firsts = [first(stage, config) for _ in range(settings.rounds)]
            found[f"{count:,} tools, cold"] = {"p50 ms": statistics.median(firsts) * 1e3}
            found[name] = warm(stage, config)
    return found


def first(stage: Stage, config: Config) -> float:
    """Seconds from the moment at which the gateway listens to the end of the first page."""
    with stage.part() as part:
        call = listing(part, part.gateway(config).url)
        start = time.perf_counter()
        tools_of(call)
        return time.perf_counter() - start


def warm(stage: Stage, config: Config) -> Figures:
    """Beside an upstream that lists as many tools as the page has: to carry so much takes a while by itself."""
    with stage.part() as part:
        server = part.gateway(config)
        call = listing(part, server.url)
        tools = tools_of(call)
        upstream = part.upstream("--tools", str(len(tools)))
        rows = [
            Row("direct", upstream, listing(part, upstream.url), "direct", connections=1, expected=last(len(tools))),
            Row("through", server, call, connections=1, expected=json.dumps(tools[-1]["name"])),
        ]
        rounds = interleaved(rows, part)
        direct, through = median(rounds["direct"])["p50 ms"], median(rounds["through"])
        added = {"direct p50 ms": direct, "added p50 ms": through["p50 ms"] - direct}
        return {"tools": len(tools), **through, **added}


def last(count: int) -> str:
    """How the name of the upstream's last tool stands in its list."""
    return json.dumps(f"tool_{count - 1}")


def listing(stage: Stage, url: str) -> calls.Call:
    headers = {**calls.TYPES, "MCP-Protocol-Version": calls.MODERN, "Mcp-Method": "tools/list"}
    return called(stage.settings, calls.Call(url, calls.request("tools/list", {"_meta": calls.META}), headers))


def tools_of(call: calls.Call) -> list[dict[str, object]]:
    """The tools of the first page. Raises `WrongAnswerError` when there are none."""
    status, _, body = calls.post(call)
    tools: list[dict[str, object]] = json.loads(body).get("result", {}).get("tools", []) if status == 200 else []
    if not tools:
        raise calls.WrongAnswerError(f"tools/list is answered {status}: {body[:500]}")
    return tools
