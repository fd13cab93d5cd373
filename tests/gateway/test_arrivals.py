"""Requests on their way to their upstream, and who waits for them."""

import asyncio

import pytest

from gateway.arrivals import Arrivals
from tests.fixtures.house import House

pytestmark = pytest.mark.anyio


async def test_over_is_when_the_last_has_left() -> None:
    arrivals = Arrivals()
    await arrivals.over()
    arrivals.enter()
    arrivals.enter()
    waiting = asyncio.ensure_future(arrivals.over())
    arrivals.leave()
    await asyncio.sleep(0)
    assert (arrivals.busy, waiting.done()) == (True, False)
    arrivals.leave()
    await waiting
    assert not arrivals.busy


async def test_a_request_is_on_its_way_until_its_upstream_has_it() -> None:
    house = House(a={})
    house.see("a", "x")
    seen: list[bool] = []

    def answer(_: object) -> dict[str, object]:
        seen.append(house.relay.arrivals.busy)
        return {"content": []}

    house.upstreams["a"].answer = answer
    await house.ask("tools/call", name="a_x")
    assert (seen, house.relay.arrivals.busy) == ([False], False)


@pytest.mark.parametrize("name", ["a_none", 5])
async def test_one_that_fails_before_is_on_its_way_no_longer(name: object) -> None:
    house = House(a={})
    house.see("a", "x")
    with pytest.raises(Exception, match=r"Unknown tool|missing"):
        await house.ask("tools/call", name=name)
    assert not house.relay.arrivals.busy


async def test_a_list_is_on_its_way_until_it_is_there() -> None:
    house = House(a={})
    house.see("a", "x")
    await house.ask("tools/list")
    assert not house.relay.arrivals.busy
