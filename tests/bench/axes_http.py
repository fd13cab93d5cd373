"""One axis after another over HTTP, beside the baseline: era, upstream, auth and policy, payload, connections, size.

The baseline is a modern call of 100 B, over 16 connections, to an HTTP upstream with JSON answers and 20 tools; callers
have a JWT, and there are ten rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import calls
from axes_rounds import interleaved
from axes_sessions import Sessions
from axes_stage import (
    NO_RULES,
    ON_ARGUMENTS,
    TEN_RULES,
    Config,
    Settings,
    Stage,
    called,
    guarded_config,
    http,
    open_config,
    open_stage,
    stdio,
)
from loading import Figures, Row, in_turn, median, ratio
from processes import Server

Group = Callable[[Stage, Row], list[Row]]
Rounds = dict[str, list[Figures]]

BASELINE = "baseline"
OF_FIRST = "CPU of first"
UPSTREAMS = 50


def measure(settings: Settings) -> dict[str, Figures]:
    """All groups; each row says what its call costs of that of its group's first row, measured in the same rounds."""
    found: dict[str, Figures] = {}
    with open_stage(settings) as stage:
        baseline = guarded_config(settings, TEN_RULES, fast=http(stage.upstream().url))
        base = subject(BASELINE, stage, baseline)
        for group in GROUPS:
            rounds = anew(stage, group, base) if group in ANEW else together(stage, group, base)
            first, *_ = rounds.values()
            for name, values in rounds.items():
                found.setdefault(name, {**median(values), OF_FIRST: ratio(values, first, "CPU us/call")})
    return found


def together(stage: Stage, group: Group, base: Row) -> Rounds:
    with stage.part() as part:
        return interleaved(group(part, base), part)


def anew(stage: Stage, group: Group, base: Row) -> Rounds:
    """Each round with processes of its own: how one lies in memory makes a few percent, for as long as it lives."""
    rounds: Rounds = {}
    for _ in range(stage.settings.rounds):
        with stage.part(rounds=1) as part:
            for name, values in interleaved(group(part, base), part).items():
                rounds.setdefault(name, []).extend(values)
    return rounds


def tried(name: str, server: Server, call: calls.Call) -> Row:
    """What is loaded, once it answers right."""
    calls.check(call)
    return Row(name, server, call)


def subject(name: str, stage: Stage, config: Config, tool: str = "fast_echo") -> Row:
    """A gateway of this config and the modern call to it."""
    server = stage.gateway(config)
    return tried(name, server, called(stage.settings, calls.modern(server.url, tool)))


def clients(stage: Stage, base: Row) -> list[Row]:
    """Forms of the call, and how many there are at a time; all of one gateway."""
    server = base.server
    with Sessions(server.url, stage.settings.bearer) as sessions:
        headers = sessions.open()
    plain = called(stage.settings, calls.sessionless(server.url, "fast_echo"))
    return [
        base,
        tried("client: legacy session", server, replace(plain, headers=headers)),
        tried("client: sessionless", server, plain),
        *(replace(base, name=f"connections: {count}", connections=count) for count in (1, 256)),
    ]


def answers(stage: Stage, base: Row) -> list[Row]:
    """What carries the upstream's answers, and how large they are."""
    entries = {
        "upstream: HTTP, SSE": http(stage.upstream("--sse").url),
        "upstream: stdio": stdio(),
        "payload: 10 KB": http(stage.upstream("--payload", "10000").url),
        "payload: 1 MB": http(stage.upstream("--payload", "1000000").url),
    }
    configs = {name: guarded_config(stage.settings, TEN_RULES, fast=entry) for name, entry in entries.items()}
    return [base, *(subject(name, stage, config) for name, config in configs.items())]


def auth_and_policy(stage: Stage, base: Row) -> list[Row]:
    entry = http(stage.upstream().url)
    configs = {
        "auth: none, policy: none": open_config(fast=entry),
        "policy: none": guarded_config(stage.settings, NO_RULES, fast=entry),
        "policy: one on arguments": guarded_config(stage.settings, ON_ARGUMENTS, fast=entry),
    }
    return [base, *(subject(name, stage, config) for name, config in configs.items())]


def catalog(stage: Stage, base: Row) -> list[Row]:
    """The last tool of each catalog; the first row here is the one with ten."""
    rows = []
    for count in (10, 1_000, 10_000):
        entry = http(stage.upstream("--tools", str(count)).url)
        config = guarded_config(stage.settings, TEN_RULES, fast=entry)
        rows.append(subject(f"catalog: {count:,} tools", stage, config, f"fast_tool_{count - 1}"))
    return rows


def upstreams(stage: Stage, base: Row) -> list[Row]:
    """Many entries with one URL, each with connections of its own; the calls go to all of them in turn."""
    url = stage.upstream().url
    rows = []
    for count in (1, UPSTREAMS):
        some = {f"up{number}": http(url) for number in range(count)}
        server = stage.gateway(guarded_config(stage.settings, TEN_RULES, **some))
        for name in some:
            calls.check(called(stage.settings, calls.modern(server.url, f"{name}_echo")))
        call = called(stage.settings, calls.modern(server.url, "up@_echo"))
        rows.append(Row(f"upstreams: {count}", server, call, generator=in_turn(count)))
    return rows


GROUPS: Sequence[Group] = (clients, answers, auth_and_policy, catalog, upstreams)
ANEW = (catalog, upstreams)
