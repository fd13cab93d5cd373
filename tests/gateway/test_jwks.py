"""The keys of an issuer: fetched from nowhere else, in time, seldom, one fetch at a time, and kept in an outage."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from gateway.auth_keys import KeySet
from gateway.jwks import MAX_AGE_SECONDS, JwksUrl, NotFetched, StaticKeys, Timing, read_jwks
from tests.fixtures.clock import fake_time, now, turns  # noqa: F401
from tests.fixtures.tokens import jwk, jwks, make_key

pytestmark = pytest.mark.anyio

ALGORITHMS = frozenset({"ES256"})
OLD = jwks(jwk(make_key("ES256", "old"), "old"))
NEW = jwks(jwk(make_key("ES256", "new"), "new"))
DOWN = NotFetched("HTTP 503")


class Scripted:
    """A fetch whose answer the test sets; `times` is when each began."""

    def __init__(self, answer: bytes | NotFetched | Exception = OLD, seconds: float = 0.0) -> None:
        self.answer = answer
        self.seconds = seconds
        self.times: list[float] = []
        self.at_once = 0

    async def __call__(self) -> bytes | NotFetched:
        self.times.append(now())
        self.at_once += 1
        assert self.at_once == 1, "two fetches at a time"
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@asynccontextmanager
async def running(fetch: Scripted) -> AsyncIterator[JwksUrl]:
    source = JwksUrl("https://idp", ALGORITHMS, fetch, now)
    async with anyio.create_task_group() as group:
        group.start_soon(source.run)
        await turns()
        yield source
        group.cancel_scope.cancel()


def names(source: JwksUrl) -> list[str | None]:
    return [key.kid for key in source.keys.keys]


def test_the_first_fetch_is_due_at_once() -> None:
    assert Timing().due() < 0
    assert not Timing().usable(0.0)
    assert Timing().may_ask(0.0)


def test_keys_are_due_again_within_five_minutes_also_when_one_refresh_fails() -> None:
    assert Timing(fetched=100.0, began=100.0).due() + 30 + 5 < 100 + 300
    assert Timing(fetched=100.0, began=340.0).due() == 370.0


def test_without_any_keys_the_next_try_is_soon() -> None:
    assert Timing(began=100.0).due() == 105.0


def test_keys_end_at_their_greatest_age() -> None:
    timing = Timing(fetched=100.0, began=100.0)
    assert timing.usable(100 + MAX_AGE_SECONDS - 1)
    assert not timing.usable(100 + MAX_AGE_SECONDS)


async def test_keys_are_there_after_the_first_fetch() -> None:
    async with running(Scripted(seconds=1.0)) as source:
        assert not source.ready
        assert names(source) == []
        await asyncio.sleep(2)
        assert source.ready
        assert names(source) == ["old"]


async def test_a_key_that_left_is_gone_within_five_minutes() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        (old,) = source.keys.keys
        assert source.holds(old)
        fetch.answer = NEW
        await asyncio.sleep(299)
        assert names(source) == ["new"]
        assert not source.holds(old)


async def test_the_last_good_keys_serve_through_an_outage_up_to_their_greatest_age() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        (old,) = source.keys.keys
        fetch.answer = DOWN
        await asyncio.sleep(MAX_AGE_SECONDS - 1)
        assert names(source) == ["old"]
        assert source.holds(old)
        await asyncio.sleep(2)
        assert (names(source), source.holds(old), source.available) == ([], False, False)
        assert source.ready, "an outage of one issuer keeps nobody else out"
        fetch.answer = OLD
        await asyncio.sleep(31)
        assert source.holds(old)


async def test_an_issuer_that_is_down_at_the_start_leaves_the_gateway_unready_until_it_is_back() -> None:
    fetch = Scripted(DOWN)
    async with running(fetch) as source:
        await asyncio.sleep(60)
        assert (source.ready, source.available) == (False, False)
        fetch.answer = OLD
        await asyncio.sleep(6)
        assert (source.ready, names(source)) == (True, ["old"])


async def test_a_fetch_that_breaks_in_an_unforeseen_way_harms_neither_the_keys_nor_the_next_fetch() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        fetch.answer = RuntimeError("broken")
        await asyncio.sleep(299)
        assert names(source) == ["old"]
        fetch.answer = NEW
        await asyncio.sleep(31)
        assert names(source) == ["new"]


async def test_an_emptied_set_takes_all_keys_back_but_one_that_is_empty_from_the_start_is_none() -> None:
    fetch = Scripted(jwks())
    async with running(fetch) as source:
        assert not source.ready
        fetch.answer = OLD
        await asyncio.sleep(6)
        assert names(source) == ["old"]
        fetch.answer = jwks()
        await asyncio.sleep(299)
        assert (names(source), source.available) == ([], True)


async def test_an_unknown_key_is_asked_for_at_once() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        fetch.answer = NEW
        await source.wanted()
        assert names(source) == ["new"]
        assert now() < 1


async def test_unknown_keys_cause_one_fetch_in_thirty_seconds_however_many_there_are() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        for _ in range(200):
            await source.wanted()
            await asyncio.sleep(0.5)
        unasked = 1
        assert len(fetch.times) - unasked == 4
        assert all(later - earlier >= 29.9 for earlier, later in zip(fetch.times[1:], fetch.times[2:], strict=False))


async def test_many_who_miss_a_key_at_once_share_one_fetch() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        fetch.answer, fetch.seconds = NEW, 2.0
        seen: list[list[str | None]] = []

        async def ask() -> None:
            await source.wanted()
            seen.append(names(source))

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ask)
        assert seen == [["new"]] * 100
        assert len(fetch.times) == 2


async def test_who_misses_a_key_during_a_fetch_waits_for_that_one_and_asks_for_no_other() -> None:
    fetch = Scripted(seconds=2.0)
    async with running(fetch) as source:
        await source.wanted()
        assert names(source) == ["old"]
        await asyncio.sleep(100)
        assert len(fetch.times) == 1


async def test_who_goes_away_does_not_take_the_fetch_of_the_others_along() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        fetch.answer, fetch.seconds = NEW, 2.0
        with anyio.move_on_after(1):
            await source.wanted()
        await asyncio.sleep(2)
        assert names(source) == ["new"]


async def test_waiting_for_a_key_is_bounded_even_if_no_fetch_ever_ends() -> None:
    fetch = Scripted()
    async with running(fetch) as source:
        fetch.seconds = 10_000
        began = now()
        await source.wanted()
        assert now() - began < 10


async def test_a_new_config_goes_on_with_the_keys_and_the_times_of_the_one_before() -> None:
    fetch = Scripted()
    async with running(fetch) as former:
        later = JwksUrl("https://idp", ALGORITHMS, fetch, now)
        later.inherit(former)
        assert later.ready
        assert names(later) == ["old"]
        async with anyio.create_task_group() as group:
            group.start_soon(later.run)
            await turns()
            assert len(fetch.times) == 1
            group.cancel_scope.cancel()


async def test_keys_of_the_config_never_change() -> None:
    keys = read_jwks(OLD, ALGORITHMS)
    assert isinstance(keys, KeySet)
    source = StaticKeys(keys)
    await source.wanted()
    await source.run()
    assert (source.ready, source.available, source.holds(keys.keys[0])) == (True, True, True)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"keys": {}}', b'{"keys": null}', b"{}", b'{"keys": [NaN]}', b"[" * 900 + b"]" * 900],
)
def test_what_is_no_key_set_is_an_outage(body: bytes) -> None:
    assert isinstance(read_jwks(body, ALGORITHMS), NotFetched)


def test_a_key_set_that_nests_too_deep_is_an_outage() -> None:
    deep: Callable[[int], object] = lambda level: {"a": deep(level - 1)} if level else 1  # noqa: E731
    assert isinstance(read_jwks(json.dumps({"keys": [deep(40)]}).encode(), ALGORITHMS), NotFetched)
