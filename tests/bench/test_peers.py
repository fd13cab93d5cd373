"""The peers of the benchmark are pinned and started by what is there; one that fails is left out, and said so."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import calls
import loading
import peer_rows
import processes
import pytest
import run

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads costs from /proc")


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[processes.Server]:
    command = [sys.executable, str(HERE / "fast_upstream.py")]
    with processes.running("upstream", command, tmp_path / "upstream.log") as server:
        yield server


def test_each_peer_is_pinned_locked_and_installed_by_make() -> None:
    environments = {peer.environment for peer in peer_rows.PEERS}
    assert {path.stem for path in (ROOT / "requirements").glob("peer-*")} == {f"peer-{name}" for name in environments}
    makefile, lock = (ROOT / "Makefile").read_text(), (ROOT / "scripts/lock.sh").read_text()
    listed = next(line for line in makefile.splitlines() if line.startswith("PEERS :="))
    for peer in peer_rows.PEERS:
        assert peer.version, f"{peer.package} is not pinned"
        assert peer.environment in listed.rpartition(",")[2].rstrip(")").split()
        assert f"resolve peer-{peer.environment} {peer.package}" in lock
        assert (HERE / "peers" / peer.command[0]).is_file()
    assert len({peer.row for peer in peer_rows.PEERS}) == len(peer_rows.PEERS)


def test_a_peer_that_is_not_installed_is_missing_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_rows, "ROOT", tmp_path)
    with ExitStack() as stack:
        started = peer_rows.start_peers(stack, "http://127.0.0.1:9/mcp", tmp_path)
    assert started.rows == []
    assert set(started.missing) == {peer.row for peer in peer_rows.PEERS}
    assert started.missing["FastMCP default, sessionless"] == "not installed (make .cache/peers/fastmcp/.installed)"


@pytest.mark.timeout(60)
def test_a_peer_that_does_not_start_is_missing_with_the_last_that_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_rows, "ROOT", tmp_path)
    monkeypatch.setattr(peer_rows, "PEERS", peer_rows.PEERS[:1])
    environment = tmp_path / ".cache/peers/fastmcp"
    (environment / "bin").mkdir(parents=True)
    (environment / ".installed").touch()
    (environment / "bin/python").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n'
    )  # a Python without packages
    (environment / "bin/python").chmod(0o755)
    with ExitStack() as stack:
        started = peer_rows.start_peers(stack, "http://127.0.0.1:9/mcp", tmp_path)
    assert started.rows == []
    (said,) = started.missing.values()
    assert "did not print its URL" in said
    assert said.endswith("No module named 'uvloop'")


@ON_LINUX
@pytest.mark.timeout(90)
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk (scripts/system-packages.sh)")
def test_a_peer_that_answers_wrong_under_load_is_left_out_and_the_others_are_measured(
    upstream: processes.Server,
) -> None:
    right = calls.modern(upstream.url, "echo")
    wrong = calls.Call(right.url, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), calls.TYPES)
    rows = [loading.Row("direct", upstream, right, "direct"), loading.Row("mute", upstream, wrong, "proxy")]
    stage = run.Stage(upstream, rows)
    rounds = run.measure(stage, argparse.Namespace(rounds=1, seconds=1, pin=False))
    assert set(rounds) == {"direct"}
    assert rounds["direct"][0]["calls/s"] > 0
    assert "wrong, failed or no answers" in stage.missing["mute"]


def patient(url: str, expected: str) -> dict[str, int]:
    """What the patient load saw of two connections in half a second."""
    call = calls.modern(url, "echo")
    headers = [part for header in call.headers.items() for part in header]
    arguments = ["-c2", "-d0.5s", call.url, "--", call.body, expected, *headers]
    command = [sys.executable, str(HERE / "patient_load.py"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    found: dict[str, int] = json.loads(done.stdout.rpartition("RESULT ")[2])
    return found


@pytest.mark.timeout(60)
def test_the_patient_load_counts_answers_and_wrong_ones(upstream: processes.Server) -> None:
    url = upstream.url
    good, bad = patient(url, "the quick brown fox"), patient(url, "another text")
    assert good["calls"] > 0
    assert good["wrong"] == good["failed"] == 0
    assert 0 < good["p50"] <= good["p99"]
    assert good["microseconds"] >= 500_000
    assert bad["wrong"] == bad["calls"] > 0


@pytest.mark.timeout(60)
def test_the_patient_load_counts_a_server_that_is_not_there_as_failed(upstream: processes.Server) -> None:
    assert patient("http://127.0.0.1:9/mcp", "text")["failed"] == 2


@ON_LINUX
@pytest.mark.timeout(60)
def test_the_processes_of_a_proxy_in_two_are_found() -> None:
    command = [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not (found := processes.descendants(process.pid)) and time.monotonic() < deadline:
            os.sched_yield()
        assert len(found) == 1
        assert process.stdin is not None
        process.stdin.write(b"\n")


@pytest.mark.timeout(60)
def test_the_gateway_that_counts_nothing_is_still_the_gateway() -> None:
    command = [sys.executable, str(HERE / "uncounted.py"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "onegate" in done.stdout
