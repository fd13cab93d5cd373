"""The commands as a user runs them: processes, pipes, terminals, signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.fixtures.gateways import raw_entry
from tests.fixtures.processes import running

ROOT = Path(__file__).resolve().parents[2]
ONEGATE = [sys.executable, "-m", "gateway.cli"]
SECONDS = 30.0  # for a whole command, with servers that start, on a loaded machine
LISTENS = r"^onegate listens on (?P<url>http://127\.0\.0\.1:\d+\S*)$"
SAMPLES = {
    name: {"command": sys.executable, "args": ["-m", f"gateway.samples.{name}"]} for name in ("weather", "notes")
}
NOTES = {"notes": SAMPLES["notes"]}
QUICK = {"weather": raw_entry(script="forecast_server.py"), "other": raw_entry()}  # most commands are not about them
BROKEN = {"command": sys.executable, "args": ["-c", "import sys; sys.exit('no licence \\x1b[31mfound')"]}
FORECAST = {"name": "weather_forecast", "arguments": {"city": "Bern"}}
HEAVY = {"rich", "uvicorn", "starlette", "aiohttp", "mcp", "opentelemetry", "jsonschema_rs", "jwt", "cryptography"}

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and terminals")


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write an `onegate.yaml` (JSON is YAML) with servers that are quick to start, or others, and return its path."""

    def write(servers: dict[str, Any] = QUICK, **keys: Any) -> Path:
        servers = {name: {"cwd": str(ROOT), **entry} for name, entry in servers.items()}
        path = tmp_path / "onegate.yaml"
        path.write_text(json.dumps({"mcpServers": servers, **keys}), encoding="utf-8")
        return path

    return write


def onegate(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    argv = [*ONEGATE, *map(str, args)]
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, cwd=ROOT
    )


def rpc(url: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=SECONDS) as answer:
        result: dict[str, Any] = json.load(answer)["result"]
        return result


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def ended(process: subprocess.Popen[str], with_signal: signal.Signals) -> int:
    process.send_signal(with_signal)
    return process.wait(SECONDS)


# serve


@posix
def test_serve_prints_one_line_serves_and_ends_at_a_signal(config: Callable[..., Path]) -> None:
    with running([*ONEGATE, "serve", "-c", config(), "--port", "0"], LISTENS, cwd=ROOT) as server:
        result = rpc(server.match["url"], "tools/call", FORECAST)
        assert result["structuredContent"]["city"] == "Bern"
        assert ended(server.process, signal.SIGTERM) == 0
        assert server.stdout_lines == [server.match[0].strip() + "\n"]
        assert server.match["url"].endswith("/mcp")
        assert "Traceback" not in server.stderr_text()


def test_serve_without_a_door_to_everything_names_the_first_door(config: Callable[..., Path]) -> None:
    file = config(server={"path": None})
    with running([*ONEGATE, "serve", "-c", file, "--port", "0"], LISTENS, cwd=ROOT) as server:
        assert server.match["url"].endswith("/mcp/weather")
        assert rpc(server.match["url"], "tools/call", {**FORECAST, "name": "forecast"})["structuredContent"]


def test_serve_on_a_taken_port_says_how_to_choose_another(config: Callable[..., Path]) -> None:
    with taken_port() as port:
        result = onegate("serve", "-c", config(), "--port", str(port))
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"onegate cannot listen on 127.0.0.1:{port}")
    assert "--port" in line
    assert "server.port" in line


def test_serve_refuses_to_be_open_to_other_machines(config: Callable[..., Path]) -> None:
    result = onegate("serve", "-c", config(), "--host", "0.0.0.0", "--port", "0")
    assert result.returncode == 1
    assert "lets other machines in" in result.stderr


def test_serve_logs_what_the_config_leaves_out(config: Callable[..., Path]) -> None:
    file = config({**QUICK, "self": {"command": "onegate"}, "cut": {"command": "x", "args": ["${ONEGATE_UNSET}"]}})
    with running([*ONEGATE, "serve", "-c", file, "--port", "0"], LISTENS, cwd=ROOT) as server:
        rpc(server.match["url"], "tools/list", {})
    events = [json.loads(line) for line in server.stderr_text().splitlines()]
    assert [event["level"] for event in events if "starts onegate itself" in event["message"]] == ["warning"]
    (disabled,) = [event for event in events if event["level"] == "error"]
    assert disabled["upstream"] == "cut"
    assert "ONEGATE_UNSET" in disabled["message"]


@pytest.mark.parametrize("command", ["serve", "stdio"])
def test_a_config_that_leaves_no_door_says_so(command: str, config: Callable[..., Path]) -> None:
    file = config({"cut": {"command": "x", "args": ["${ONEGATE_UNSET}"]}}, server={"path": None})
    result = onegate(command, "-c", file)
    assert (result.returncode, result.stdout) == (1, "")
    assert "server.path: is null, and no other door is left" in result.stderr
    assert "internal error" not in result.stderr


# stdio


def stdio_answers(argv: Sequence[str | Path], *, until: int) -> tuple[list[dict[str, Any]], subprocess.Popen[str]]:
    """Talk to `onegate stdio` until the answer with this id; returns all messages and the process, its stdin closed."""
    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    requests = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": FORECAST},
    ]
    process = subprocess.Popen(
        [*map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    limit = threading.Timer(SECONDS, process.kill)
    limit.start()
    assert process.stdin is not None
    assert process.stdout is not None
    messages: list[dict[str, Any]] = []
    try:
        process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        process.stdin.flush()
        while not messages or messages[-1].get("id") != until:
            messages.append(json.loads(process.stdout.readline()))
        rest, _ = process.communicate(timeout=SECONDS)
        messages += [json.loads(line) for line in rest.splitlines()]
    finally:
        limit.cancel()
        process.kill()
        process.communicate()
    return messages, process


def test_stdio_answers_on_stdout_and_ends_with_its_stdin(config: Callable[..., Path]) -> None:
    messages, process = stdio_answers([*ONEGATE, "stdio", "-c", config()], until=2)
    assert process.returncode == 0
    assert all(message["jsonrpc"] == "2.0" for message in messages)
    assert messages[-1]["result"]["structuredContent"]["city"] == "Bern"


def test_whatever_is_printed_under_stdio_goes_to_stderr() -> None:
    program = (
        "import os, sys; from gateway.cli_stdio import ProtocolStdout, take_stdout; "
        "sys.stdout = ProtocolStdout(take_stdout()); "
        "print('stray'); os.write(1, b'deep\\n'); os.system('echo child'); "
        "sys.stdout.buffer.write(b'protocol\\n'); sys.stdout.buffer.flush()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    assert result.stdout == "protocol\n"
    assert sorted(result.stderr.split()) == ["child", "deep", "stray"]


@posix
def test_stdio_takes_files_and_devices_for_pipes(config: Callable[..., Path], tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        argv = [*ONEGATE, "stdio", "-c", str(config())]
        process = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, timeout=SECONDS, cwd=ROOT
        )
    assert process.returncode == 0, process.stderr


def test_stdio_loads_nothing_that_it_does_not_need(config: Callable[..., Path]) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "gateway.cli", "stdio", "-c", str(config())]
    result = subprocess.run(argv, input="", capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    loaded = {line.split("|")[-1].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert "gateway.transports.stdio" in loaded
    assert not HEAVY & loaded


# check


def test_check_connects_and_shows_a_table(config: Callable[..., Path]) -> None:
    result = onegate("check", "--connect", "-c", config(SAMPLES))
    assert result.returncode == 0, result.stderr
    header, *rows, ok = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == ["server", "state", "protocol", "tools", "prompts", "resources", "seconds", "error"]
    assert [(row[0], row[1], *row[3:6]) for row in rows] == [
        ("weather", "ready", "3", "0", "0"),
        ("notes", "ready", "6", "1", "3"),
    ]
    assert all(float(row[6]) > 0 for row in rows)
    assert ok[0].startswith("OK: 2 servers (weather, notes)")


def test_check_shows_why_a_server_did_not_start(config: Callable[..., Path]) -> None:
    result = onegate("check", "--connect", "-c", config({**QUICK, "broken": BROKEN}))
    assert result.returncode == 1
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    (row,) = [row for row in rows if row[0] == "broken" and len(row) > 1]
    assert row[1] != "ready"
    assert row[-1]
    assert "last lines of broken on stderr:\n  no licence \\x1b[31mfound\n" in result.stdout
    assert "Traceback" not in result.stderr


# tools


def test_tools_are_plain_lines_in_a_pipe(config: Callable[..., Path]) -> None:
    result = onegate("-c", config(SAMPLES), "tools")
    assert result.returncode == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["weather_forecast", "weather", "The forecast for one city, from today on."]
    assert len(lines) == 9
    assert result.stderr == ""


def test_tools_are_json_on_request_and_missing_servers_are_named(config: Callable[..., Path]) -> None:
    result = onegate("tools", "--json", "-c", config({"broken": BROKEN, "weather": QUICK["weather"]}))
    tools = json.loads(result.stdout)
    assert result.returncode == 0
    assert [tool["name"] for tool in tools] == ["weather_forecast", "weather_compare", "weather_icon"]
    assert all("inputSchema" in tool for tool in tools)
    (line,) = result.stderr.splitlines()
    assert line.startswith("onegate: broken did not start: ")


def test_tools_fail_when_no_server_starts(config: Callable[..., Path]) -> None:
    result = onegate("tools", "-c", config({"broken": BROKEN}))
    assert (result.returncode, result.stdout) == (1, "")


def test_tools_without_a_door_to_everything_are_those_of_all_doors(config: Callable[..., Path]) -> None:
    result = onegate("tools", "-c", config(server={"path": None}))
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} >= {"forecast", "echo"}


@posix
def test_a_reader_that_stops_early_is_no_error(config: Callable[..., Path]) -> None:
    process = subprocess.Popen(
        [*ONEGATE, "tools", "-c", str(config())], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    limit = threading.Timer(SECONDS, process.kill)
    limit.start()
    err = process.stderr.read()
    limit.cancel()
    assert (process.wait(SECONDS), err) == (141, "")
    process.stderr.close()


@posix
def test_streams_that_are_closed_from_the_start_are_no_fault(config: Callable[..., Path]) -> None:
    argv = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *ONEGATE, "call", "weather_forecast", '{"city": "Bern"}']
    assert subprocess.run([*argv, "-c", str(config())], timeout=SECONDS, cwd=ROOT).returncode == 0


# call


def test_call_prints_the_result(config: Callable[..., Path]) -> None:
    result = onegate("call", "weather_forecast", '{"city": "Bern", "days": 1}', "-c", config())
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["city"] == "Bern"


def test_call_takes_its_arguments_from_stdin_and_gives_the_whole_result(config: Callable[..., Path]) -> None:
    result = onegate("call", "weather_forecast", "-", "--json", "-c", config(), stdin='{"city": "Bern"}')
    assert json.loads(result.stdout)["structuredContent"]["city"] == "Bern"


def test_call_of_a_single_server_door_works_without_a_door_to_everything(config: Callable[..., Path]) -> None:
    result = onegate("call", "forecast", '{"city": "Bern"}', "-c", config(server={"path": None}))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["weather_forcast"], "Unknown tool: weather_forcast\ndid you mean weather_forecast"),
        (["weather_forecast"], "Invalid params: missing required field 'city'"),
        (["weather_forecast", '{"city": 1}'], "Invalid params: "),
    ],
)
def test_call_says_what_is_wrong(argv: list[str], said: str, config: Callable[..., Path]) -> None:
    result = onegate("call", *argv, "-c", config())
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) <= 3


def test_call_fails_when_the_tool_does(config: Callable[..., Path]) -> None:
    result = onegate("call", "notes_delete_note", '{"id": 99}', "-c", config(NOTES))
    assert result.returncode == 1
    assert "No note has the id 99" in result.stdout


def test_call_that_needs_a_person_fails_where_there_is_none(config: Callable[..., Path]) -> None:
    assert onegate("call", "notes_delete_all", "-c", config(NOTES)).returncode == 1


# demo


@posix
def test_the_demo_serves_its_own_example_and_ends_at_ctrl_c() -> None:
    with running([*ONEGATE, "demo", "--port", "0"], LISTENS, cwd=ROOT) as server:
        assert rpc(server.match["url"], "tools/call", FORECAST)["structuredContent"]["city"] == "Bern"
        assert ended(server.process, signal.SIGINT) == 0
        assert server.match["url"] in "".join(server.stdout_lines[1:])
        assert "Traceback" not in server.stderr_text()


def test_the_demo_keeps_to_a_port_that_was_asked_for() -> None:
    with taken_port() as port:
        result = onegate("demo", "--port", str(port))
    assert result.returncode == 1
    assert f"onegate cannot listen on 127.0.0.1:{port}" in result.stderr


# on a terminal


class Terminal:
    """A command on a terminal of its own; what it shows is read until a text appears, within a bound."""

    def __init__(self, *args: str | Path) -> None:
        self._master, slave = os.openpty()
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [*ONEGATE, *map(str, args)], stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment
        )
        os.close(slave)
        self.shown = ""
        self._limit = threading.Timer(SECONDS, self.process.kill)  # ends every read, too
        self._limit.start()

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            chunk = self._read()
            assert chunk, f"{text!r} did not appear in:\n{self.shown}"
            self.shown += chunk

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        while chunk := self._read():
            self.shown += chunk
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self._limit.cancel()
        self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._master)

    def _read(self) -> str:
        try:
            return os.read(self._master, 65536).decode("utf-8", "replace")
        except OSError:  # Linux says so when the other end is closed
            return ""


@pytest.fixture
def terminal(config: Callable[..., Path]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def on_terminal(*args: str, servers: dict[str, Any] = NOTES) -> Terminal:
        opened.append(Terminal(*args, "-c", config(servers)))
        return opened[-1]

    yield on_terminal
    for each in opened:
        each.close()


@posix
@pytest.mark.parametrize(("typed", "deleted"), [("y\n", 3), ("n\n", 0), ("\x04", 0)])
def test_a_tool_asks_the_person_at_the_terminal(typed: str, deleted: int, terminal: Callable[..., Terminal]) -> None:
    seen = terminal("call", "notes_delete_all")
    seen.read_until("[y/n]: ")
    assert "Delete all 3 notes?" in seen.shown
    seen.type(typed)
    assert seen.end() == 0
    assert f'"deleted": {deleted}' in seen.shown


@posix
def test_ctrl_c_during_a_question_ends_the_call(terminal: Callable[..., Terminal]) -> None:
    seen = terminal("call", "notes_delete_all")
    seen.read_until("[y/n]: ")
    seen.process.send_signal(signal.SIGINT)
    assert seen.end() == 130
    assert "Traceback" not in seen.shown
    assert "Fatal" not in seen.shown


@posix
def test_progress_is_shown_at_the_terminal(terminal: Callable[..., Terminal]) -> None:
    seen = terminal("call", "notes_import_notes", '{"texts": ["a", "b"]}')
    assert seen.end() == 0
    assert "  1/2 note 4" in seen.shown
    assert "  info: imported 2 notes" in seen.shown


@posix
def test_tools_are_a_table_on_a_terminal(terminal: Callable[..., Terminal]) -> None:
    seen = terminal("tools", servers=QUICK)
    assert seen.end() == 0
    assert "\t" not in seen.shown
    (row,) = [line for line in seen.shown.splitlines() if line.startswith("weather_forecast")]
    assert row.rstrip().split(None, 2)[1:] == ["weather", "The forecast for one city, from today on."]
    assert "\x1b[1m" not in seen.shown
