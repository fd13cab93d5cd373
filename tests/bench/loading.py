"""Loads one server with one call and says what it did; the servers run already, and what they are is not known here."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import calls
from processes import Server, cpu_seconds, descendants, forget_peak_memory, peak_memory_mb, pin, settle

HERE = Path(__file__).parent
CONNECTIONS = 16
WRK = ["wrk", "-t1", "-s", str(HERE / "call.lua")]
PATIENT = [sys.executable, str(HERE / "patient_load.py")]

Kind = Literal["direct", "onegate", "proxy"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the process under test and the call it gets."""

    name: str
    server: Server
    call: calls.Call
    kind: Kind = "onegate"
    generator: tuple[str, ...] = tuple(WRK)
    """What makes the load; wrk gives up what is under way at the end, which counts where that is much of the whole."""
    whole: bool = False
    """Whether what the process has started is part of the proxy; else those are its upstreams."""

    def processes(self) -> list[int]:
        """What is measured."""
        return [self.server.pid, *(descendants(self.server.pid) if self.whole else ())]

    def beneath(self) -> list[int]:
        """What it calls, as far as it has started that itself."""
        return [] if self.whole else descendants(self.server.pid)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one row measured; times in milliseconds, memory in MB."""

    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_call: float
    peak_mb: float


def median(values: Iterable[Figures]) -> Figures:
    columns = zip(*(asdict(value).values() for value in values), strict=True)
    return Figures(*(statistics.median(column) for column in columns))


def load(row: Row, upstream: Server, seconds: int, pinned: bool) -> Figures:
    """One run of load against one row; raises when any answer was wrong."""
    headers = [part for header in row.call.headers.items() for part in header]
    arguments = [f"-c{CONNECTIONS}", f"-d{seconds}s", row.call.url, "--", row.call.body, calls.TEXT, *headers]
    command = [*row.generator, *arguments]
    own = row.processes()
    if pinned:
        first, second, *_ = sorted(os.sched_getaffinity(0))
        for pid in (upstream.pid, *row.beneath()):
            pin(pid, {second})
        for pid in own:
            pin(pid, {first})
        command = ["taskset", "-c", str(second), *command]
    for pid in own:
        forget_peak_memory(pid)
    before = sum(map(cpu_seconds, own))
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    spent = sum(map(cpu_seconds, own)) - before
    peak = sum(map(peak_memory_mb, own))
    settle(own)
    result = json.loads(output.rpartition("RESULT ")[2])
    if result["wrong"] or result["failed"] or not result["calls"]:
        raise calls.WrongAnswerError(f"{row.name.strip()}: wrong, failed or no answers under load: {result}")
    return Figures(
        calls_per_second=result["calls"] / result["microseconds"] * 1e6,
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        cpu_ms_per_call=spent / result["calls"] * 1000,
        peak_mb=peak,
    )
