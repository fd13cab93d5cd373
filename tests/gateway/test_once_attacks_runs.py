"""Calls with idempotency keys whose clients leave, whose config changes, whose time is over: from outside."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry.observer import Use
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import (
    call,
    request,
)
from tests.fixtures.repeated import (
    ADMIN,
    HEADER,
    Ask,
    Stage,
    chat,
    conflict,
    fresh,
    hang_up,
    in_background,
    modern,
    plain,
    staged,
)
from tests.fixtures.waiting import until


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("once")) as on:
        yield on


@pytest.fixture
def on(shared: Stage) -> Stage:
    shared.up.seen.clear()
    shared.up.release.clear()
    shared.up.started.clear()
    return shared


@pytest.mark.parametrize("way", ["plain", "modern", "chat"])
def test_a_client_that_hangs_up_finds_the_first_answer_when_it_comes_back(on: Stage, way: str) -> None:
    headers, ask = fresh(), {"plain": plain, "modern": modern, "chat": chat}[way]
    hang_up(on, way, headers, "up_wait")
    assert on.running() == 1
    retry = in_background(functools.partial(ask, on, headers, "up_wait"))
    until(lambda: on.waiting() == 1, "the retry waits")
    on.up.release.set()
    answer = retry.result(10)
    assert answer.status == 200
    assert ask(on, headers, "up_wait").body == answer.body
    assert on.made() == 1
    assert on.up.bodies("notifications/cancelled") == []


def test_a_client_that_hangs_up_finds_its_answer_also_when_nobody_waited(on: Stage) -> None:
    headers = fresh()
    hang_up(on, "chat", headers, "up_wait")
    on.up.release.set()
    until(lambda: on.running() == 0, "the call ends by itself")
    assert chat(on, headers, "up_wait").status == 200
    assert on.made() == 1


def test_a_session_that_cancels_a_call_ends_it_and_it_does_not_run_again(on: Stage) -> None:
    headers = fresh()
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
    session = on.live.post(request("initialize", params), ADMIN).headers["mcp-session-id"]
    headers["Mcp-Session-Id"] = session
    asked = in_background(lambda: on.live.post(call("up_wait", request_id=7), headers))
    assert on.up.started.wait(10)
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    assert on.live.post(cancel, {**ADMIN, "Mcp-Session-Id": session}).status == 202
    assert asked.result(10).code == -32800
    until(lambda: on.running() == 0, "the call has ended")
    on.up.release.set()
    again = on.live.post(call("up_wait"), headers)
    assert conflict(again)
    assert "was cancelled" in again.json["error"]["message"]
    assert on.made() == 1


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stage]:
    """A gateway that the test may change."""
    with staged(tmp_path) as one:
        yield one


@pytest.mark.parametrize("ask", [plain, modern, chat])
def test_a_replay_is_authorised_by_the_rules_of_now(own: Stage, ask: Ask) -> None:
    headers = fresh()
    first = ask(own, headers, secret=1)
    assert first.status == 200
    allow = {"allow": ["true"]}
    own.reload(policy={**allow, "deny": ['mcp.tool.name == "count"']})
    hidden = ask(own, headers, secret=1)
    assert (hidden.body, hidden.status) != (first.body, 200)
    assert "error" in hidden.json
    own.reload(policy={**allow, "deny": ["has(mcp.tool.arguments.secret)"]})
    assert "error" in ask(own, headers, secret=1).json
    own.reload()
    assert ask(own, headers, secret=1).body == first.body
    assert own.made() == 1


def test_a_call_that_would_be_another_after_a_reload_is_refused(own: Stage) -> None:
    headers = fresh()
    chat(own, headers)
    override = {"overrides": {"count": {"arguments": {"set": {"org": "other"}}}}}
    own.reload(mcpServers={"up": {"url": own.up.url, "tools": override}})
    until(lambda: own.live.gateway.upstreams["up"].state == "ready", "it is back")
    assert conflict(chat(own, headers))
    assert own.made() == 1


def test_a_replay_counts_for_rate_limits_and_what_they_refuse_is_not_kept(own: Stage) -> None:
    headers = fresh()
    own.reload(rate_limits=[{"per": "identity", "rate": "2/h"}])
    assert [chat(own, headers).status for _ in range(3)] == [200, 200, 429]
    own.reload()
    assert chat(own, headers).status == 200
    assert own.made() == 1


def test_ten_minutes_later_the_call_is_made_again(own: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = fresh()
    store = own.live.gateway.service.repeats.store
    now = store._clock()
    monkeypatch.setattr(store, "_clock", lambda: now)
    first = chat(own, headers)
    monkeypatch.setattr(store, "_clock", lambda: now + 599)
    assert chat(own, headers).body == first.body
    monkeypatch.setattr(store, "_clock", lambda: now + 600)
    assert chat(own, headers).body != first.body
    assert own.made() == 2


def test_an_upstream_that_is_down_is_asked_again(own: Stage) -> None:
    headers = fresh()
    own.up.calls["count"] = lambda params: {"content": []}
    url = own.up.url
    own.reload(mcpServers={"up": {"url": url}, "gone": {"url": url}})
    until(lambda: "gone_count" in own.live.gateway.relay.catalog.doors["/mcp"].tools, "both are listed")
    gone = own.live.gateway.upstreams["gone"]
    peers = gone.peers
    own.on_loop(lambda: setattr(gone, "peers", {}))
    assert chat(own, headers, "gone_count").status == 503
    assert chat(own, headers, "gone_count", other=1).status == 503  # and not 409
    own.on_loop(lambda: setattr(gone, "peers", peers))
    assert chat(own, headers, "gone_count").status == 200
    assert own.made() == 1


def test_a_call_that_timed_out_may_have_run_and_is_not_made_again(own: Stage) -> None:
    headers = fresh()
    own.reload(mcpServers={"up": {"url": own.up.url, "timeout": "50ms", "max_timeout": "50ms"}})
    until(lambda: own.live.gateway.upstreams["up"].state == "ready", "it is back")
    first, again = chat(own, headers, "up_wait"), chat(own, headers, "up_wait")
    assert first.status == again.status == 504
    assert first.body == again.body
    assert "may have run" in again.json["error"]["message"]
    assert own.made() == 1


def test_many_large_answers_stay_within_the_memory_and_none_is_run_for_again(own: Stage) -> None:
    text = "x" * 4_000_000
    own.up.calls["count"] = lambda params: {"content": [{"type": "text", "text": text}]}
    store = own.live.gateway.service.repeats.store
    mine, yours = fresh(), {**signed("viewer"), HEADER: "k"}
    other = chat(own, yours, "up_guarded").body
    for number in range(6):
        chat(own, {**mine, HEADER: f"{mine[HEADER]}-{number}"})
        assert store.bytes <= 17 * 2**20
    statuses = [chat(own, {**mine, HEADER: f"{mine[HEADER]}-{number}"}).status for number in range(6)]
    assert statuses == [409, 409, 200, 200, 200, 200]
    assert chat(own, yours, "up_guarded").body == other
    assert own.made() == 7


def test_a_stop_waits_for_what_runs_without_its_client(tmp_path: Path) -> None:
    with staged(tmp_path) as on:
        service = on.live.gateway.service
        hang_up(on, "chat", fresh(), "up_wait")
        until(lambda: (service.in_flight, service.outliving) == (0, 1), "only the call is left")
        stop, on.live._stop = on.live._stop, lambda: None
        stop()
        until(lambda: service.draining, "the gateway is stopping")
        assert on.running() == 1
        on.up.release.set()
    (owner,) = service.repeats.store._owners.values()
    assert [keyed.parts[0].data is not None for keyed in owner.ended.values()] == [True]
    assert (service.in_flight, service.outliving) == (0, 0)


class Sink:
    """Keeps audit lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def reserve(self) -> bool:
        return True

    def write(self, use: Use, outcome: str, seconds: float, now: float) -> None:
        assert use.serving is not None
        self.lines.append((use.serving.request_id, use.target, outcome))


def test_every_request_has_its_own_audit_line(own: Stage) -> None:
    sink = Sink()
    own.on_loop(lambda: setattr(own.live.gateway.telemetry.observer, "audit", sink))
    headers = fresh()
    ids = [chat(own, headers).headers["x-request-id"] for _ in range(2)]
    refused = chat(own, headers, other=1).headers["x-request-id"]
    hang_up(own, "chat", {**headers, HEADER: "left"}, "up_wait")
    until(lambda: len(sink.lines) == 4, "the request without a client has its line")
    assert sink.lines[:2] == [(one, "up_count", "success") for one in ids]
    assert sink.lines[2] == (refused, "up_count", "error")
    assert sink.lines[3][1:] == ("up_wait", "cancelled")
    own.up.release.set()
    until(lambda: own.running() == 0, "the call ends")
    assert len(sink.lines) == 4
