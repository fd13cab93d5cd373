import asyncio

import pytest

from upstreams.slots import Full, Slots


def test_a_place_that_is_given_back_goes_to_the_one_who_waited_longest() -> None:
    async def scenario() -> list[str]:
        slots, order = Slots(1, 2), list[str]()
        await slots.acquire(5.0)

        async def wait(name: str) -> None:
            await slots.acquire(5.0)
            order.append(name)
            slots.release()

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("first"))
            group.create_task(wait("second"))
            await asyncio.sleep(0)
            slots.release()
        return order

    assert asyncio.run(scenario()) == ["first", "second"]


def test_more_than_the_queue_holds_are_refused() -> None:
    async def scenario() -> None:
        slots = Slots(1, 0)
        await slots.acquire(5.0)
        with pytest.raises(Full, match="too many calls are waiting"):
            await slots.acquire(5.0)

    asyncio.run(scenario())


def test_a_wait_ends_when_its_time_is_over_and_leaves_no_trace() -> None:
    async def scenario() -> None:
        slots = Slots(1, 1)
        await slots.acquire(5.0)
        with pytest.raises(Full, match="take too long"):
            await slots.acquire(0.0)
        slots.release()
        await slots.acquire(0.0)

    asyncio.run(scenario())


def test_a_caller_that_gives_up_as_its_turn_comes_passes_the_place_on() -> None:
    async def scenario() -> None:
        slots = Slots(1, 2)
        await slots.acquire(5.0)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(slots.acquire(5.0))
            await asyncio.sleep(0)
            slots.release()
            task.cancel()
        await slots.acquire(0.0)

    asyncio.run(scenario())
