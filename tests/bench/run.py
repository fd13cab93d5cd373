"""Measures one tools/call over HTTP: direct, through the gateway in each wire form, through a proxy on the SDK.

`make bench` runs it. wrk loads one server at a time, all rows in turn in each round; the medians of the rounds count.
Every answer is checked. The figures go to .cache/bench/bench.json and to stdout. Linux only: costs are read from /proc.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import auth
import calls
import guarded
import policy
import shown
import telemetry
from processes import Server, StartError, cpu_seconds, forget_peak_memory, peak_memory_mb, pin, running

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONNECTIONS = 16
WARM_UP_SECONDS = 1
LIBRARIES = ("mcp", "uvloop", "httptools", "orjson", "uvicorn")
CONFIG = """\
mcpServers: {{fast: {{url: "{upstream}"}}}}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the process under test and the call it gets."""

    name: str
    server: Server
    call: calls.Call


@dataclass(frozen=True, slots=True)
class Figures:
    """What one row measured; times in milliseconds, memory in MB."""

    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_call: float
    peak_mb: float


def main() -> int:
    options = parse_options()
    if shutil.which("wrk") is None:
        print("wrk is missing: run scripts/system-packages.sh", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        try:
            upstream, rows = start(stack, options)
            facts = machine(LIBRARIES if options.no_gateway else ("onegate", *LIBRARIES))
            rounds = measure(rows, upstream, options)
        except (StartError, calls.WrongAnswerError) as error:
            print(error, file=sys.stderr)
            return 1
    figures = {name: median(values) for name, values in rounds.items()}
    inside = {} if options.no_gateway else {**policy.figures(), **auth.figures(), **telemetry.figures()}
    report = {
        "machine": facts,
        "settings": {"connections": CONNECTIONS, "rounds": options.rounds, "seconds": options.seconds}
        | {"pinned": options.pin, "tools": options.tools},
        "rows": {name: asdict(value) for name, value in figures.items()},
        "inside": inside,
        "rounds": {name: [asdict(value) for value in values] for name, values in rounds.items()},
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    print_table(report, figures)
    if inside:
        print("\nwithin one process, nothing sent:")
        shown.show(inside)
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of one load")
    parser.add_argument("--tools", type=int, default=20, help="tools of the upstream")
    parser.add_argument("--quick", action="store_true", help="one round of one second: does it work?")
    parser.add_argument("--no-gateway", action="store_true", help="only the direct call and the SDK proxy")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="leave the cores to the scheduler")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache/bench/bench.json")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    options.pin = options.pin and len(os.sched_getaffinity(0)) > 1
    return options


def start(stack: ExitStack, options: argparse.Namespace) -> tuple[Server, list[Row]]:
    """Starts the servers until the stack closes, and tries each row's call once."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def launch(name: str, *command: str | Path) -> Server:
        return stack.enter_context(running(name, [str(part) for part in command], scratch / f"{name}.log"))

    upstream = launch("upstream", sys.executable, HERE / "fast_upstream.py", "--tools", str(options.tools))
    rows = [Row("direct", upstream, calls.modern(upstream.url, "echo"))]
    if not options.no_gateway:
        rows += gateway_rows(launch, upstream.url, scratch)
    proxy = launch("sdk-proxy", sys.executable, HERE / "sdk_proxy.py", upstream.url)
    rows.append(Row("SDK proxy, 2026-07-28", proxy, calls.modern(proxy.url, "echo")))
    for row in rows:
        calls.check(row.call)
    return upstream, rows


def gateway_rows(launch: Callable[..., Server], upstream: str, scratch: Path) -> list[Row]:
    """The gateway open to all in each wire form, and guarded by a token and rules."""
    command = Path(sys.executable).with_name("onegate")
    if not command.exists():
        raise StartError(f"{command} is missing: run make install")
    secret = guarded.new_secret()
    configs = {"gateway": CONFIG.format(upstream=upstream)}
    sink = launch("otlp-sink", sys.executable, HERE / "otlp_sink.py")
    configs |= guarded.configs(upstream, secret, scratch, sink.url)
    servers: dict[str, Server] = {}
    for number, (name, text) in enumerate(configs.items()):
        config = scratch / f"{number}.yaml"
        config.write_text(text)
        servers[name] = launch(f"gateway-{number}", command, "serve", "-c", config, "--port", "0")
    gateway = servers.pop("gateway")
    calls.check(calls.sessionless(gateway.url, "fast_echo"))
    forms: dict[str, Callable[[str, str], calls.Call]] = {
        "onegate, sessionless": calls.sessionless,
        "onegate, 2026-07-28": calls.modern,
        "onegate, 2025-11-25 session": calls.legacy,
        "onegate, tool API": calls.tool_api,
    }
    rows = [Row(name, gateway, form(gateway.url, "fast_echo")) for name, form in forms.items()]
    bearer = {"Authorization": f"Bearer {guarded.token(secret)}"}
    for name, server in servers.items():
        call = calls.modern(server.url, "fast_echo")
        rows.append(Row(f"  {name}", server, replace(call, headers={**call.headers, **bearer})))
    return rows


def measure(rows: list[Row], upstream: Server, options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Loads the rows in turn, round by round, so that a disturbance of the machine hits all alike."""
    for row in rows:
        load(row, upstream, WARM_UP_SECONDS, options.pin)
    rounds: dict[str, list[Figures]] = {row.name: [] for row in rows}
    for _ in range(options.rounds):
        for row in rows:
            rounds[row.name].append(load(row, upstream, options.seconds, options.pin))
    for row in rows:
        calls.check(row.call)
    return rounds


def load(row: Row, upstream: Server, seconds: int, pinned: bool) -> Figures:
    """One run of wrk against one row; raises when any answer was wrong."""
    headers = [part for header in row.call.headers.items() for part in header]
    script = ["-s", str(HERE / "call.lua"), row.call.url, "--", row.call.body, calls.TEXT, *headers]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *script]
    if pinned:
        first, second, *_ = sorted(os.sched_getaffinity(0))
        pin(upstream.pid, {second})
        pin(row.server.pid, {first})
        command = ["taskset", "-c", str(second), *command]
    forget_peak_memory(row.server.pid)
    before = cpu_seconds(row.server.pid)
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    spent = cpu_seconds(row.server.pid) - before
    result = json.loads(output.rpartition("RESULT ")[2])
    if result["wrong"] or result["failed"] or not result["calls"]:
        raise calls.WrongAnswerError(f"{row.name}: wrong or failed answers under load: {result}")
    return Figures(
        calls_per_second=result["calls"] / result["microseconds"] * 1e6,
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        cpu_ms_per_call=spent / result["calls"] * 1000,
        peak_mb=peak_memory_mb(row.server.pid),
    )


def median(values: list[Figures]) -> Figures:
    columns = zip(*(asdict(value).values() for value in values), strict=True)
    return Figures(*(statistics.median(column) for column in columns))


def machine(libraries: Sequence[str]) -> dict[str, object]:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split("[")[0].strip()
    return {
        "cpu": model.partition(":")[2].strip() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "wrk": wrk,
        "libraries": {name: version(name) for name in libraries},
    }


def print_table(report: dict[str, object], figures: dict[str, Figures]) -> None:
    for section in ("machine", "settings"):
        print(f"{section}: {json.dumps(report[section])}")
    if report["settings"]["pinned"]:  # type: ignore[index]
        print("pinned: the process under test has one core, wrk and the upstream share another")
    names = list(figures)
    direct, sdk = figures[names[0]], figures[names[-1]]
    header = ("calls/s", "p50 ms", "p99 ms", "CPU ms/call", "peak MB", "x SDK proxy", "of direct")
    print(f"\n{'':28}" + "".join(f"{title:>12}" for title in header))
    for name, row in figures.items():
        ratios = (row.calls_per_second / sdk.calls_per_second, row.calls_per_second / direct.calls_per_second)
        print(
            f"{name:28}{row.calls_per_second:>12,.0f}{row.p50_ms:>12.2f}{row.p99_ms:>12.2f}{row.cpu_ms_per_call:>12.3f}"
            f"{row.peak_mb:>12.0f}{ratios[0]:>12.1f}{ratios[1]:>12.0%}"
        )


if __name__ == "__main__":
    sys.exit(main())
