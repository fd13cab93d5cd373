"""What the gateway has in memory when nothing happens: empty, and with legacy sessions that nobody uses."""

import calls
from axes_sessions import Sessions
from axes_stage import TEN_RULES, Config, Settings, Stage, called, guarded_config, http, open_config, open_stage
from loading import Figures
from processes import memory_mb

EMPTY, IDLE, LISTENING = "empty", "idle sessions", "idle sessions, each with its stream"
OVER_EMPTY = "over empty MB"


def measure(settings: Settings) -> dict[str, Figures]:
    """Each state in a process of its own, which knows its upstream and has answered one call."""
    with open_stage(settings) as stage:
        entry = http(stage.upstream().url)
        plain, guarded = open_config(fast=entry), guarded_config(settings, TEN_RULES, fast=entry)
        empty, _ = state(stage, plain, 0, 0)
        before, idle = state(stage, guarded, settings.sessions, 0)
        listening = state(stage, guarded, settings.sessions, settings.sessions)
        return {
            EMPTY: {"MB": empty},
            f"{EMPTY}, JWT + 10 rules": {"MB": before},
            IDLE: figures(before, idle, settings.sessions),
            LISTENING: figures(*listening, settings.sessions),
        }


def state(stage: Stage, config: Config, sessions: int, streams: int) -> tuple[float, float]:
    """The megabytes before and after these sessions are opened, of which some listen."""
    with stage.part() as part:
        server = part.gateway(config)
        calls.check(called(stage.settings, calls.modern(server.url, "fast_echo")))
        with Sessions(server.url, stage.settings.bearer) as opened:
            opened.open()  # what the first one loads is not the sessions'
            before = memory_mb(server.pid)
            headers = [opened.open() for _ in range(sessions)]
            for one in headers[:streams]:
                opened.listen(one)
            return before, memory_mb(server.pid)


def figures(before: float, after: float, sessions: int) -> Figures:
    """Over the empty gateway, as if there were a thousand."""
    return {
        "MB": after,
        OVER_EMPTY: (after - before) * 1000 / sessions,
        "KB/session": (after - before) * 1024 / sessions,
    }
