"""Who must be alone is, and nobody waits for ever; each `Turns` stands for a process, as their locks are apart."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="where there is none, one process runs all tests")

from tests.fixtures.turns import Turns

SECONDS = 10.0
WAITS_SECONDS = 0.05  # a wait that is not one would be over at once


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[Turns]]:
    found = [Turns(tmp_path) for _ in range(3)]
    yield found
    for one in found:
        one.close()


def waits(turn: "Future[None]") -> bool:
    return not wait([turn], WAITS_SECONDS).done


def test_many_are_beside_each_other(processes: list[Turns]) -> None:
    for one in processes:
        one.beside_others()


@pytest.mark.parametrize("how", [Turns.alone, Turns.beside_others])
def test_nobody_enters_while_one_is_alone(
    how: Callable[[Turns], None], processes: list[Turns], pool: ThreadPoolExecutor
) -> None:
    alone, other, _ = processes
    alone.alone()
    turn = pool.submit(how, other)
    assert waits(turn)
    alone.alone()  # goes on
    assert waits(turn)
    alone.leave()
    turn.result(SECONDS)


def test_who_wants_to_be_alone_waits_for_those_inside_and_no_newcomer_overtakes(
    processes: list[Turns], pool: ThreadPoolExecutor
) -> None:
    inside, alone, newcomer = processes
    inside.beside_others()
    turn = pool.submit(alone.alone)
    assert waits(turn)
    late = pool.submit(newcomer.beside_others)
    assert waits(late)
    inside.leave()
    turn.result(SECONDS)
    assert waits(late)
    alone.leave()
    late.result(SECONDS)


def test_what_a_process_held_when_it_ended_is_free(processes: list[Turns], pool: ThreadPoolExecutor) -> None:
    ended, other, _ = processes
    ended.alone()
    ended.close()
    pool.submit(other.alone).result(SECONDS)
