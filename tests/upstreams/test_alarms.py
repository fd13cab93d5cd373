import asyncio
from collections.abc import Callable

import pytest

from tests.fixtures.clock import fake_time, now, turns  # noqa: F401
from upstreams.alarms import Alarm, Alarms, Deadline

pytestmark = pytest.mark.anyio


class Bell(Alarm):
    def __init__(self, struck: Callable[[], object]) -> None:
        self.struck = struck

    def ring(self) -> None:
        self.struck()


def put(alarms: Alarms, struck: Callable[[], object]) -> Alarm:
    bell = Bell(struck)
    alarms.add(bell)
    return bell


async def test_alarms_ring_when_they_are_due_and_in_their_order() -> None:
    alarms, rung = Alarms(5.0), list[tuple[str, float]]()
    put(alarms, lambda: rung.append(("first", now())))
    await asyncio.sleep(2.0)
    put(alarms, lambda: rung.append(("second", now())))
    await asyncio.sleep(10.0)
    assert rung == [("first", 5.0), ("second", 7.0)]
    assert len(alarms) == 0


async def test_one_that_is_taken_back_does_not_ring_and_the_next_is_on_time() -> None:
    alarms, rung = Alarms(5.0), list[float]()
    first = put(alarms, lambda: rung.append(-1.0))
    await asyncio.sleep(1.0)
    put(alarms, lambda: rung.append(now()))
    alarms.take_back(first)
    alarms.take_back(first)
    await asyncio.sleep(10.0)
    assert rung == [6.0]


async def test_one_that_sets_another_holds_up_none() -> None:
    alarms, rung = Alarms(5.0), list[tuple[str, float]]()
    put(alarms, lambda: put(alarms, lambda: rung.append(("third", now()))))
    await asyncio.sleep(1.0)
    put(alarms, lambda: rung.append(("second", now())))
    await asyncio.sleep(20.0)
    assert rung == [("second", 6.0), ("third", 10.0)]


async def test_one_that_fails_holds_up_none() -> None:
    alarms, rung, failures = Alarms(5.0), list[float](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context["exception"]))
    put(alarms, lambda: failures[1])  # there is none
    put(alarms, lambda: rung.append(now()))
    await asyncio.sleep(1.0)
    put(alarms, lambda: rung.append(now()))
    await asyncio.sleep(20.0)
    asyncio.get_running_loop().set_exception_handler(None)
    assert rung == [5.0, 6.0]
    assert [type(one) for one in failures] == [IndexError]


async def test_after_a_pause_it_rings_again() -> None:
    alarms, rung = Alarms(5.0), list[float]()
    alarms.take_back(put(alarms, lambda: rung.append(-1.0)))
    await asyncio.sleep(20.0)
    put(alarms, lambda: rung.append(now()))
    await asyncio.sleep(20.0)
    assert rung == [25.0]


async def test_one_may_be_set_and_another_taken_back_while_it_rings() -> None:
    alarms, rung = Alarms(5.0), list[float]()

    def again() -> None:
        rung.append(now())
        alarms.take_back(other)
        if len(rung) < 3:
            put(alarms, again)

    put(alarms, again)
    other = put(alarms, lambda: rung.append(-1.0))
    await asyncio.sleep(30.0)
    assert rung == [5.0, 10.0, 15.0]


async def test_a_thousand_share_one_timer() -> None:
    alarms = Alarms(5.0)
    loop, timers = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at

    def counted(when: float, *args: object) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *args)  # type: ignore[arg-type]

    loop.call_at = counted  # type: ignore[method-assign, assignment]
    for _ in range(1_000):
        alarms.take_back(put(alarms, lambda: None))
    assert timers == [5.0]


async def test_a_deadline_ends_its_block() -> None:
    with pytest.raises(TimeoutError), Deadline(Alarms(5.0), 0.0):
        await asyncio.sleep(100.0)
    assert now() == 5.0
    await asyncio.sleep(100.0)  # nothing is left of it


async def test_a_block_that_ends_in_time_meets_nothing() -> None:
    alarms = Alarms(5.0)
    with Deadline(alarms, 0.0):
        await asyncio.sleep(4.0)
    assert len(alarms) == 0
    await asyncio.sleep(100.0)


async def test_an_error_of_the_block_is_its_own() -> None:
    with pytest.raises(KeyError), Deadline(Alarms(5.0), 0.0):
        raise KeyError


async def hears(deadline: Deadline) -> None:
    with deadline:
        for _ in range(10):
            await asyncio.sleep(4.0)
            deadline.extend()


async def needs_time(deadline: Deadline) -> None:
    with deadline:
        deadline.suspend()
        await asyncio.sleep(100.0)


async def test_what_is_heard_gives_the_whole_time_again_up_to_the_most() -> None:
    with pytest.raises(TimeoutError):
        await hears(Deadline(Alarms(5.0), 12.0))
    assert now() == 12.0


async def test_who_needs_time_gets_the_most_of_it() -> None:
    with pytest.raises(TimeoutError):
        await needs_time(Deadline(Alarms(5.0), 60.0))
    assert now() == 60.0


async def test_the_most_is_never_less_than_the_time_itself() -> None:
    with pytest.raises(TimeoutError):
        await needs_time(Deadline(Alarms(5.0), 1.0))
    assert now() == 5.0


async def test_moving_one_that_is_over_does_nothing() -> None:
    with Deadline(Alarms(5.0), 60.0) as deadline:
        pass
    deadline.extend()
    deadline.suspend()
    await asyncio.sleep(100.0)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        with Deadline(Alarms(5.0), 0.0):
            await asyncio.sleep(100.0)

    task = asyncio.ensure_future(work())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_deadline_stays_one() -> None:
    async def work() -> None:
        with Deadline(Alarms(5.0), 0.0):
            await asyncio.sleep(100.0)

    task = asyncio.ensure_future(work())
    await turns()
    asyncio.get_running_loop().call_at(5.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_deadlines_stand_within_each_other() -> None:
    async def work() -> None:
        with Deadline(Alarms(9.0), 0.0):
            with pytest.raises(TimeoutError), Deadline(Alarms(5.0), 0.0):
                await asyncio.sleep(100.0)
            assert now() == 5.0
            await asyncio.sleep(100.0)

    with pytest.raises(TimeoutError):
        await work()
    assert now() == 9.0
