"""Two servers whose tools meet in one name, and one that comes later, over HTTP: a name leads where it led."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fixtures.live_gateway import LiveGateway, Message, live_gateway, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

Three = tuple[RawUpstream, RawUpstream, LiveGateway]


def says(word: str) -> Message:
    return {"content": [{"type": "text", "text": word}]}


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with raw_upstream("legacy") as first, raw_upstream("legacy") as second:
        first.tools, second.tools = [tool("b_c")], [tool("c"), tool("d")]
        first.calls |= {"b_c": lambda _: says("first")}
        second.calls |= {"c": lambda _: says("second"), "d": lambda _: says("second")}
        config = {
            "mcpServers": {"a": {"url": first.url}, "a_b": {"url": second.url}},
            "policy": {"deny": ['mcp.target == "a_b" && mcp.tool.name == "c"']},
        }
        with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
            yield first, second, live


def listed(live: LiveGateway) -> list[str]:
    return [one["name"] for one in live.post(request("tools/list")).json["result"]["tools"]]


def called(live: LiveGateway, name: str) -> str:
    return str(live.post(request("tools/call", {"name": name})).json["result"]["content"][0]["text"])


def publish(live: LiveGateway, server: str, *names: str) -> None:
    """Have a server's list be another one, as when it tells of a change."""
    upstream = live.gateway.upstreams[server]
    items = {**upstream.listing.items, "tools": tuple(tool(name) for name in names)}
    done = threading.Event()
    live.loop.call_soon_threadsafe(lambda: (upstream.publish(replace(upstream.listing, items=items)), done.set()))
    assert done.wait(5.0)


def test_the_second_of_two_tools_that_meet_in_a_name_is_left_out(gate: Three) -> None:
    first, second, live = gate
    assert listed(live) == ["a_b_c", "a_b_d"]
    assert (called(live, "a_b_c"), called(live, "a_b_d")) == ("first", "second")
    assert len(first.calls_seen()) == 1
    assert b'"c"' not in b"".join(second.calls_seen())


def test_a_server_that_changes_later_takes_no_name_over(gate: Three) -> None:
    first, second, live = gate
    publish(live, "a", "b_c", "b_d")
    assert (called(live, "a_b_c"), called(live, "a_b_d")) == ("first", "second")
    publish(live, "a")
    assert listed(live) == ["a_b_d"]  # whose name it is now, policy denies
    answer = live.post(request("tools/call", {"name": "a_b_c"}))
    assert answer.json["error"]["message"] == "Unknown tool: a_b_c"
    assert len(first.calls_seen()) == 1
    assert b'"c"' not in b"".join(second.calls_seen())
