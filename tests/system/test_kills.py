"""Processes that end: a server's, the gateway's, with and without asking. Figures are printed (pytest -s)."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.fixtures.gateways import Message, Served, Stdio, post, raw_entry, serving, stdio
from tests.fixtures.process_tree import alive, command_line, descendants
from tests.fixtures.waiting import until

SERVERS = {"victim": raw_entry(), "other": raw_entry()}
CLIENTS_SECONDS = 10.0

Marks = Callable[[], Path]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway"), SERVERS) as served:
        yield served


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    """Makes paths of files that a tool is to write, or to wait for."""
    numbers = count()
    return lambda: tmp_path / f"mark-{next(numbers)}"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def pending_call(pool: ThreadPoolExecutor, served: Served, tool: str, **files: Path) -> Future[tuple[int, Message]]:
    """A call that has arrived at its server and waits there."""
    arguments = {name: str(path) for name, path in files.items()}
    answer = pool.submit(served.ask, "tools/call", {"name": tool, "arguments": arguments})
    until(files["mark"].exists, "the call arrives at its server")
    return answer


def milliseconds_since(start: float) -> str:
    return f"{(time.monotonic() - start) * 1000:.0f} ms"


def ready(served: Served | Stdio) -> None:
    """Wait until both servers are there."""
    assert {"victim_pid", "other_pid"} <= set(served.tools())


def test_a_killed_server_fails_its_pending_call_at_once_and_names_itself(
    gateway: Served, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    victim = int(gateway.call("victim_pid"))
    answer = pending_call(pool, gateway, "victim_hang", mark=marks())
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    status, message = answer.result(CLIENTS_SECONDS)
    print(f"HTTP: a pending call failed {milliseconds_since(start)} after kill -9")
    assert status == 503
    assert message["error"]["code"] == -31503
    assert message["error"]["data"] == {"upstream": "victim"}


def test_a_killed_server_fails_the_pending_call_of_a_stdio_client_at_once(tmp_path: Path, marks: Marks) -> None:
    with stdio(tmp_path, SERVERS) as client:
        client.initialize()
        victim, mark = int(client.call("victim_pid")), marks()
        answer = client.begin("tools/call", {"name": "victim_hang", "arguments": {"mark": str(mark)}})
        until(mark.exists, "the call arrives at its server")
        start = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        error = answer()["error"]
        print(f"stdio: a pending call failed {milliseconds_since(start)} after kill -9")
        assert (error["code"], error["data"]) == (-31503, {"upstream": "victim"})


def test_the_calls_of_other_servers_go_on_while_one_is_killed(
    gateway: Served, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    other, done = gateway.call("other_pid"), marks()
    waiting = pending_call(pool, gateway, "other_wait", mark=marks(), until=done)
    os.kill(running_victim(gateway), signal.SIGKILL)
    assert gateway.call("other_echo", word="still here") == '{"word": "still here"}'
    done.touch()
    status, message = waiting.result(CLIENTS_SECONDS)
    assert (status, message["result"]["content"][0]["text"]) == (200, "waited")
    assert gateway.call("other_pid") == other


def test_a_killed_server_stays_listed_and_answers_again_after_its_restart(gateway: Served) -> None:
    victim, before = running_victim(gateway), gateway.tools()
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    assert gateway.tools() == before
    assert running_victim(gateway, but=victim)
    print(f"a killed server answered again after {milliseconds_since(start)}")
    assert gateway.tools() == before
    assert any("victim is down: killed by signal 9; next attempt in" in event["message"] for event in gateway.log())


def running_victim(served: Served, but: int = 0) -> int:
    """The pid of the victim once it runs, as another process than `but`."""

    def pid() -> int:
        status, message = served.ask("tools/call", {"name": "victim_pid", "arguments": {}})
        found = int(message["result"]["content"][0]["text"]) if status == 200 else 0
        return found if found != but else 0

    return until(pid, "the victim runs")


def wrapped(entry: Message) -> Message:
    """The entry started by a shell that stays between, as npx does."""
    line = shlex.join([entry["command"], *entry["args"]])
    return {"command": "sh", "args": ["-c", f"{line}; true"]}


@pytest.mark.parametrize("run", [serving, stdio], ids=["serve", "stdio"])
def test_kill_9_of_the_gateway_leaves_no_process_behind(run: Callable[..., object], tmp_path: Path) -> None:
    with run(tmp_path, {"victim": wrapped(raw_entry()), "other": raw_entry()}) as gateway:  # type: ignore[attr-defined]
        ready(gateway)
        grandchild = int(gateway.call("victim_spawn"))
        left = descendants(gateway.process.pid)
        assert {grandchild, int(gateway.call("victim_pid")), int(gateway.call("other_pid"))} < left
        start = time.monotonic()
        os.kill(gateway.process.pid, signal.SIGKILL)
        until(lambda: not any(map(alive, left)), f"all are gone: {[*map(command_line, left)]}")
        print(f"after kill -9 of the gateway all {len(left)} processes were gone within {milliseconds_since(start)}")


@pytest.mark.parametrize("stubborn", [False, True], ids=["polite servers", "one that ignores the end"])
def test_a_stdio_gateway_ends_with_all_its_processes_when_its_client_quits(stubborn: bool, tmp_path: Path) -> None:
    with stdio(tmp_path, SERVERS) as client:
        ready(client)
        if stubborn:
            client.call("victim_spawn")
        left = descendants(client.process.pid)
        start = time.monotonic()
        client.close_stdin()
        assert client.process.wait(CLIENTS_SECONDS) == 0
        ended = milliseconds_since(start)
        until(lambda: not any(map(alive, left)), f"all are gone: {[*map(command_line, left)]}")
        print(f"stdin closed: exit after {ended}, all {len(left)} processes gone after {milliseconds_since(start)}")


def test_a_server_that_outlives_its_stdin_is_asked_to_end_when_the_client_quits(tmp_path: Path) -> None:
    farewell = tmp_path / "farewell"
    with stdio(tmp_path, {"lasting": raw_entry("--farewell", farewell)}) as client:
        server = int(client.call("lasting_pid"))
        start = time.monotonic()
        client.close_stdin()
        assert client.process.wait(CLIENTS_SECONDS) == 0
        until(lambda: not alive(server), "the server is gone")
        print(f"stdin closed: a server that outlives its own was gone after {milliseconds_since(start)}")
    assert farewell.exists()


def test_a_stdio_gateway_ends_when_its_client_quits_before_its_servers_are_up(tmp_path: Path) -> None:
    with stdio(tmp_path, {"slow": raw_entry("--gate", tmp_path / "never")}) as client:
        client.initialize()
        left = until(lambda: started(client.process.pid), "the server is started")
        start = time.monotonic()
        client.close_stdin()
        assert client.process.wait(CLIENTS_SECONDS) == 0
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"stdin closed during the start: all gone after {milliseconds_since(start)}")


def started(gateway: int) -> set[int]:
    """The processes of a gateway with one server, once that and the watchdog are there."""
    found = descendants(gateway)
    return found if any("raw_server" in command_line(pid) for pid in found) else set()


def test_sigterm_lets_calls_in_flight_finish_and_takes_no_new_ones(
    tmp_path: Path, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    with serving(tmp_path, SERVERS) as gateway:
        ready(gateway)
        left, done = descendants(gateway.pid), marks()
        waiting = pending_call(pool, gateway, "other_wait", mark=marks(), until=done)
        assert gateway.status("/readyz") == 200
        start = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        until(lambda: gateway.status("/readyz") == 503, "/readyz says that it stops")
        print(f"/readyz said 503 {milliseconds_since(start)} after SIGTERM")
        status, headers, message = post(gateway.url, "tools/call", {"name": "victim_echo", "arguments": {}})
        assert (status, message["error"]["code"]) == (503, -31503)
        assert int(headers["Retry-After"]) > 0
        assert gateway.status("/healthz") == 200
        assert not waiting.done()
        start = time.monotonic()
        done.touch()
        status, message = waiting.result(CLIENTS_SECONDS)
        assert (status, message["result"]["content"][0]["text"]) == (200, "waited")
        assert gateway.process.process.wait(CLIENTS_SECONDS) == 0
        print(f"the gateway ended {milliseconds_since(start)} after its last call could")
        until(lambda: not any(map(alive, left)), "all are gone")
        gateway.log()


def test_sigterm_ends_a_gateway_whose_server_hangs_in_its_start(tmp_path: Path) -> None:
    with serving(tmp_path, {"slow": raw_entry("--gate", tmp_path / "never")}) as gateway:
        left = until(lambda: started(gateway.pid), "the server is started")
        start = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        assert gateway.process.process.wait(CLIENTS_SECONDS / 2) == 0
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"SIGTERM while a server hangs in its start: all gone after {milliseconds_since(start)}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_gateway_at_once_and_its_servers_with_it(
    number: signal.Signals, tmp_path: Path, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    with serving(tmp_path, SERVERS) as gateway:
        ready(gateway)
        left = descendants(gateway.pid)
        waiting = pending_call(pool, gateway, "victim_hang", mark=marks())
        os.kill(gateway.pid, number)
        until(lambda: gateway.status("/readyz") == 503, "/readyz says that it stops")
        assert gateway.process.process.poll() is None
        start = time.monotonic()
        os.kill(gateway.pid, number)
        assert gateway.process.process.wait(CLIENTS_SECONDS) == 128 + number
        ended = milliseconds_since(start)
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"second {number.name}: exit after {ended}, all processes gone after {milliseconds_since(start)}")
        with pytest.raises(OSError):  # noqa: PT011 - how a connection breaks is the system's affair
            waiting.result(CLIENTS_SECONDS)


def test_sigterm_ends_a_stdio_gateway_with_its_servers(tmp_path: Path) -> None:
    with stdio(tmp_path, SERVERS) as client:
        ready(client)
        left = descendants(client.process.pid)
        start = time.monotonic()
        os.kill(client.process.pid, signal.SIGTERM)
        try:
            assert client.process.wait(CLIENTS_SECONDS) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("SIGTERM did not end onegate stdio")
        until(lambda: not any(map(alive, left)), "all are gone")
        print(f"onegate stdio was gone {milliseconds_since(start)} after SIGTERM")
