"""The snapshot that operators get: what is in it, what is left out, and what becomes of texts from elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import Config
from gateway.readiness import obstacles
from gateway.reload import Reading
from gateway.status import SHOWN_EVENTS, Document, Source, moment, snapshot, unchanged
from gateway.telemetry.recent import Event
from tests.fixtures.fakes import entry, tool
from upstreams.listing import Listing
from upstreams.upstream import Upstream

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
SECRET = "hush-hush"


@pytest.fixture
async def gateway() -> Gateway:
    servers = {
        "a": entry("a", args=[SECRET], env={"KEY": SECRET}, required=True),
        "b": entry("b", url=f"https://example.com/mcp?key={SECRET}", headers={"Authorization": SECRET}),
    }
    gateway = Gateway(Config(Path("x.yaml"), Path(), servers, disabled={"c": f"x.yaml: no\n{SECRET}"}))
    gateway.service.started = NOW - 90
    gateway.service.sessions = lambda: 7
    return gateway


def seen(gateway: Gateway, **keys: Any) -> Document:
    made = {"reading": lambda: None, **keys}
    document = snapshot(Source(gateway, **made), NOW)
    assert json.loads(json.dumps(document)) == document
    return document


def up(upstream: Upstream, *tools: str) -> None:
    upstream.move("up")
    upstream.publish(Listing({"tools": tuple(tool(name) for name in tools)}))


def event(status: str, number: int = 0) -> Event:
    return Event(NOW + number, f"id-{number}", status, "tools/call", "a_x", "a", "ann", "why")


async def test_it_says_what_the_gateway_is_and_how_long_it_runs(gateway: Gateway) -> None:
    found = seen(gateway)["gateway"]
    assert (found["name"], found["config"], found["sessions"]) == ("onegate", "x.yaml", 7)
    assert (found["started"], found["uptime_seconds"]) == ("2027-01-15T07:58:30.000Z", 90.0)
    assert (found["in_flight"], found["streams"], found["reload"]) == (0, 0, None)


async def test_it_tells_calls_from_streams_that_only_listen(gateway: Gateway) -> None:
    gateway.service.begin()
    gateway.service.begin()
    with gateway.service.listening():
        found = seen(gateway)["gateway"]
    assert (found["in_flight"], found["streams"]) == (1, 1)


async def test_it_gives_the_reasons_why_it_is_not_ready(gateway: Gateway) -> None:
    found = seen(gateway)["gateway"]
    assert (found["ready"], found["not_ready_because"]) == (False, ["a is required and starting"])
    up(gateway.upstreams["a"])
    assert (seen(gateway)["gateway"]["ready"], gateway.ready()) == (True, True)
    gateway.service.draining = True
    found = seen(gateway)["gateway"]
    assert (found["draining"], found["not_ready_because"]) == (True, ["the gateway is about to stop"])
    assert obstacles(False, False, []) == ["the keys of an issuer have not come yet"]


async def test_it_says_how_the_last_reload_went(gateway: Gateway) -> None:
    reading = Reading(NOW, False, f"refused: {SECRET}")
    found = seen(gateway, reading=lambda: reading, redact=lambda text: text.replace(SECRET, "***"))
    assert found["gateway"]["reload"] == {"time": moment(NOW), "taken": False, "said": "refused: ***"}


async def test_it_says_how_each_server_fares(gateway: Gateway) -> None:
    up(gateway.upstreams["a"], "x", "y")
    gateway.upstreams["a"].since = NOW - 30
    measures, recent = gateway.telemetry.observer.measures, gateway.telemetry.observer.recent
    for status in ("success", "success", "error", "denied", "timeout"):
        measures.call("a_x", "a", status)
    measures.call("a_y", "a", "unavailable")
    for seconds in (0.001, 0.002, 0.5):
        recent.duration("a", seconds)
    a, b = seen(gateway)["upstreams"]
    assert (a["name"], a["state"], a["transport"], a["required"], a["tools"]) == ("a", "ready", "stdio", True, 2)
    assert (a["calls"], a["errors"], a["by_status"]["denied"]) == (6, 3, 1)
    assert (a["p50_ms"], a["p99_ms"], a["for_seconds"]) == (2.0, 500.0, 30.0)
    assert (b["state"], b["transport"], b["calls"], b["p50_ms"], b["stderr"]) == ("starting", "http", 0, None, [])


async def test_it_counts_the_calls_that_run_and_wait_at_a_server(gateway: Gateway) -> None:
    slots = gateway.upstreams["a"]._slots
    await slots.acquire(1)
    assert [(one["in_flight"], one["queued"]) for one in seen(gateway)["upstreams"]] == [(1, 0), (0, 0)]


async def test_what_servers_say_is_redacted_and_what_is_invisible_is_spelled_out(gateway: Gateway) -> None:
    upstream = gateway.upstreams["a"]
    upstream.last_error = f"\x1b[31mno {SECRET}\u202e"
    upstream.stderr = lambda: [f"token {SECRET}"] * 100
    a = seen(gateway, redact=lambda text: text.replace(SECRET, "***"))["upstreams"][0]
    assert a["last_error"] == r"\x1b[31mno ***\u202e"
    assert a["stderr"] == ["token ***"] * 20


async def test_nothing_of_an_entry_is_in_it_but_name_and_kind(gateway: Gateway) -> None:
    document = seen(gateway, redact=unchanged)
    assert document["disabled"] == [{"name": "c", "reason": f"x.yaml: no\n{SECRET}"}]
    assert SECRET not in json.dumps({**document, "disabled": []})


async def test_failures_and_denials_are_apart_and_the_latest_comes_first(gateway: Gateway) -> None:
    recent = gateway.telemetry.observer.recent
    for number in range(60):
        recent.failure(event("denied" if number % 2 else "error", number))
    document = seen(gateway)
    assert [one["request_id"] for one in document["failures"]][:2] == ["id-58", "id-56"]
    assert {one["status"] for one in document["denials"]} == {"denied"}
    assert len(document["failures"]) == SHOWN_EVENTS
    assert document["denials"][0] == {
        "time": moment(NOW + 59), "request_id": "id-59", "status": "denied", "method": "tools/call", "target": "a_x",
        "upstream": "a", "identity": "ann", "reason": "why",
    }  # fmt: skip


async def test_it_counts_what_each_door_shows_and_the_calls_of_each_minute(gateway: Gateway) -> None:
    up(gateway.upstreams["a"], "x", "y")
    gateway.telemetry.observer.recent.call(NOW)
    document = seen(gateway)
    assert {one["path"]: one["tools"] for one in document["doors"]} == {"/mcp": 2, "/mcp/a": 2, "/mcp/b": 0}
    assert document["calls_per_minute"][-2:] == [0, 1]


async def test_a_state_begins_when_it_is_entered(gateway: Gateway) -> None:
    upstream = gateway.upstreams["a"]
    upstream.since = 0.0
    upstream.move("up")
    assert upstream.since > NOW / 2
