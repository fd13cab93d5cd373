"""What a client meets in the first seconds, while servers are still starting, in an order that the tests choose."""

import random
import time
from pathlib import Path

import pytest

from tests.fixtures.gateways import Stdio, raw_entry, serving, stdio, text_of
from tests.fixtures.process_tree import descendants
from tests.fixtures.waiting import until

TOOLS_CHANGED = "notifications/tools/list_changed"
OWN_TOOLS = ["echo", "pid", "hang", "wait", "spawn"]  # of raw_server.py, before those that it is asked for
BEFORE_THE_WINDOW_ENDS = 8.0  # a list waits up to 10 s for servers that are making their first connection


def names(server: str, tools: int) -> list[str]:
    return [f"{server}_{tool}" for tool in [*OWN_TOOLS, *(f"tool_{number:03d}" for number in range(tools))]]


def warned_of(client: Stdio, server: str) -> bool:
    """Whether a warning names the server."""
    return any(event["level"] == "warning" and server in event["message"] for event in client.log())


def test_initialize_is_answered_while_servers_hang_and_the_first_list_waits_for_the_slow_one(tmp_path: Path) -> None:
    slow, hanging = tmp_path / "slow", tmp_path / "hanging"
    servers = {
        "quick": raw_entry("--tools", "1"),
        "slow": raw_entry("--tools", "1", "--gate", slow),
        "hanging": raw_entry("--tools", "1", "--gate", hanging),
        "last": raw_entry("--tools", "1"),
    }
    start = time.monotonic()
    with stdio(tmp_path, servers) as client:
        answer = client.initialize()
        print(f"initialize was answered {(time.monotonic() - start) * 1000:.0f} ms after the start of the process")
        assert answer["result"]["serverInfo"]["name"] == "onegate"

        listing = client.begin("tools/list")
        assert client.ask("ping")["result"] == {}  # asked after the list, answered before it
        slow.touch()
        assert client.call("slow_echo") == "{}"  # a call waits for the server that it names

        listed = [tool["name"] for tool in listing()["result"]["tools"]]
        assert listed == [*names("quick", 1), *names("slow", 1), *names("last", 1)]
        until(lambda: warned_of(client, "hanging"), "it is named as missing")
        assert not any(warned_of(client, server) for server in ("quick", "slow", "last"))

        client.notices.clear()
        hanging.touch()
        until(lambda: TOOLS_CHANGED in [notice["method"] for notice in client.notices], "the late one is announced")
        everything = [name for server in servers for name in names(server, 1)]
        assert client.tools() == everything
        assert client.call("hanging_echo") == "{}"


def test_the_first_list_comes_as_soon_as_the_last_server_is_up(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with stdio(tmp_path, {"quick": raw_entry(), "slow": raw_entry("--gate", gate)}) as client:
        client.initialize()
        listing = client.begin("tools/list")
        until(lambda: any("quick is ready" in event["message"] for event in client.log()), "the quick one is up")
        assert client.ask("ping")["result"] == {}
        gate.touch()
        listed = listing(BEFORE_THE_WINDOW_ENDS)["result"]["tools"]
        assert [tool["name"] for tool in listed] == [*names("quick", 0), *names("slow", 0)]


def test_a_call_waits_for_the_server_that_it_needs_and_for_no_other(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    servers = {"slow": raw_entry("--gate", gate), "hanging": raw_entry("--gate", tmp_path / "never")}
    with stdio(tmp_path, servers) as client:
        client.initialize()
        answer = client.begin("tools/call", {"name": "slow_echo", "arguments": {}})
        assert client.ask("ping")["result"] == {}
        gate.touch()
        assert text_of(answer(BEFORE_THE_WINDOW_ENDS)) == "{}"


def test_a_server_that_failed_is_not_waited_for(tmp_path: Path) -> None:
    servers = {"quick": raw_entry(), "missing": {"command": "no-such-command"}}
    with stdio(tmp_path, servers) as client:
        client.initialize()
        listed = client.begin("tools/list")(BEFORE_THE_WINDOW_ENDS)["result"]["tools"]
        assert [tool["name"] for tool in listed] == names("quick", 0)
        until(lambda: warned_of(client, "missing"), "the failed one is named")


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_tools_of_twenty_servers_are_listed_whole_and_in_the_order_of_the_config(
    seed: int, tmp_path: Path
) -> None:
    order = [f"server{number:02d}" for number in range(20)]
    random.Random(seed).shuffle(order)
    gates = {name: tmp_path / name for name in order}
    servers = {name: raw_entry("--tools", "45", "--gate", gate) for name, gate in gates.items()}
    expected = [tool for name in order for tool in names(name, 45)]
    assert len(expected) == 1000
    with serving(tmp_path, servers) as gateway:
        until(lambda: len(descendants(gateway.pid)) > len(servers), "all servers are started")  # and the watchdog
        for name in random.Random(seed + 100).sample(order, len(order)):
            gates[name].touch()
        for _ in range(5):
            assert gateway.tools() == expected


def test_a_thousand_tools_reach_a_stdio_client_page_by_page_in_the_same_order(tmp_path: Path) -> None:
    servers = {f"server{number:02d}": raw_entry("--tools", "45") for number in range(20)}
    expected = [tool for name in servers for tool in names(name, 45)]
    with stdio(tmp_path, servers) as client:
        client.initialize()
        start = time.monotonic()
        assert client.tools() == expected
        print(
            f"the first list of 1,000 tools took {(time.monotonic() - start) * 1000:.0f} ms, with 20 servers to start"
        )
        assert client.tools() == expected
