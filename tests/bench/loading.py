"""Loads one server with one call and says what it did; the servers run already, and what they are is not known here."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import calls
from processes import Server, cores, cpu_seconds, descendants, forget_peak_memory, peak_memory_mb, place, settle

HERE = Path(__file__).parent
CONNECTIONS = 16
WRK = ["wrk", "-t1", "-s", str(HERE / "call.lua")]
PATIENT = [sys.executable, str(HERE / "patient_load.py")]

Figures = dict[str, float]
"""The name of a figure ends in its unit."""
Kind = Literal["direct", "onegate", "proxy"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: the process under test and the call it gets."""

    name: str
    server: Server
    call: calls.Call
    kind: Kind = "onegate"
    generator: tuple[str, ...] = tuple(WRK)
    """What makes the load; wrk gives up what is under way at the end, which counts where that is much of the whole."""
    whole: bool = False
    """Whether what the process has started is part of the proxy; else those are its upstreams."""
    connections: int = CONNECTIONS
    expected: str = calls.TEXT
    """A text that each answer has to hold."""

    def processes(self) -> list[int]:
        """What is measured."""
        return [self.server.pid, *(descendants(self.server.pid) if self.whole else ())]

    def beneath(self) -> list[int]:
        """What it calls, as far as it has started that itself."""
        return [] if self.whole else descendants(self.server.pid)


def in_turn(count: int) -> tuple[str, ...]:
    """Makes the load of a call in which the sign `@` is a number below `count` that goes round."""
    given = (f"TURNS={count}", f"CALL_LUA={HERE / 'call.lua'}")
    return ("env", *given, "wrk", "-t1", "-s", str(HERE / "in_turn.lua"))


def load(row: Row, upstreams: Iterable[Server], seconds: int, pinned: bool) -> Figures:
    """One run of load against one row; raises when any answer was wrong."""
    own = row.processes()
    if pinned:
        place(own, [*(server.pid for server in upstreams), *row.beneath()])
    for pid in own:
        forget_peak_memory(pid)
    before = sum(map(cpu_seconds, own))
    result = generate(row, seconds, pinned)
    spent = sum(map(cpu_seconds, own)) - before
    peak = sum(map(peak_memory_mb, own))
    settle(own)
    if result["wrong"] or result["failed"] or not result["calls"]:
        raise calls.WrongAnswerError(f"{row.name}: wrong, failed or no answers under load: {result}")
    return {
        "calls/s": result["calls"] / result["microseconds"] * 1e6,
        "p50 ms": result["p50"] / 1e3,
        "p99 ms": result["p99"] / 1e3,
        "CPU us/call": spent / result["calls"] * 1e6,
        "peak MB": peak,
    }


def generate(row: Row, seconds: int, pinned: bool) -> dict[str, int]:
    """What the load counted; times in microseconds."""
    headers = [part for header in row.call.headers.items() for part in header]
    command = [*row.generator, f"-c{row.connections}", f"-d{seconds}s", row.call.url, "--", row.call.body, row.expected]
    where = ["taskset", "-c", str(cores()[1])] if pinned else []
    run = subprocess.run([*where, *command, *headers], check=True, capture_output=True, text=True, timeout=seconds + 30)
    counted: dict[str, int] = json.loads(run.stdout.rpartition("RESULT ")[2])
    return counted


def median(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def ratio(rounds: Sequence[Figures], reference: Sequence[Figures], figure: str) -> float:
    """The median of what the rounds have of the reference's rounds beside them."""
    return statistics.median(one[figure] / other[figure] for one, other in zip(rounds, reference, strict=True))
