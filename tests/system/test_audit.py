"""The audit log of the installed command: how it starts, how it is rotated under load, and how it ends."""

import json
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.audit import lines
from tests.fixtures.gateways import Message, Served, command, config_file, environment, raw_entry, serving, stdio
from tests.fixtures.waiting import until

SERVERS = {"a": raw_entry()}
FULL: Message = {"telemetry": {"audit": {"file": "audit.jsonl", "arguments": "full"}}}
CLIENTS, ROTATIONS = 3, 15
END_SECONDS = 10.0
QUIT_SECONDS = 1.5


def numbers(*files: Path) -> list[int]:
    """Which calls have lines, in the order of the files."""
    return [line["arguments"]["n"] for file in files for line in lines(file)]


def hang_up(served: Served) -> None:
    os.kill(served.pid, signal.SIGHUP)


def saved(home: Path, text: str) -> None:
    """Save the config as an editor does."""
    (home / "fresh.json").write_text(text)
    (home / "fresh.json").replace(home / "onegate.json")


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("stdio",), ("check",), ("call", "a_echo")])
def test_a_file_that_cannot_be_opened_is_named_and_nothing_starts(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = config_file(tmp_path, SERVERS, telemetry={"audit": {"file": "none/audit.jsonl"}})
    argv = command(words[0], "-c", config, *words[1:])
    ended = subprocess.run(
        argv, capture_output=True, text=True, timeout=END_SECONDS, env=environment(tmp_path), stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 1
    said = ended.stdout if words[0] == "check" else ended.stderr
    assert "telemetry.audit.file: its folder is not there; make it" in said
    assert "Traceback" not in ended.stderr


def test_a_call_from_the_command_line_has_its_line(tmp_path: Path) -> None:
    argv = command("call", "-c", config_file(tmp_path, SERVERS, **FULL), "a_echo", '{"n": 1}')
    subprocess.run(argv, check=True, capture_output=True, timeout=END_SECONDS, env=environment(tmp_path))
    assert [(line["identity_kind"], line["target"]) for line in lines(tmp_path / "audit.jsonl")] == [
        ("local", "a_echo")
    ]


def test_rotations_under_load_lose_and_double_no_line(tmp_path: Path) -> None:
    log, over = tmp_path / "audit.jsonl", threading.Event()

    def work(served: Served, first: int) -> list[int]:
        sent = []
        while not over.is_set():
            sent.append(first + CLIENTS * len(sent))
            served.call("a_echo", n=sent[-1])
        return sent

    with serving(tmp_path, SERVERS, **FULL) as served, ThreadPoolExecutor(CLIENTS) as pool:
        assert served.tools()
        working = [pool.submit(work, served, first) for first in range(CLIENTS)]
        rotated = []
        try:
            for number in range(ROTATIONS):
                until(lambda: log.stat().st_size, "calls go on")
                rotated.append(log.rename(tmp_path / f"audit.{number}"))
                hang_up(served)
                until(log.exists, "there is a fresh file")
        finally:
            over.set()
        sent = [number for one in working for number in one.result(END_SECONDS)]
        os.kill(served.pid, signal.SIGTERM)
        assert served.process.process.wait(END_SECONDS) == 0
    found = numbers(*rotated, log)
    print(f"{len(found)} lines in {len(rotated) + 1} files")
    assert sorted(found) == sorted(sent)


def test_a_rotation_needs_no_config_that_can_be_taken(tmp_path: Path) -> None:
    log, old = tmp_path / "audit.jsonl", tmp_path / "old"
    with serving(tmp_path, SERVERS, **FULL) as served:
        served.tools()
        served.call("a_echo", n=0)
        until(lambda: numbers(log) == [0], "the line is written")
        (tmp_path / "onegate.json").write_text("{{{")
        log.rename(old)
        hang_up(served)
        until(log.exists, "there is a fresh file")
        served.call("a_echo", n=1)
        until(lambda: numbers(log) == [1], "the line is in it")
        assert numbers(old) == [0]


def test_a_config_whose_file_cannot_be_opened_is_refused_and_the_present_one_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, SERVERS, **FULL) as served:
        served.tools()
        wrong = {"server": {}, "mcpServers": {"b": raw_entry()}, "telemetry": {"audit": {"file": "none/x"}}}
        saved(tmp_path, json.dumps(wrong))
        hang_up(served)
        refused = until(
            lambda: [event["message"] for event in served.log() if event["level"] == "error"], "it is refused"
        )
        assert "telemetry.audit.file: its folder is not there" in refused[0]
        served.call("a_echo", n=0)
        until(lambda: numbers(tmp_path / "audit.jsonl") == [0], "the line is written")


def test_a_client_that_quits_leaves_its_lines_and_nothing_else(tmp_path: Path) -> None:
    with stdio(tmp_path, SERVERS, **FULL) as client:
        client.initialize()
        for number in range(5):
            client.call("a_echo", n=number)
        client.ask("tools/call", {"name": "a_none"})
        start = time.monotonic()
        client.close_stdin()
        client.process.wait(QUIT_SECONDS)
        print(f"gone after {(time.monotonic() - start) * 1000:.0f} ms")
    found = lines(tmp_path / "audit.jsonl")
    assert [line["outcome"] for line in found] == ["success"] * 5 + ["error"]
    assert {line["identity_kind"] for line in found} == {"local"}


def test_a_client_that_quits_is_not_held_up_by_a_log_that_is(tmp_path: Path) -> None:
    pipe = tmp_path / "audit.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with stdio(tmp_path, SERVERS, **FULL) as client:
            client.initialize()
            client.call("a_echo", n="x" * 500_000)  # more than a pipe holds
            client.close_stdin()
            client.process.wait(QUIT_SECONDS)
        assert any("ends with 1 lines unwritten" in event["message"] for event in client.log())
    finally:
        os.close(reader)
