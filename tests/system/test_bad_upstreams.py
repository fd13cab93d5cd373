"""Servers that misbehave behind one gateway: the others carry on, and the log says which one, why, and what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.gateways import Served, raw_entry, serving
from tests.fixtures.waiting import until

OWN_TOOLS = ["echo", "pid", "hang", "wait", "spawn"]


def bad(mode: str) -> dict[str, object]:
    return raw_entry(mode, script="bad_server.py")


SERVERS = {
    "first": raw_entry(),
    **{
        mode: bad(mode)
        for mode in ("chatty", "rubbish", "flood", "refusing", "mute", "empty", "exiting", "malformed", "cycling")
    },
    "missing": {"command": "no-such-command"},
    "folder": {**raw_entry(), "cwd": "/no/such/folder"},
    "denied": {"command": "/etc/passwd"},
    "last": raw_entry(),
}

LISTED = [
    *(f"first_{tool}" for tool in OWN_TOOLS),
    *("chatty_good", "chatty_better"),
    *("malformed_good", "malformed_better"),
    *("cycling_page_0", "cycling_page_1", "cycling_page_2"),
    *(f"last_{tool}" for tool in OWN_TOOLS),
]

# Which server, and the words with which the log names its fault and the mend.
FAULTS = {
    "chatty": "wrote a line to its stdout that is no message; what it logs belongs on its stderr",
    "rubbish": "wrote a line to its stdout that is no message; what it logs belongs on its stderr",
    "flood": "flooded its stdout",
    "refusing": "answered initialize with error -32603: no licence for this machine",
    "empty": "lists nothing",
    "exiting": "exited with code 1: no API key: set EXAMPLE_KEY",
    "cycling": "cursor came a second time",
    "missing": "command not found: no-such-command (is it installed and on PATH?)",
    "folder": "working directory does not exist: /no/such/folder",
    "denied": "permission denied: /etc/passwd is not executable",
}
NEVER_LISTED = ("rubbish", "flood", "refusing", "mute", "exiting", "missing", "folder", "denied")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("gateway"), SERVERS) as served:
        assert served.tools() == LISTED  # waits for those that will never come, once
        yield served


def said(gateway: Served, server: str) -> list[str]:
    """What the log has said of a server, from warnings on."""
    return [
        event["message"]
        for event in gateway.log()
        if event["level"] not in ("debug", "info") and event["message"].startswith((f"{server} ", f"{server}:"))
    ]


def test_all_tools_of_the_good_servers_are_listed_in_the_order_of_the_config(gateway: Served) -> None:
    assert gateway.tools() == LISTED
    assert gateway.tools("/chatty") == ["good", "better"]


@pytest.mark.parametrize("tool", ["first_echo", "last_echo"])
def test_good_servers_are_called_as_if_the_bad_ones_were_not_there(gateway: Served, tool: str) -> None:
    assert gateway.call(tool, word="hello") == '{"word": "hello"}'


@pytest.mark.parametrize("tool", ["chatty_better", "malformed_better", "cycling_page_2"])
def test_what_a_sloppy_server_lists_well_can_be_called(gateway: Served, tool: str) -> None:
    assert gateway.call(tool) == tool.partition("_")[2]


@pytest.mark.parametrize(("server", "words"), FAULTS.items(), ids=FAULTS)
def test_the_log_names_the_server_and_its_fault(gateway: Served, server: str, words: str) -> None:
    until(lambda: any(words in message for message in said(gateway, server)), f"{server}: {words}")


def test_each_malformed_tool_is_named_in_a_warning(gateway: Served) -> None:
    def named() -> list[str]:
        return [message for message in said(gateway, "malformed") if "malformed entry of tools/list" in message]

    until(lambda: len(named()) >= 5, "each is named")
    assert len(named()) == 5
    assert "('no_schema'): inputSchema is not an object" in named()[0]
    assert "(7): name is not a text" in named()[1]


def test_the_log_names_a_server_that_a_list_went_out_without(gateway: Served) -> None:
    def named() -> list[str]:
        return [event["message"] for event in gateway.log() if event["message"].startswith("lists go without")]

    (missing,) = until(named, "those that are missing are named")
    assert "rubbish, mute" in missing


def test_the_good_servers_are_named_in_no_warning(gateway: Served) -> None:
    assert said(gateway, "first") == []
    assert said(gateway, "last") == []


@pytest.mark.parametrize("server", NEVER_LISTED)
def test_a_server_that_never_came_up_has_an_empty_door_of_its_own(gateway: Served, server: str) -> None:
    assert gateway.tools(f"/{server}") == []
    status, answer = gateway.ask("tools/call", {"name": f"{server}_good", "arguments": {}})
    assert (status, answer["error"]["message"]) == (200, f"Unknown tool: {server}_good")


def test_the_gateway_stays_ready_and_logs_no_fault_of_its_own(gateway: Served) -> None:
    assert gateway.status("/readyz") == 200
    assert gateway.status("/healthz") == 200
    assert [event for event in gateway.log() if "internal error" in event["message"] or "traceback" in event] == []
    assert [event for event in gateway.log() if event["level"] in ("error", "critical")] == []


def test_a_required_server_that_is_down_makes_the_gateway_unready_until_it_comes(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    servers = {"needed": raw_entry("--gate", gate, required=True), "other": raw_entry()}
    with serving(tmp_path, servers) as gateway:
        assert gateway.call("other_echo") == "{}"  # waits for its own server only
        assert gateway.status("/readyz") == 503
        assert gateway.status("/healthz") == 200
        gate.touch()
        until(lambda: gateway.status("/readyz") == 200, "the gateway is ready")
        assert gateway.call("needed_echo") == "{}"


def test_a_required_server_that_cannot_start_leaves_the_others_at_work(tmp_path: Path) -> None:
    servers = {"needed": {"command": "no-such-command", "required": True}, "other": raw_entry()}
    with serving(tmp_path, servers) as gateway:
        assert gateway.tools() == [f"other_{tool}" for tool in OWN_TOOLS]
        assert gateway.call("other_echo") == "{}"
        assert gateway.status("/readyz") == 503
