"""Loads servers with wrk in turn, checks what they answer and reads what it cost them; knows not what is compared."""

import json
import os
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import calls
from axes_stage import HERE, Stage, cores
from processes import Server, cpu_seconds, forget_peak_memory, peak_memory_mb

CONNECTIONS = 16

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is loaded with what. Of a call with `turns` the sign `@` is a number that goes round."""

    name: str
    server: Server
    call: calls.Call
    connections: int = CONNECTIONS
    expected: str = calls.TEXT
    turns: int = 1


def interleaved(subjects: Sequence[Subject], stage: Stage) -> dict[str, list[Figures]]:
    """One load of each subject per round, after a warm-up, so that a disturbance of the machine hits all alike."""
    settings = stage.settings
    if settings.warm_up:
        for subject in subjects:
            load(subject, stage, settings.warm_up)
    rounds: dict[str, list[Figures]] = {subject.name: [] for subject in subjects}
    for _ in range(settings.rounds):
        for subject in subjects:
            rounds[subject.name].append(load(subject, stage, settings.seconds))
    return rounds


def load(subject: Subject, stage: Stage, seconds: int) -> Figures:
    """One run of wrk; raises `WrongAnswerError` when any answer was wrong."""
    stage.place(subject.server.pid)
    pid = subject.server.pid
    forget_peak_memory(pid)
    before = cpu_seconds(pid)
    result = wrk(subject, seconds, ["taskset", "-c", str(cores()[1])] if stage.settings.pinned else [])
    spent = cpu_seconds(pid) - before
    if result["wrong"] or result["failed"] or not result["calls"]:
        raise calls.WrongAnswerError(f"{subject.name}: wrong or failed answers under load: {result}")
    return {
        "calls/s": result["calls"] / result["microseconds"] * 1e6,
        "p50 ms": result["p50"] / 1e3,
        "p99 ms": result["p99"] / 1e3,
        "CPU us/call": spent / result["calls"] * 1e6,
        "peak MB": peak_memory_mb(pid),
    }


def wrk(subject: Subject, seconds: int, prefix: list[str]) -> dict[str, int]:
    """What wrk counted."""
    call = subject.call
    headers = [part for header in call.headers.items() for part in header]
    script = HERE / ("call.lua" if subject.turns == 1 else "in_turn.lua")
    command = [*prefix, "wrk", "-t1", f"-c{subject.connections}", f"-d{seconds}s", "-s", str(script), call.url, "--"]
    run = subprocess.run(
        [*command, call.body, subject.expected, *headers],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        env={**os.environ, "TURNS": str(subject.turns), "CALL_LUA": str(HERE / "call.lua")},
    )
    counted: dict[str, int] = json.loads(run.stdout.rpartition("RESULT ")[2])
    return counted


def median(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def ratio(rounds: Sequence[Figures], reference: Sequence[Figures], figure: str) -> float:
    """The median of what the rounds have of the reference's rounds beside them."""
    return statistics.median(one[figure] / other[figure] for one, other in zip(rounds, reference, strict=True))


def memory_mb(pid: int) -> float:
    """What a process has in memory now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
