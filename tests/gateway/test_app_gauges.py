"""What is read off a running gateway for metrics, through calls, sessions, restarts and reloads."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from gateway.app_gauges import gauges
from gateway.config import load
from gateway.telemetry.gauges import Gauges, UpstreamGauge
from tests.fixtures.gateways import raw_entry
from tests.fixtures.live_gateway import LiveGateway, call, live_gateway
from tests.fixtures.waiting import until


def of(live: LiveGateway) -> Gauges:
    return gauges(live.gateway)


def upstreams(live: LiveGateway) -> dict[str, UpstreamGauge]:
    return {one.name: one for one in of(live).upstreams}


def take(live: LiveGateway, folder: Path, servers: dict[str, Any]) -> None:
    file = folder / "next.yaml"
    file.write_text(json.dumps({"server": {"drain": "1s"}, "mcpServers": servers}))
    config = load(file, {})
    live.loop.call_soon_threadsafe(live.gateway.reload, config)
    until(lambda: live.gateway.config is config, "the config is taken")


def test_tools_are_named_once_whatever_their_doors(tmp_path: Path) -> None:
    broken = {"command": "/nowhere/server"}
    with live_gateway(tmp_path, {"mcpServers": {"a": raw_entry(), "b": broken}}) as live:
        assert set(of(live).tools) >= {("a_echo", "a"), ("a_pid", "a")}
        assert {upstream for _, upstream in of(live).tools} == {"a"}
        assert {name: one.up for name, one in upstreams(live).items()} == {"a": True, "b": False}


def test_sessions_are_counted_from_initialize_to_their_end(tmp_path: Path) -> None:
    with live_gateway(tmp_path, {"mcpServers": {"a": raw_entry()}}) as live:
        assert of(live).sessions == 0
        first, _ = live.session(), live.session()
        assert of(live).sessions == 2
        assert live.http("DELETE", "/mcp", {"Mcp-Session-Id": first}).status < 300
        assert of(live).sessions == 1


def test_a_call_is_in_flight_until_it_is_answered(tmp_path: Path) -> None:
    with live_gateway(tmp_path, {"mcpServers": {"a": raw_entry()}}) as live:
        mark, go = tmp_path / "mark", tmp_path / "go"
        body = json.dumps(call("a_wait", {"mark": str(mark), "until": str(go)})).encode()
        lines = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        with live.connect(f"{lines}Content-Type: application/json\r\n\r\n".encode() + body) as connection:
            until(mark.exists, "the tool runs")
            assert of(live).in_flight == 1
            go.touch()
            assert connection.recv(65536)
        until(lambda: of(live).in_flight == 0, "nothing is in flight")


def test_restarts_survive_another_entry_and_end_with_the_upstream(tmp_path: Path) -> None:
    with live_gateway(tmp_path, {"mcpServers": {"a": raw_entry()}}) as live:
        os.kill(int(live.post(call("a_pid")).json["result"]["content"][0]["text"]), signal.SIGKILL)
        until(lambda: upstreams(live)["a"] == UpstreamGauge("a", True, 1), "it is back")
        take(live, tmp_path, {"a": raw_entry("--tools", "1")})
        until(lambda: upstreams(live)["a"] == UpstreamGauge("a", True, 1), "the changed one is up")
        take(live, tmp_path, {"b": raw_entry()})
        assert set(upstreams(live)) == {"b"}
        take(live, tmp_path, {"a": raw_entry()})
        until(lambda: upstreams(live)["a"] == UpstreamGauge("a", True, 0), "it begins anew")
