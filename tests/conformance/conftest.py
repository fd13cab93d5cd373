"""Runs the official suite once per specification version, against the gateway in front of the fixture server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.gateways import until_ready
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
        else:
            with _gateway_before(fixture.match["url"], tmp_path_factory.mktemp("gateway")) as door:
                yield door


@contextmanager
def _gateway_before(upstream: str, home: Path) -> Iterator[str]:
    config = home / "onegate.json"
    # Required, so that /readyz waits for it.
    config.write_text(json.dumps({"mcpServers": {"fixture": {"url": upstream, "required": True}}, "server": {}}))
    argv = [sys.executable, "-m", "gateway.cli", "serve", "-c", config, "--port", "0"]
    # Its keys and pins belong to this run, not to the user's state directory.
    with running(argv, LISTENING, env={**os.environ, "XDG_STATE_HOME": str(home)}, cwd=ROOT) as gateway:
        until_ready(gateway.match["url"])
        yield f"{gateway.match['url']}/fixture"


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
    log = directory / "output.txt"
    # Neither its exit code nor its end is needed: each test judges the checks of its own scenario.
    with log.open("w") as output, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*suite, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=SUITE_SECONDS,
            check=False,
        )
    found = {_scenario_of(path.parent.name): json.loads(path.read_text()) for path in directory.glob("*/checks.json")}
    if not found:
        print(log.read_text())  # every test of this version fails; the first one shows why
    return found


def _scenario_of(directory: str) -> str:
    """`server-ping-2026-11-21T10-48-12-301Z` → `ping`."""
    return directory.removeprefix("server-")[: -len("-2026-11-21T10-48-12-301Z")]
