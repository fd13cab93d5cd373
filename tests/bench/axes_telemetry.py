"""What it costs end to end to count a call, to trace one in a hundred, to write each down: rows beside rows."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import calls
from axes_rounds import interleaved
from axes_stage import ONEGATE, TEN_RULES, Settings, Stage, called, guarded_config, http, open_stage
from loading import HERE, Figures, Row, median

NOTHING, METRICS, TRACES, AUDIT = "nothing counted", "metrics", "metrics, traces at 1 %", "metrics, audit file"
COUNTERPARTS = {METRICS: NOTHING, TRACES: METRICS, AUDIT: METRICS}
CPU, MORE, ERROR = "CPU us/call", "more us", "std error us"


def measure(settings: Settings) -> dict[str, Figures]:
    """Each row beside its counterpart, in more and longer rounds than elsewhere: what is looked for is small."""
    settings = replace(settings, rounds=settings.pair_rounds, seconds=settings.pair_seconds)
    with open_stage(settings) as stage:
        rounds = interleaved(start(stage), stage)
    found = {name: median(values) for name, values in rounds.items()}
    for name, other in COUNTERPARTS.items():
        found[name] |= difference(rounds[name], rounds[other])
    return found


def start(stage: Stage) -> list[Row]:
    """Four gateways that differ in their telemetry alone."""
    sink = stage.script("otlp_sink.py").url
    kinds: Mapping[str, Mapping[str, Any]] = {
        NOTHING: {},
        METRICS: {},
        TRACES: {"otlp": {"endpoint": sink, "sample": 0.01}},
        AUDIT: {"audit": {"file": str(stage.log())}},
    }
    guarded = guarded_config(stage.settings, TEN_RULES, fast=http(stage.upstream().url))
    rows = []
    for name, telemetry in kinds.items():
        program = [sys.executable, str(HERE / "uncounted.py")] if name == NOTHING else [str(ONEGATE)]
        server = stage.gateway({**guarded, "telemetry": telemetry}, program)
        call = called(stage.settings, calls.modern(server.url, "fast_echo"))
        calls.check(call)
        rows.append(Row(name, server, call))
    return rows


def difference(rounds: Sequence[Figures], counterpart: Sequence[Figures]) -> Figures:
    """The median of what a call costs more than in the counterpart's load of the same round, and how sure that is."""
    more = [one[CPU] - other[CPU] for one, other in zip(rounds, counterpart, strict=True)]
    found = {MORE: statistics.median(more)}
    if len(more) > 1:
        found[ERROR] = statistics.stdev(more) / len(more) ** 0.5
    return found
