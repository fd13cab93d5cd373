"""Runs the official suite once per specification version, against the gateway in front of the fixture server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.node import node22, npm_bin
from tests.fixtures.processes import running

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "conformance_server.py"
LISTENING = r"(?P<url>http://127\.0\.0\.1:\d+/mcp)"

# One version takes about 5 s; a scenario that hangs costs at most its own limit.
SCENARIO_MILLISECONDS = 10_000
SUITE_SECONDS = 300

Checks = list[dict[str, Any]]
Results = dict[str, Checks]


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The door under test; ONEGATE_CONFORMANCE_DIRECT=1 takes the fixture server itself."""
    with running([sys.executable, FIXTURE, "--transport", "http", "--port", "0"], LISTENING) as fixture:
        if os.environ.get("ONEGATE_CONFORMANCE_DIRECT") == "1":
            yield fixture.match["url"]
            return
        config = tmp_path_factory.mktemp("conformance") / "onegate.json"
        config.write_text(json.dumps({"mcpServers": {"fixture": {"url": fixture.match["url"]}}}))
        gateway = [sys.executable, "-m", "gateway.cli", "serve", "-c", config, "--port", "0"]
        with running(gateway, LISTENING, cwd=ROOT) as door:
            yield f"{door.match['url']}/fixture"


@pytest.fixture(scope="session")
def results_of(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Results]:
    """Version → scenario → its checks; the suite runs once per version, when the first test asks."""

    @cache
    def run(version: str) -> Results:
        return _run_suite(server_url, version, tmp_path_factory.mktemp(version))

    return run


def _run_suite(url: str, version: str, directory: Path) -> Results:
    suite: list[str | Path] = [node22(), npm_bin("conformance"), "server", "--suite", "all", "--url", url]
    options = ["--spec-version", version, "--timeout", str(SCENARIO_MILLISECONDS), "-o", str(directory)]
    # Its exit code only says whether every scenario passed; each test judges its own.
    run = subprocess.run(
        [*suite, *options], capture_output=True, text=True, timeout=SUITE_SECONDS, check=False, cwd=directory
    )
    results = {_scenario_of(path.parent.name): json.loads(path.read_text()) for path in directory.glob("*/checks.json")}
    assert results, f"the suite wrote no results:\n{run.stdout}{run.stderr}"
    return results


def _scenario_of(directory: str) -> str:
    """`server-ping-2026-11-21T10-48-12-301Z` → `ping`."""
    return directory.removeprefix("server-")[: -len("-2026-11-21T10-48-12-301Z")]
