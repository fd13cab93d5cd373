"""What the gateway adds to one call at a time over HTTP, for a small result and a large one; and its memory."""

from dataclasses import replace

import calls
from awake import kept_awake
from axes_http import subject
from axes_rounds import interleaved
from axes_stage import TEN_RULES, Settings, Stage, called, guarded_config, http, open_stage
from loading import Figures, Row, median
from processes import ALLOWED, Server, memory_mb

SMALL, AWAKE, LARGE = "100 B", "100 B, cores kept awake", "1 MB"
LARGE_BYTES = 1_000_000
TIMES_PAYLOAD = "x payload"


def measure(settings: Settings) -> dict[str, Figures]:
    """Direct and through the gateway, in turn, over one connection; with JWT and ten rules.

    The gateway has answered small calls when the large ones begin, so that what it grows by is theirs.
    """
    with open_stage(settings) as stage:
        small, large = stage.upstream(), stage.upstream("--payload", str(LARGE_BYTES))
        config = guarded_config(settings, TEN_RULES, small=http(small.url), large=http(large.url))
        through = replace(subject("through", stage, config, "small_echo"), connections=1)
        found = {SMALL: added(stage, small, through)}
        with kept_awake(ALLOWED):
            found[AWAKE] = added(stage, small, through)
        idle = memory_mb(through.server.pid)
        call = called(settings, calls.modern(through.server.url, "large_echo"))
        found[LARGE] = added(stage, large, replace(through, call=call))
        found[LARGE] |= {"idle MB": idle, TIMES_PAYLOAD: (found[LARGE]["peak MB"] - idle) / (LARGE_BYTES / 2**20)}
    return found


def added(stage: Stage, upstream: Server, through: Row) -> Figures:
    direct = Row("direct", upstream, calls.modern(upstream.url, "echo"), "direct", connections=1)
    rounds = interleaved([direct, through], stage)
    alone, found = median(rounds["direct"]), median(rounds["through"])
    return {"direct p50 ms": alone["p50 ms"], **found, "added p50 ms": found["p50 ms"] - alone["p50 ms"]}
