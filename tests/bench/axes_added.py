"""What the gateway adds to one call at a time over HTTP, for a small result and a large one; and its memory."""

from collections.abc import Sequence
from dataclasses import replace

import calls
from axes_http import subject
from axes_load import Figures, Subject, interleaved, load, median, memory_mb
from axes_stage import TEN_RULES, Settings, Stage, called, guarded_config, http, open_stage

SMALL, LARGE = "100 B", "1 MB"
LARGE_BYTES = 1_000_000
TIMES_PAYLOAD = "x payload"
SIZES: dict[str, Sequence[str]] = {SMALL: (), LARGE: ("--payload", str(LARGE_BYTES))}


def measure(settings: Settings) -> dict[str, Figures]:
    """Direct and through the gateway, in turn, over one connection; with JWT and ten rules."""
    found: dict[str, Figures] = {}
    with open_stage(settings) as stage:
        for name, options in SIZES.items():
            with stage.part() as part:
                found[name] = added(part, options)
        with stage.part() as part:
            found[LARGE] |= memory(part)
    return found


def added(stage: Stage, options: Sequence[str]) -> Figures:
    upstream = stage.upstream(*options)
    config = guarded_config(stage.settings, TEN_RULES, fast=http(upstream.url))
    through = replace(subject("through", stage, config), connections=1)
    direct = Subject("direct", upstream, calls.modern(upstream.url, "echo"), connections=1)
    rounds = interleaved([direct, through], stage)
    alone, found = median(rounds["direct"]), median(rounds["through"])
    del found["peak MB"]  # of a gateway that is not warm yet
    return {"direct p50 ms": alone["p50 ms"], **found, "added p50 ms": found["p50 ms"] - alone["p50 ms"]}


def memory(stage: Stage) -> Figures:
    """How much a gateway grows at most by large results, one at a time, after it has answered small ones."""
    large, small = stage.upstream(*SIZES[LARGE]), stage.upstream()
    config = guarded_config(stage.settings, TEN_RULES, large=http(large.url), small=http(small.url))
    warm = replace(subject("small", stage, config, "small_echo"), connections=1)
    load(warm, stage, stage.settings.seconds)
    idle = memory_mb(warm.server.pid)
    call = called(stage.settings, calls.modern(warm.server.url, "large_echo"))
    peak = load(replace(warm, name=LARGE, call=call), stage, stage.settings.seconds)["peak MB"]
    return {"idle MB": idle, "peak MB": peak, TIMES_PAYLOAD: (peak - idle) / (LARGE_BYTES / 2**20)}
