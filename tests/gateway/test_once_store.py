"""What is kept of calls with idempotency keys: for how long, how much, and at whose cost."""

import random
from dataclasses import replace

import pytest

from gateway.once_store import BOUNDS, Bounds, Part, Store

ME, YOU, THEM = b"me", b"you", b"them"
BODY, CALL = b"body", b"call"
SMALL = Bounds(bytes=1_000, own_bytes=400, calls=20, own_calls=8, own_running=3)


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Shelf:
    """A small store, and short words for what is done with it."""

    def __init__(self, bounds: Bounds = SMALL) -> None:
        self.clock = Clock()
        self.store = Store(bounds, self.clock)

    def begin(self, owner: bytes, key: str, index: int = 0) -> Part | None:
        return self.store.begin(owner, (b"scope", key), BODY, index, CALL)

    def finish(self, owner: bytes, key: str, part: Part, data: bytes | None) -> None:
        self.store.finish(owner, (b"scope", key), part, data)

    def keep(self, owner: bytes, key: str, size: int | None = 10) -> None:
        part = self.begin(owner, key)
        assert part is not None
        self.finish(owner, key, part, None if size is None else b"x" * size)

    def drop(self, owner: bytes, key: str, index: int = 0) -> None:
        self.store.drop(owner, (b"scope", key), index)

    def sizes(self, owner: bytes, *keys: str) -> list[int | None]:
        """The answers' bytes; 0 for a key of which only is known that it was used, None for one that is not known."""
        found = [self.store.find(owner, (b"scope", key)) for key in keys]
        return [None if one is None else one.size for one in found]


def test_a_call_is_known_while_it_runs_and_its_answer_afterwards() -> None:
    shelf = Shelf()
    part = shelf.begin(ME, "a")
    assert part is not None
    known = shelf.store.find(ME, (b"scope", "a"))
    assert known is not None
    assert (known.digest, known.parts[0], known.runs) == (BODY, part, True)
    shelf.finish(ME, "a", part, b"answer")
    assert (part.digest, part.data, known.runs) == (CALL, b"answer", False)


def test_a_key_is_its_owners_and_its_scopes() -> None:
    shelf = Shelf()
    shelf.keep(ME, "a")
    assert shelf.sizes(ME, "a") == [10]
    assert shelf.sizes(YOU, "a") == [None]
    assert shelf.store.find(ME, (b"other", "a")) is None


@pytest.mark.parametrize("size", [10, None])
def test_a_key_is_forgotten_ten_minutes_after_its_call_has_ended(size: int | None) -> None:
    shelf = Shelf(BOUNDS)
    part = shelf.begin(ME, "a")
    shelf.clock.now += 5_000
    assert part is not None
    assert shelf.sizes(ME, "a") == [0]
    shelf.finish(ME, "a", part, None if size is None else b"x" * size)
    shelf.clock.now += 599.9
    assert shelf.sizes(ME, "a") == [size or 0]
    shelf.clock.now += 0.1
    assert shelf.sizes(ME, "a") == [None]
    assert (shelf.store.bytes, shelf.store.calls, len(shelf.store)) == (0, 0, 0)


def test_what_is_too_old_goes_when_anybody_asks() -> None:
    shelf = Shelf()
    shelf.keep(ME, "a")
    shelf.keep(YOU, "b")
    shelf.clock.now += 300
    shelf.keep(THEM, "c")
    shelf.clock.now += 300
    assert shelf.sizes(b"nobody", "x") == [None]
    assert (len(shelf.store), shelf.store.bytes, shelf.store.calls) == (1, 10, 1)


def test_a_call_that_is_dropped_was_never_made() -> None:
    shelf = Shelf()
    shelf.begin(ME, "a")
    shelf.drop(ME, "a")
    assert shelf.sizes(ME, "a") == [None]
    assert (shelf.store.calls, len(shelf.store)) == (0, 0)


def test_calls_of_one_body_share_the_key_and_end_each_by_itself() -> None:
    shelf = Shelf()
    first, second, third = (shelf.begin(ME, "a", index) for index in range(3))
    assert first is not None
    assert third is not None
    shelf.finish(ME, "a", first, b"1")
    shelf.drop(ME, "a", 1)
    known = shelf.store.find(ME, (b"scope", "a"))
    assert known is not None
    assert (known.runs, known.parts) == (True, {0: first, 2: third})
    shelf.clock.now += 5_000  # what has ended stays with what runs
    assert shelf.store.find(ME, (b"scope", "a")) is known
    shelf.finish(ME, "a", third, b"3")
    again = shelf.begin(ME, "a", 1)
    assert again is not second
    assert again is not None
    assert (known.runs, first.data) == (True, b"1")
    shelf.finish(ME, "a", again, b"2")
    assert shelf.sizes(ME, "a") == [3]


def test_one_identity_has_so_many_calls_running_and_no_more() -> None:
    shelf = Shelf()
    parts = [shelf.begin(ME, key) for key in "abc"]
    assert None not in parts
    assert shelf.begin(ME, "d") is None
    assert shelf.begin(YOU, "d") is not None
    shelf.drop(ME, "a")
    assert shelf.begin(ME, "d") is not None


def test_an_answer_over_the_budget_leaves_a_mark() -> None:
    shelf = Shelf()
    shelf.keep(ME, "a", 100)
    shelf.keep(ME, "big", 401)
    assert shelf.sizes(ME, "a", "big") == [100, 0]


def test_the_own_oldest_answers_become_marks_when_an_identity_has_too_many_bytes() -> None:
    shelf = Shelf()
    for key in "abcd":
        shelf.keep(ME, key, 150)
    assert shelf.sizes(ME, *"abcd") == [0, 0, 150, 150]
    assert (shelf.store.bytes, shelf.store.calls) == (300, 4)


def test_the_own_oldest_keys_are_forgotten_when_an_identity_has_too_many() -> None:
    shelf = Shelf()
    for key in "abcdefghij":
        shelf.keep(ME, key)
    assert shelf.sizes(ME, *"abcj") == [None, None, 10, 10]
    assert (shelf.store.bytes, shelf.store.calls) == (80, 8)


def test_who_holds_most_pays_when_all_together_hold_too_much() -> None:
    shelf = Shelf()
    shelf.keep(YOU, "mine", 50)
    for number in range(4):
        for owner in (ME, THEM, b"more"):
            shelf.keep(owner, str(number), 100)
    assert shelf.store.bytes <= 1_000
    assert shelf.sizes(YOU, "mine") == [50]
    assert shelf.sizes(ME, "3") == shelf.sizes(THEM, "3") == [100]


def test_who_has_most_keys_pays_when_there_are_too_many() -> None:
    shelf = Shelf()
    shelf.keep(YOU, "mine", None)
    for number in range(8):
        for owner in (ME, THEM, b"more"):
            shelf.keep(owner, str(number), None)
    assert shelf.store.calls == 20
    assert shelf.sizes(YOU, "mine") == [0]


def test_who_has_no_key_left_takes_no_place() -> None:
    shelf = Shelf()
    for number in range(3 * SMALL.calls):
        shelf.keep(b"%d" % number, "a")
    assert (shelf.store.calls, len(shelf.store)) == (SMALL.calls, SMALL.calls)


def test_what_has_just_ended_may_be_what_is_forgotten() -> None:
    shelf = Shelf(replace(SMALL, calls=2, bytes=10))
    mine = [shelf.begin(ME, "a", index) for index in range(3)]
    theirs = shelf.begin(YOU, "b"), shelf.begin(YOU, "b", 1)  # while they run, they cannot go
    assert theirs[0] is not None
    shelf.finish(YOU, "b", theirs[0], b"x" * 10)
    for part in mine:
        assert part is not None
        shelf.finish(ME, "a", part, b"x")
    assert shelf.sizes(ME, "a") == [None]
    assert (shelf.store.bytes, shelf.store.calls, len(shelf.store)) == (10, 2, 1)


def test_answers_of_a_key_that_still_runs_are_within_the_budget_too() -> None:
    shelf = Shelf()
    parts = [shelf.begin(ME, "a", index) for index in range(3)]
    for part in parts[:2]:
        assert part is not None
        shelf.finish(ME, "a", part, b"x" * 250)
    assert shelf.sizes(ME, "a") == [250]
    assert shelf.store.bytes == 250


def test_whatever_is_done_what_is_counted_is_what_is_there() -> None:
    """Also a model of the bounds: they hold after every step."""
    draw = random.Random(7)
    shelf = Shelf(replace(SMALL, seconds=50.0))
    running: list[tuple[bytes, str, int, Part]] = []
    for _ in range(5_000):
        owner, key, index = draw.choice([ME, YOU, THEM]), draw.choice("abcdefgh"), draw.randrange(2)
        known = shelf.store.find(owner, (b"scope", key))
        act = draw.random()
        if act < 0.5 and (known is None or index not in known.parts):
            part = shelf.begin(owner, key, index)
            if part is not None:
                running.append((owner, key, index, part))
        elif running:
            owner, key, index, part = running.pop(draw.randrange(len(running)))
            if act < 0.6:
                shelf.drop(owner, key, index)
            else:
                shelf.finish(owner, key, part, draw.choice([None, b"x" * draw.randrange(500)]))
        shelf.clock.now += draw.random()
        owners = shelf.store._owners.values()
        for one in owners:
            keys = [*one.running.values(), *one.ended.values()]
            assert one.bytes == sum(keyed.size for keyed in keys) <= SMALL.own_bytes
            assert one.calls == sum(len(keyed.parts) for keyed in keys) <= SMALL.own_calls
            assert one.calls_running == sum(part.running for keyed in keys for part in keyed.parts.values()) <= 3
            assert not any(keyed.runs for keyed in one.ended.values())
            assert all(keyed.runs for keyed in one.running.values())
            assert {name for name, keyed in one.ended.items() if keyed.size} == set(one.answered)
        assert shelf.store.bytes == sum(one.bytes for one in owners) <= SMALL.bytes
        assert shelf.store.calls == sum(one.calls for one in owners) <= SMALL.calls
