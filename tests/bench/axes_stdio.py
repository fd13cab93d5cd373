"""The gateway as a stdio server beside the same stdio upstream asked directly: one call at a time, and some in flight.

The gateway is our child, its upstream is its own; we load it ourselves, on the core of the upstream.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import calls
from awake import kept_awake
from axes_stage import ONEGATE, TEN_RULES, Config, Settings, Stage, guarded_config, http, open_stage, stdio
from loading import Figures, median
from processes import ALLOWED, cores, cpu_seconds, pin
from stdio_load import FORMS, Message, StdioClient, client, percentile

DIRECT, STDIO, LEGACY_STDIO, HTTP = "direct", "stdio -> stdio", "stdio -> stdio, legacy client", "stdio -> HTTP"
AWAKE = "stdio -> stdio, cores kept awake"
IN_FLIGHT = 16
WARM_UP_CALLS = 200
AT_ONCE_CALLS = 5  # times as many as one by one: the kernel counts CPU in hundredths of a second


@dataclass(frozen=True, slots=True)
class Row:
    """A server on pipes, and the parameters of the call to it."""

    server: StdioClient
    params: Message


def measure(settings: Settings) -> dict[str, Figures]:
    """All rows in turn, round by round; with ten rules, whose claims come from the config."""
    with open_stage(settings) as stage, ExitStack() as clients:
        if settings.pinned:
            pin(os.getpid(), {cores()[1]})
        rows = start(stage, clients)
        for row in rows.values():
            row.server.one_by_one(row.params, WARM_UP_CALLS)
        rounds: dict[str, list[Figures]] = {name: [] for name in rows}
        for _ in range(settings.rounds):
            for name, row in rows.items():
                rounds[name].append(load(row, stage))
        with kept_awake(ALLOWED):
            alone = [{name: middle(rows[name], stage) for name in (DIRECT, STDIO)} for _ in range(settings.rounds)]
    found = {name: median(values) for name, values in rounds.items()}
    for name in (STDIO, LEGACY_STDIO):
        found[name]["added p50 ms"] = found[name]["p50 ms"] - found[DIRECT]["p50 ms"]
    awake = median(alone)
    found[AWAKE] = {"p50 ms": awake[STDIO], "added p50 ms": awake[STDIO] - awake[DIRECT]}
    return found


def start(stage: Stage, clients: ExitStack) -> Mapping[str, Row]:
    def run(*command: str) -> StdioClient:
        return clients.enter_context(client(command, stage.log()))

    def gateway(config: Config) -> StdioClient:
        return run(str(ONEGATE), "stdio", "-c", str(stage.file(config)))

    upstream = stdio()
    guarded = guarded_config(stage.settings, TEN_RULES, fast=upstream)
    over_http = guarded_config(stage.settings, TEN_RULES, fast=http(stage.upstream().url))
    modern, legacy = FORMS[calls.MODERN], FORMS[calls.LEGACY]
    old = gateway(guarded)
    old.initialize()
    return {
        DIRECT: Row(run(upstream["command"], *upstream["args"]), modern("echo")),
        STDIO: Row(gateway(guarded), modern("fast_echo")),
        LEGACY_STDIO: Row(old, legacy("fast_echo")),
        HTTP: Row(gateway(over_http), modern("fast_echo")),
    }


def middle(row: Row, stage: Stage) -> float:
    """What a call takes in the median, one at a time; milliseconds."""
    stage.place(row.server.pid, os.getpid())
    return percentile(row.server.one_by_one(row.params, stage.settings.stdio_calls), 0.5) * 1e3


def load(row: Row, stage: Stage) -> Figures:
    count = stage.settings.stdio_calls
    stage.place(row.server.pid, os.getpid())
    took = row.server.one_by_one(row.params, count)
    before = cpu_seconds(row.server.pid)
    many = count * AT_ONCE_CALLS
    seconds = row.server.in_flight(row.params, many, IN_FLIGHT)
    spent = cpu_seconds(row.server.pid) - before
    return {
        "calls/s": many / seconds,
        "p50 ms": percentile(took, 0.5) * 1e3,
        "p99 ms": percentile(took, 0.99) * 1e3,
        "CPU us/call": spent / many * 1e6,
    }
