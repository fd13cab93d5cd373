"""Metrics on their way to a collector: what is sent, when, and that a collector that fails harms nothing."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from gateway import __version__
from gateway.telemetry import collector as told
from gateway.telemetry import otlp_metrics
from gateway.telemetry.data_model import DataModel
from gateway.telemetry.gauges import Gauges, Naming, Source, UpstreamGauge
from gateway.telemetry.measures import Measures
from gateway.telemetry.otlp_metrics import OtlpMetrics
from gateway.telemetry.push import Push
from tests.fixtures.collector import collector
from tests.fixtures.gateways import raw_entry
from tests.fixtures.live_gateway import call, live_gateway
from tests.fixtures.waiting import until

OFTEN = 0.02
SENDING = "OtelPeriodicExportingMetricReader"


@pytest.fixture
def counted() -> Source:
    measures = Measures()
    measures.call("gh_issue", "gh", "success")
    measures.duration("gh_issue", "gh", 0.25)
    measures.operation("tools/call", "gh_issue", "", 0.25)
    gauges = Gauges(2, 3, (UpstreamGauge("gh", True, 4),))
    return Source(measures, lambda: gauges, lambda: Naming("acme", "acme-tools"))


@contextmanager
def sending(endpoint: str, source: Source, seconds: float = 60.0) -> Iterator[OtlpMetrics]:
    sender = OtlpMetrics(endpoint, DataModel(source).collect, seconds)
    try:
        yield sender
    finally:
        sender.stop(5.0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_everything_is_sent_once_more_at_the_end(counted: Source) -> None:
    with collector() as there:
        with sending(there.endpoint + "/", counted):
            counted.measures.call("gh_issue", "gh", "error")
        assert there.paths == ["/v1/metrics"]
        assert {name: value for name, value in there.latest().items() if value} == {
            "acme_mcp_tool_calls": 2,
            "acme_mcp_tool_duration": 1,
            "mcp.server.operation.duration": 1,
            "acme_requests_in_flight": 2,
            "acme_sessions": 3,
            "acme_build_info": 1,
            "acme_upstream_up": 1,
            "acme_upstream_restarts": 4,
        }
        about = there.resource()
        assert (about["service.name"], about["service.version"]) == ("acme-tools", __version__)


def test_it_is_sent_again_and_again(counted: Source) -> None:
    with collector() as there, sending(there.endpoint, counted, OFTEN):
        until(lambda: len(there.requests) >= 3, "three pushes")


def test_failures_are_told_once_until_it_works_again(counted: Source, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with collector() as there:
        there.status = 401
        with sending(there.endpoint, counted, OFTEN):
            until(lambda: len(there.requests) >= 4, "four pushes")
            (said,) = warnings(caplog)
            assert said.startswith("metrics cannot be sent to the collector: ")
            assert "401" in said
            there.status = 200
            until(lambda: "metrics are sent to the collector again" in caplog.messages, "a word that it works")
            there.status = 401
            until(lambda: len(warnings(caplog)) == 2, "the next failure")


def test_a_failure_that_lasts_is_told_again_later(
    counted: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "QUIET_SECONDS", 0.0)
    with collector() as there:
        there.status = 401
        with sending(there.endpoint, counted, OFTEN):
            until(lambda: len(warnings(caplog)) >= 2, "two warnings")


def test_a_collection_that_fails_does_not_end_the_sending(counted: Source, caplog: pytest.LogCaptureFixture) -> None:
    failures = iter([ValueError("once")])

    def naming() -> Naming:
        for failure in failures:
            raise failure
        return Naming()

    with collector() as there:
        with sending(there.endpoint, Source(counted.measures, Gauges, naming), OFTEN):
            until(lambda: there.requests, "a push after the failure")
        assert warnings(caplog) == ["metrics could not be collected"]


def pushed(push: Push, endpoint: str | None, body: Callable[[], None]) -> float:
    """Run ``body`` while metrics are pushed; returns how long the end took."""

    async def main() -> float:
        async with push.running(endpoint):
            await anyio.to_thread.run_sync(body)
            begun = time.monotonic()
        return time.monotonic() - begun

    return anyio.run(main)


def sends_to(push: Push) -> str | None:
    return push._present if push._sender is not None else None


def test_another_endpoint_holds_from_a_reload_on(counted: Source) -> None:
    with collector() as first, collector() as second:
        push = Push(counted, 5.0)

        def body() -> None:
            until(lambda: sends_to(push) == first.endpoint, "the first endpoint")
            push.aim(second.endpoint)
            until(lambda: sends_to(push) == second.endpoint, "the second endpoint")
            assert (len(first.requests), len(second.requests)) == (1, 0)
            push.aim(None)
            until(lambda: len(second.requests) == 1, "the last push to it")

        pushed(push, first.endpoint, body)
        assert (len(first.requests), len(second.requests)) == (1, 1)


def test_an_exporter_that_cannot_be_made_is_told_and_harms_nothing(
    counted: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no such certificate")

    monkeypatch.setattr(otlp_metrics, "OtlpMetrics", broken)
    pushed(Push(counted, 5.0), "http://127.0.0.1:9", lambda: until(lambda: warnings(caplog), "a word of it") and None)
    assert warnings(caplog) == ["metrics cannot be sent to the collector"]


def test_without_an_endpoint_there_is_no_thread(counted: Source) -> None:
    push = Push(counted, 5.0)
    before = {thread.name for thread in threading.enumerate()}
    pushed(push, None, lambda: None)
    assert SENDING not in {thread.name for thread in threading.enumerate()} - before


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(
    counted: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        push = Push(counted, 0.2)
        took = pushed(push, endpoint, lambda: until(lambda: sends_to(push), "it is sending") and None)
        assert took < 2.0
    until(lambda: warnings(caplog), "a word of it")
    assert warnings(caplog) == ["the last metrics could not be sent to the collector within 0.2 s"]


def test_a_gateway_pushes_what_it_counted_when_it_stops(tmp_path: Path) -> None:
    with collector() as there:
        config = {"name": "acme-tools", "telemetry": {"otlp": {"endpoint": there.endpoint}}}
        with live_gateway(tmp_path, {"mcpServers": {"a": raw_entry()}, **config}) as live:
            until(lambda: sends_to(live.gateway.telemetry._push) == there.endpoint, "it is sending")
            assert live.post(call("a_echo")).status == 200
        assert there.latest()["onegate_mcp_tool_calls"] == 1
        assert there.resource()["service.name"] == "acme-tools"
