"""Processes that end: a server's, the gateway's, with and without asking. Figures are printed (pytest -s)."""

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.gateways import Message, Served, raw_entry, serving, stdio
from tests.fixtures.pending import CLIENTS_SECONDS, SERVERS, Marks, milliseconds_since, pending_call, ready, started
from tests.fixtures.process_tree import alive, command_line, descendants
from tests.fixtures.waiting import until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway"), SERVERS) as served:
        yield served


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


def test_what_a_killed_server_leaves_behind_ends_too_and_delays_no_answer(
    gateway: Served, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    victim = running_victim(gateway)
    grandchild = int(gateway.call("victim_spawn"))  # holds the victim's stderr and ignores SIGTERM
    answer = pending_call(pool, gateway, "victim_hang", mark=marks())
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    status, _ = answer.result(CLIENTS_SECONDS)
    print(f"HTTP: a pending call failed {milliseconds_since(start)} after kill -9 of a server with children")
    assert status == 503
    until(lambda: not alive(grandchild), "the grandchild is gone")


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
    said = "victim is down: killed by signal 9; next attempt in"
    until(lambda: any(said in event["message"] for event in gateway.log()), "the log says why it was down")


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


@pytest.mark.alone  # the client waits no longer than 0.7 s
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
