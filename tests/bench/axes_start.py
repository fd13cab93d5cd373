"""How long the gateway takes to start, with an upstream: `serve` until it listens, `stdio` until it answers."""

import statistics
import subprocess
import sys
import time

from axes_stage import ONEGATE, TEN_RULES, Config, Settings, Stage, guarded_config, http, open_config, open_stage, stdio
from loading import Figures
from stdio_load import client

SERVE, STDIO = "serve: listens", "stdio: initialize answered"


def measure(settings: Settings) -> dict[str, Figures]:
    """Each in turn, some times over; nothing is kept on a core. The interpreter alone is the least that there is."""
    with open_stage(settings) as stage:
        entry = http(stage.upstream().url)
        plain, guarded = open_config(fast=entry), guarded_config(settings, TEN_RULES, fast=entry)
        starts = {
            "python, doing nothing": python,
            SERVE: lambda: serve(stage, plain),
            f"{SERVE}, JWT + 10 rules": lambda: serve(stage, guarded),
            STDIO: lambda: initialize(stage, plain),
            f"{STDIO}, 10 rules": lambda: initialize(stage, guarded),
            f"{STDIO}, stdio upstream": lambda: initialize(stage, open_config(fast=stdio())),
        }
        rounds: dict[str, list[float]] = {name: [] for name in starts}
        for _ in range(settings.starts):
            for name, start in starts.items():
                rounds[name].append(start() * 1e3)
    return {name: {"ms": statistics.median(values), "best ms": min(values)} for name, values in rounds.items()}


def python() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=30)
    return time.perf_counter() - start


def serve(stage: Stage, config: Config) -> float:
    """Seconds until it says where it listens."""
    with stage.part() as part:
        start = time.perf_counter()
        part.gateway(config)
        return time.perf_counter() - start


def initialize(stage: Stage, config: Config) -> float:
    """Seconds until a client's first request is answered."""
    command = [str(ONEGATE), "stdio", "-c", str(stage.file(config))]
    start = time.perf_counter()
    with client(command, stage.log()) as server:
        server.initialize()
        return time.perf_counter() - start
