"""The OpenAPI document says what the tool API does: schemathesis asks a running gateway for everything that it says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.api_keys import new_key
from gateway.openapi import PATH
from tests.fixtures.gate import entry
from tests.fixtures.live_gateway import LiveGateway, live_gateway
from tests.fixtures.raw_upstream import raw_upstream, tool

ROOT = Path(__file__).resolve().parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SECONDS = 120.0
EXAMPLES = 10  # of each operation, beside those that go through its parameters one by one

KEY, KEY_ENTRY = new_key("ci")
STRICT = {"auth": {"mode": "strict", "api_keys": [entry(KEY_ENTRY)]}}

TEXT = {"type": "text", "text": "words"}
PICTURE = {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}
SOUND = {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}
ANSWERS: dict[str, dict[str, Any]] = {
    "list_directory": {"content": [TEXT]},
    "read_file": {"content": [TEXT, TEXT]},
    "picture": {"content": [TEXT, PICTURE, SOUND]},
    "figures": {"content": [], "structuredContent": {"sum": 7}},
    "fails": {"content": [TEXT], "isError": True},
    "refuses": {"error": {"code": -31999, "message": "refused by the server"}},
}

CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502]
"""
"""502 says that the server behind refused, which the tool `refuses` does; another fault is the gateway's own."""


@contextmanager
def gateway(folder: Path, **sections: Any) -> Iterator[LiveGateway]:
    """A gateway before a server with a tool for each kind of answer, all of which take any object."""
    with raw_upstream("modern") as upstream:
        upstream.tools = [tool(name) for name in ANSWERS]
        upstream.calls = {name: lambda _, said=said: said for name, said in ANSWERS.items()}
        with live_gateway(folder, {"mcpServers": {"filesystem": {"url": upstream.url}}, **sections}) as live:
            yield live


def checked(live: LiveGateway, folder: Path, headers: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Run schemathesis with all its checks; returns its report and what it printed."""
    report, config = folder / "report.json", folder / "schemathesis.toml"
    config.write_text(CONFIG)
    options = ["--seed", "1", "--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-color"]
    options += ["--checks", "all", "--suppress-health-check", "all", "--request-timeout", "10"]
    options += ["--report", "json", "--report-json-path", str(report)]
    options += [f"--header={name}:{value}" for name, value in headers.items()]
    ran = subprocess.run(
        [SCHEMATHESIS, "--config-file", config, "run", f"http://127.0.0.1:{live.port}{PATH}", *options],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fixtures.openapi_hooks", "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert report.exists(), ran.stdout + ran.stderr
    return json.loads(report.read_text()), ran.stdout


@pytest.mark.parametrize(
    ("sections", "headers"),
    [({}, {}), (STRICT, {"Authorization": f"Bearer {KEY}"})],
    ids=["without authentication", "where everybody must prove who they are"],
)
def test_schemathesis_finds_no_failure(tmp_path: Path, sections: dict[str, Any], headers: dict[str, str]) -> None:
    with gateway(tmp_path, **sections) as live:
        report, printed = checked(live, tmp_path, headers)
    assert report["failures"] == report["errors"] == [], printed
    assert report["complete"]
    assert report["operations"] == {
        "total": 3,
        "selected": 3,
        "tested": 3,
        "errored": 0,
        "skipped": 0,
        "skip_reasons": [],
    }
    assert {name for name, phase in report["phases"].items() if phase["status"] == "success"} >= {"coverage", "fuzzing"}
    # It got through to the tools, and not only to refusals.
    executed = report["valid_rates"]["POST /v1/mcp/tool/execute"]
    assert all(rate["accepted"] > 0 and rate["rejected"] == 0 for rate in executed.values()), executed
    assert not any(report["warnings"].values()), report["warnings"]
