"""How long lists and calls wait for servers that are still making their first connection."""

import asyncio

import orjson
import pytest

from tests.fixtures.clock import fake_time, now, turns  # noqa: F401
from tests.fixtures.house import House, error

pytestmark = pytest.mark.anyio


async def test_a_list_waits_for_servers_that_make_their_first_connection_but_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(a={}, b={})
    house.relay.begin()
    pending = asyncio.ensure_future(house.ask("tools/list"))
    await asyncio.sleep(1)
    house.see("a", "x")
    house.upstreams["a"].settled.set()
    await asyncio.sleep(1)
    assert not pending.done()
    assert orjson.loads(orjson.dumps((await pending)["tools"]))[0]["name"] == "a_x"
    assert now() == 10.0
    assert "lists go without b" in caplog.text
    await house.ask("tools/list")
    assert now() == 10.0


async def test_a_list_waits_only_for_the_servers_of_its_door() -> None:
    house = House(a={}, b={})
    house.relay.begin()
    house.upstreams["a"].settled.set()
    await house.ask("tools/list", "/mcp/a")
    assert now() == 0.0


async def test_a_call_waits_for_its_tool_and_for_no_other_server() -> None:
    house = House(a={"content": []}, b={})
    house.relay.begin()
    pending = asyncio.ensure_future(house.ask("tools/call", name="a_x"))
    await asyncio.sleep(2)
    assert not pending.done()
    house.see("a", "x")
    assert await pending == {"content": []}
    assert now() == 2.0


async def test_an_unknown_tool_is_unknown_at_once_when_every_server_has_settled() -> None:
    house = House(a={}, b={})
    house.relay.begin()
    pending = asyncio.ensure_future(house.ask("tools/call", name="no"))
    await asyncio.sleep(3)
    for upstream in house.upstreams.values():
        upstream.settled.set()
    assert (await error(pending)).message == "Unknown tool: no"
    assert now() == 3.0
    await error(house.ask("tools/call", name="no"))
    assert not house.relay.starting


async def test_a_caller_that_leaves_while_waiting_leaves_nothing_behind() -> None:
    house = House(a={})
    house.relay.begin()
    before = len(asyncio.all_tasks())
    pending = asyncio.ensure_future(house.ask("tools/call", name="a_x"))
    await turns()
    pending.cancel()
    await turns()
    assert (pending.cancelled(), len(asyncio.all_tasks())) == (True, before)
