"""What a gateway tells of itself, as a whole: it begins and ends in time, whatever becomes of those whom it tells."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.config import Config, load
from gateway.telemetry.assembly import Telemetry
from gateway.telemetry.current import Serving
from gateway.telemetry.gauges import Gauges
from tests.fixtures.audit import lines, use
from tests.fixtures.waiting import until

NO_SUCH = {"OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "nobody"}
"""Nothing that this names can be loaded."""

Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Loads a config with this telemetry."""

    def config(**telemetry: Any) -> Config:
        file = tmp_path / "onegate.yaml"
        file.write_text(json.dumps({"mcpServers": {"a": {"command": "x"}}, "telemetry": telemetry}))
        return load(file, {})

    return config


def test_a_sender_of_spans_that_cannot_be_made_stops_neither_start_nor_reload(
    read: Read, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NO_SUCH.items():
        monkeypatch.setenv(name, value)
    there = {"endpoint": "http://127.0.0.1:9"}
    telemetry = Telemetry(read(otlp=there))
    assert telemetry.observer.tracing is None
    telemetry.renew(read(otlp={**there, "sample": 0.5}))
    assert caplog.messages == ["spans cannot be sent to the collector"] * 2


def test_what_does_not_answer_holds_up_the_end_once_and_no_audit_line(read: Read, tmp_path: Path) -> None:
    seconds = 1.0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        telemetry = Telemetry(read(otlp={"endpoint": endpoint}, audit={"file": "audit.jsonl"}))
        audit, tracing = telemetry.observer.audit, telemetry.observer.tracing
        assert audit is not None
        assert tracing is not None

        async def main() -> float:
            async with telemetry.running(Gauges, seconds):
                push = telemetry._push
                await anyio.to_thread.run_sync(until, lambda: push is not None and push._sender, "metrics are sent")
                serving = Serving()
                tracing.begin(serving, "tools/list")
                serving.finish()
                assert audit.reserve()
                audit.write(use(), "success", 0.0, 0.0)
                begun = time.monotonic()
            return time.monotonic() - begun

        took = anyio.run(main)
    assert len(lines(tmp_path / "audit.jsonl")) == 1
    assert took < 2 * seconds, "metrics and spans take their time one after another"
