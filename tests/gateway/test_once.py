"""Calls with idempotency keys: one run each, whoever repeats, waits or leaves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.eras.sessionless import DIALECT
from gateway.errors import McpError, Refused, Superseded
from gateway.hop import Hop
from gateway.once import Once, Repeats, Result
from gateway.once_store import Bounds, Store
from gateway.relay import _forward_once
from gateway.request import Request
from gateway.telemetry.observer import UNSEEN, Use
from policies.model import LOCAL, Caller
from tests.fixtures.clock import fake_time, turns  # noqa: F401
from upstreams import wire
from upstreams.errors import (
    ConnectionLost,
    ErrorReply,
    Unreachable,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnavailable,
)

pytestmark = pytest.mark.anyio

DONE: Result = wire.loads(
    b'{"content": [{"type": "text", "text": "done"}], "n": [1, 1.0, true, 1180591620717411303424]}'
)


class Work:
    """A call that ends when the test says so; counts how often it was made."""

    def __init__(self, outcome: Any = DONE) -> None:
        self.outcome = outcome
        self.made = self.cancelled = 0
        self.end = asyncio.Event()

    async def __call__(self) -> Result:
        self.made += 1
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return dict(self.outcome)


class Stage:
    """Repeats in a task group, and clients that ask."""

    def __init__(self, group: asyncio.TaskGroup, bounds: Bounds) -> None:
        self._group = group
        self.now = 0.0
        self.repeats = Repeats(self._spawn, Store(bounds, lambda: self.now))
        self.once = Once(self.repeats, "key", b"owner", b"scope")
        self.carried: list[asyncio.Task[Any]] = []
        self.start = asyncio.Event()
        self.start.set()

    def _spawn(self, work: Any, *args: Any) -> None:
        async def begin() -> None:
            await self.start.wait()
            await work(*args)

        self.carried.append(self._group.create_task(begin()))

    def ask(self, work: Work, once: Once | None = None, call: bytes = b"call") -> "asyncio.Task[Result]":
        return self.ask_by((once or self.once).answer(call, work))

    def ask_by(self, answer: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        return self._group.create_task(_caught(answer))

    async def said(self, work: Work, once: Once | None = None, call: bytes = b"call") -> Any:
        """The result of one request that finds its work done, or what it raises."""
        work.end.set()
        return await self.ask(work, once, call)


async def _caught(work: Any) -> Any:
    try:
        return await work
    except Exception as exc:
        return exc


@asynccontextmanager
async def stage(**bounds: Any) -> AsyncIterator[Stage]:
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        yield Stage(group, Bounds(**bounds))


def conflict(found: Any) -> bool:
    return isinstance(found, McpError) and (found.code, found.status) == (-32602, 409)


async def test_the_first_answer_is_given_again_with_every_type() -> None:
    async with stage() as on:
        work = Work()
        first, again = await on.said(work), await on.said(work)
        assert first == again == DONE
        assert [type(one) for one in again["n"]][:3] == [int, float, bool]
        assert work.made == 1


async def test_after_ten_minutes_a_key_is_a_new_one() -> None:
    async with stage() as on:
        work = Work()
        await on.said(work)
        on.now = 599.0
        await on.said(work)
        assert work.made == 1
        on.now = 600.0
        await on.said(work)
        assert work.made == 2


async def test_all_who_ask_at_once_wait_for_one_run() -> None:
    async with stage() as on:
        work = Work()
        asked = [on.ask(work) for _ in range(50)]
        await turns()
        assert not any(one.done() for one in asked)
        work.end.set()
        assert [await one for one in asked] == [DONE] * 50
        assert work.made == 1


@pytest.mark.parametrize("other", [{"key": "other"}, {"owner": b"other"}, {"scope": b"other"}])
async def test_another_key_owner_or_scope_runs_anew(other: dict[str, Any]) -> None:
    async with stage() as on:
        work = Work()
        await on.said(work)
        await on.said(work, replace(on.once, **other))
        assert work.made == 2


async def test_another_call_or_body_under_the_key_is_refused_while_it_runs_and_afterwards() -> None:
    async with stage() as on:
        work, other = Work(), Work()
        first = on.ask(work)
        await turns()
        for _ in range(2):
            assert conflict(await on.said(other, call=b"other"))
            assert conflict(await on.said(other, on.once.of(b"body")))
            assert conflict(await on.said(other, on.once.of(b"body", 1)))
            with pytest.raises(McpError, match="another request"):
                on.once.of(b"body").check()
            work.end.set()
            await first
        on.once.check()
        assert (work.made, other.made) == (1, 0)


async def test_calls_of_one_body_run_once_each() -> None:
    async with stage() as on:
        works = [Work({"n": index}) for index in range(3)]
        for _ in range(2):
            said = [await on.said(work, on.once.of(b"body", index)) for index, work in enumerate(works)]
            assert said == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert [work.made for work in works] == [1, 1, 1]


LOST = UpstreamUnavailable("up", "it broke")
LOST.__cause__ = ConnectionLost("it broke")
UNSENT = UpstreamUnavailable("up", "nobody there")
UNSENT.__cause__ = Unreachable("nobody there")


@pytest.mark.parametrize(
    "error",
    [ErrorReply(-32000, "no", {"why": [1]}), ErrorReply(1, "", None), UpstreamTimeout("up", 5.0), LOST],
    ids=["reply", "bare reply", "timeout", "lost"],
)
async def test_errors_of_a_call_that_may_have_run_are_said_again(error: Exception) -> None:
    async with stage() as on:
        work = Work(error)
        first, again = await on.said(work), await on.said(work)
        assert (type(first), str(first), first.__dict__) == (type(again), str(again), again.__dict__)
        assert first is not again
        assert type(first.__cause__) is type(again.__cause__)
        assert work.made == 1


@pytest.mark.parametrize(
    "outcome",
    [
        UNSENT,
        UpstreamUnavailable("up", "it is down"),
        UpstreamBusy("up", "full"),
        Superseded(),
        McpError(-32602, "requestState is unknown"),
        {"resultType": "input_required", "inputRequests": {}},
    ],
    ids=["unreachable", "down", "busy", "superseded", "refused", "input"],
)
async def test_what_was_not_asked_or_waits_for_input_is_not_kept(outcome: Any) -> None:
    async with stage() as on:
        work = Work(outcome)
        waiting = [on.ask(work) for _ in range(3)]
        await turns()
        work.end.set()
        said = [await one for one in waiting]
        assert said == [outcome] * 3
        assert work.made == 1
        assert await on.said(work) == outcome
        assert work.made == 2
        work.outcome = DONE
        assert await on.said(work) == DONE
        assert await on.said(work, call=b"other") is not DONE
        assert work.made == 3


async def test_a_fault_of_our_own_is_told_once_and_then_the_call_does_not_run_again() -> None:
    async with stage() as on:
        work = Work(ZeroDivisionError("ours"))
        assert isinstance(await on.said(work), ZeroDivisionError)
        again = await on.said(work)
        assert conflict(again)
        assert "was not kept" in str(again)
        assert work.made == 1


async def test_an_answer_that_is_too_large_or_cannot_be_written_is_not_run_for_again() -> None:
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    async with stage(own_bytes=100) as on:
        for number, result in enumerate([{"content": "x" * 100}, {"content": deep}]):
            work, once = Work(result), replace(on.once, key=str(number))
            assert await on.said(work, once) == result
            assert conflict(await on.said(work, once))
            assert work.made == 1


async def test_who_leaves_leaves_the_call_running_and_finds_its_answer() -> None:
    async with stage() as on:
        work = Work()
        first = on.ask(work)
        await turns()
        first.cancel()
        await turns()
        second = on.ask(work)
        await turns()
        assert (work.made, work.cancelled, first.cancelled(), second.done()) == (1, 0, True, False)
        work.end.set()
        assert await second == DONE
        assert await on.said(work) == DONE
        assert work.made == 1


async def test_a_cancelled_call_in_a_session_ends_and_does_not_run_again() -> None:
    async with stage() as on:
        work, once = Work(), replace(on.once, tied=True)
        first = on.ask(work, once)
        await turns()
        first.cancel()
        await turns()
        assert (work.cancelled, first.cancelled()) == (1, True)
        again = await on.said(work, once)
        assert conflict(again)
        assert "was cancelled" in str(again)
        assert work.made == 1
        assert all(one.done() and not one.cancelled() and not one.cancelling() for one in on.carried)


async def test_a_call_that_others_wait_for_outlives_a_cancellation() -> None:
    async with stage() as on:
        work, once = Work(), replace(on.once, tied=True)
        first, second = on.ask(work, once), on.ask(work, once)
        await turns()
        first.cancel()
        await turns()
        work.end.set()
        assert await second == DONE
        assert work.cancelled == 0


async def test_a_call_cancelled_before_it_began_was_never_made() -> None:
    async with stage() as on:
        work, once = Work(), replace(on.once, tied=True)
        on.start.clear()
        first = on.ask(work, once)
        await turns()
        first.cancel()
        await turns()
        on.start.set()
        await turns()
        assert (work.made, first.cancelled()) == (0, True)
        assert await on.said(work, once) == DONE
        assert work.made == 1


async def test_what_goes_on_without_its_client_is_noted_as_nobodys() -> None:
    async with stage() as on:
        work, use = Work(), Use("tools/call")
        relay: Any = SimpleNamespace(forward=lambda request, hop: work())
        request = Request("tools/call", {}, Caller(LOCAL), "/mcp", DIALECT, use=use, once=on.once)
        asked = on.ask_by(_forward_once(relay, request, on.once, Hop("up", {"name": "x"})))
        await turns()
        assert request.use is use
        asked.cancel()
        await turns()
        assert (request.use, work.cancelled) == (UNSEEN, 0)
        work.end.set()


async def test_the_end_of_the_gateway_cancels_what_runs() -> None:
    work = Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), stage() as on:
            on.ask(work)
    assert work.cancelled == 1
    assert on.repeats._runs == {}


async def test_too_many_calls_at_once_are_refused() -> None:
    async with stage(own_running=2) as on:
        works = [Work() for _ in range(3)]
        asked = [on.ask(work, replace(on.once, key=str(number))) for number, work in enumerate(works)]
        await turns()
        found = await asked[2]
        assert isinstance(found, Refused)
        for work in works:
            work.end.set()
        assert [await one for one in asked[:2]] == [DONE, DONE]
        assert await on.said(works[2], replace(on.once, key="2")) == DONE
