"""Measures one tools/call over HTTP: direct, through the gateway in each wire form, through a proxy on the SDK, peers.

`make bench` runs it. wrk loads one server at a time, all rows in turn in each round; the medians of the rounds count.
Every answer is checked. After that the gateway along its axes (axes.py), and whether its targets hold. The figures go
to .cache/bench: bench.json, a page for the documents in bench.md, a plot in bench.png; and to stdout. A whole run takes
about nine minutes, --quick two and a half. Linux only: costs are read from /proc.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import auth
import axes
import calls
import guarded
import policy
import report
import shown
import telemetry
from loading import CONNECTIONS, HERE, Figures, Row, load, median
from peer_rows import PEERS, ROOT, start_peers, why
from peers.listening import free_port
from processes import ALLOWED, Server, StartError, running

WARM_UP_SECONDS = 1
LIBRARIES = ("mcp", "uvloop", "httptools", "orjson", "uvicorn")
SDK_PROXY, SDK_TUNED = "SDK proxy, 2026-07-28", "SDK proxy, tuned, 2026-07-28"
PLOT_PYTHON = ".cache/bench-tools/bin/python"
PLOT_SECONDS = 120.0
CONFIG = """\
mcpServers: {{fast: {{url: "{upstream}"}}}}
"""

Launch = Callable[..., Server]


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs: the upstream, the rows over it, and of the peers that do not run why not."""

    upstream: Server
    rows: list[Row]
    missing: dict[str, str] = field(default_factory=dict)
    admin: str = ""
    """Where the row that counts shows its metrics; empty without the gateway."""


def main() -> int:
    options = parse_options()
    if shutil.which("wrk") is None:
        print("wrk is missing: run scripts/system-packages.sh", file=sys.stderr)
        return 2
    try:
        with ExitStack() as stack:
            stage = start(stack, options)
            facts = machine(LIBRARIES if options.no_gateway else ("onegate", *LIBRARIES))
            rounds = measure(stage, options)
            check_counts(stage, rounds, options.seconds)
    except (StartError, calls.WrongAnswerError) as error:
        print(error, file=sys.stderr)
        return 1
    sections = along_axes(options)
    inside = {} if options.no_gateway else {**policy.figures(), **auth.figures(), **telemetry.figures()}
    tell(report_of(stage, rounds, options) | {"machine": facts, "axes": sections, "inside": inside}, options)
    return 0 if all(sections.values()) else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="length of one load")
    parser.add_argument("--tools", type=int, default=20, help="tools of the upstream")
    parser.add_argument("--quick", action="store_true", help="one round of one second each: does it work?")
    parser.add_argument("--no-gateway", action="store_true", help="without the gateway's rows and axes")
    parser.add_argument("--no-axes", action="store_true", help="the main table alone")
    parser.add_argument("--no-peers", action="store_true", help="without what others have made, but for the SDK")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="leave the cores to the scheduler")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache/bench/bench.json", help="and .md beside it")
    parser.add_argument("--plot", type=Path, help="a PNG; by default beside the output")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    options.pin = options.pin and len(ALLOWED) > 1
    options.plot = options.plot or options.output.with_suffix(".png")
    return options


def start(stack: ExitStack, options: argparse.Namespace) -> Stage:
    """Starts the servers until the stack closes, and tries each row's call once."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def launch(name: str, *command: str | Path) -> Server:
        return stack.enter_context(running(name, [str(part) for part in command], scratch / f"{name}.log"))

    upstream = launch("upstream", sys.executable, HERE / "fast_upstream.py", "--tools", str(options.tools))
    rows = [Row("direct", upstream, calls.modern(upstream.url, "echo"), "direct")]
    admin = "" if options.no_gateway else f"127.0.0.1:{free_port()}"
    if admin:
        rows += gateway_rows(launch, upstream.url, scratch, admin)
    for name, flags in ((SDK_PROXY, ()), (SDK_TUNED, ("--tuned",))):
        proxy = launch(name, sys.executable, HERE / "sdk_proxy.py", upstream.url, *flags)
        rows.append(Row(name, proxy, calls.modern(proxy.url, "echo"), "proxy"))
    for row in rows:
        calls.check(row.call)
    if options.no_peers:
        return Stage(upstream, rows, admin=admin)
    peers = start_peers(stack, upstream.url, scratch)
    return Stage(upstream, rows + peers.rows, peers.missing, admin)


def gateway_rows(launch: Launch, upstream: str, scratch: Path, admin: str) -> list[Row]:
    """The gateway open to all in each wire form, and guarded by a token and rules."""
    command = Path(sys.executable).with_name("onegate")
    if not command.exists():
        raise StartError(f"{command} is missing: run make install")
    secret = guarded.new_secret()
    configs = {"gateway": CONFIG.format(upstream=upstream)}
    sink = launch("otlp-sink", sys.executable, HERE / "otlp_sink.py")
    configs |= guarded.configs(upstream, secret, scratch, {"traces": sink.url, "admin": admin})
    servers: dict[str, Server] = {}
    for number, (name, text) in enumerate(configs.items()):
        config = scratch / f"{number}.yaml"
        config.write_text(text)
        program = (sys.executable, HERE / "uncounted.py") if name == guarded.UNCOUNTED else (command,)
        servers[name] = launch(f"gateway-{number}", *program, "serve", "-c", config, "--port", "0")
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
        rows.append(Row(name, server, replace(call, headers={**call.headers, **bearer})))
    return rows


def measure(stage: Stage, options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Loads the rows in turn, round by round, so that a disturbance of the machine hits all alike.

    A peer that answers wrong is left out from then on, and said to be missing; of the other rows none may.
    """
    rounds: dict[str, list[Figures]] = {row.name: [] for row in stage.rows}
    for number in range(options.rounds + 1):
        for row in stage.rows:
            if row.name in stage.missing:
                continue
            try:
                figures = load(row, [stage.upstream], options.seconds if number else WARM_UP_SECONDS, options.pin)
            except (calls.WrongAnswerError, OSError, subprocess.SubprocessError) as error:
                if row.name in (SDK_PROXY, SDK_TUNED) or row.kind != "proxy":
                    raise
                stage.missing[row.name] = why(error)
                continue
            if number:
                rounds[row.name].append(figures)
    for row in stage.rows:
        if row.name not in stage.missing:
            calls.check(row.call)
    return {name: values for name, values in rounds.items() if name not in stage.missing}


def check_counts(stage: Stage, rounds: Mapping[str, Sequence[Figures]], seconds: int) -> None:
    """Raises unless the row that counts for the comparison has really counted what it answered."""
    if not stage.admin:
        return
    made = sum(figures["calls/s"] for figures in rounds[guarded.SUBJECT]) * seconds
    if guarded.counted(stage.admin) < made:  # those of the warm-up are more than a load lasts too long
        raise calls.WrongAnswerError(f"{guarded.SUBJECT}: its metrics do not hold the {made:,.0f} calls that were made")


def along_axes(options: argparse.Namespace) -> dict[str, dict[str, Figures]]:
    """Sections -> rows -> figures, with one thing changed at a time: transports, payloads, catalogs, sessions."""
    return {} if options.no_axes or options.no_gateway else axes.measure(options)


def machine(libraries: Sequence[str]) -> dict[str, object]:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split("[")[0].strip()
    return {
        "cpu": model.partition(":")[2].strip() or platform.machine(),
        "cores": len(ALLOWED),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "wrk": wrk,
        "libraries": {name: version(name) for name in libraries},
    }


def report_of(stage: Stage, rounds: Mapping[str, Sequence[Figures]], options: argparse.Namespace) -> dict[str, Any]:
    """What was measured over HTTP, and how; `report` says what each key holds."""
    measured = [row for row in stage.rows if row.name in rounds]
    return {
        "settings": {"connections": CONNECTIONS, "rounds": options.rounds, "seconds": options.seconds}
        | {"pinned": options.pin, "tools": options.tools, "quick": options.quick, "axes": axes.facts(options)},
        "rows": {row.name: {**median(rounds[row.name]), "kind": row.kind} for row in measured},
        "subject": guarded.SUBJECT,
        "sdk": SDK_PROXY,
        "peers": {peer.row: peer.facts() for peer in PEERS},
        "not_measured": stage.missing,
        "rounds": rounds,
    }


def tell(told: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Writes the report in its three forms, and shows it."""
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(told, indent=2) + "\n")
    options.output.with_suffix(".md").write_text(report.markdown(told))
    for section in ("machine", "settings"):
        print(f"{section}: {json.dumps(told[section])}")
    if options.pin:
        print("pinned: the process under test has one core, wrk and the upstream share another")
    print(f"\n{report.text(told)}")
    axes.show(told["axes"], report.judged_sections(told))
    if told["inside"]:
        print("\nwithin one process, nothing sent:")
        shown.show(told["inside"])
    plot(options.output, options.plot)


def plot(source: Path, target: Path) -> None:
    """Draws the report in an environment of its own; a figure is not lost because it cannot be drawn."""
    python = ROOT / PLOT_PYTHON
    if not python.exists():
        print("\nno plot: make .cache/bench-tools/.installed")
        return
    command = [str(python), str(HERE / "plot.py"), str(source), str(target)]
    drawn = subprocess.run(command, check=False, timeout=PLOT_SECONDS)
    print(f"\n{target}" if drawn.returncode == 0 else "\nno plot: the drawing failed")


if __name__ == "__main__":
    sys.exit(main())
