"""What happens during a call: progress, log messages, cancellation; each reaches the call that it belongs to."""

from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client

from tests.fixtures.interaction_stage import SERVERS, Caller, Ear, Pair, Place

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")]

LOG_LEVEL = "io.modelcontextprotocol/logLevel"
LEVELS = ["debug", "info", "warning", "error"]  # what the tool logs, one message each


class Progress:
    """Takes the progress of one call."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float | None, str | None]] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.seen.append((progress, total, message))


def steps(tag: str) -> list[tuple[float, float, str]]:
    return [(number, 3, f"{tag} {number}") for number in (1, 2, 3)]


async def test_progress_arrives_in_order_at_the_call_that_makes_it(caller: Caller) -> None:
    progress = Progress()
    await caller.call("work", {"tag": "alone"}, progress_callback=progress)
    assert progress.seen == steps("alone")


async def test_the_progress_of_parallel_calls_does_not_mix(caller: Caller) -> None:
    made = {tag: Progress() for tag in (f"{caller.pair} left", f"{caller.pair} right")}
    left, right = made
    async with anyio.create_task_group() as group:
        for tag, partner in ((left, right), (right, left)):
            work = {"tag": tag, "partner": partner}
            group.start_soon(lambda work=work, tag=tag: caller.call("work", work, progress_callback=made[tag]))
    assert {tag: progress.seen for tag, progress in made.items()} == {left: steps(left), right: steps(right)}


async def log(caller: Caller, message: str, level: types.LoggingLevel) -> None:
    """Have the server log once on every level, as a client that wants ``level`` and more."""
    meta: Any = None
    if caller.pair.era == "modern":
        meta = {LOG_LEVEL: level}
    else:
        await caller.client.set_logging_level(level)
    await caller.call("log", {"message": message}, meta=meta)


@pytest.mark.parametrize("lowest", LEVELS)
async def test_log_messages_from_the_clients_level_on_arrive(caller: Caller, lowest: types.LoggingLevel) -> None:
    expected = LEVELS[LEVELS.index(lowest) :]
    await log(caller, "to you", lowest)
    await caller.ear.until(lambda: len(caller.ear.logs) >= len(expected))
    assert [one.level for one in caller.ear.logs] == expected
    assert {(one.logger, str(one.data)) for one in caller.ear.logs} == {("interaction", "{'message': 'to you'}")}


@pytest.mark.parametrize("server", SERVERS)
async def test_a_client_that_wants_few_log_messages_does_not_silence_another(
    clients: dict[Place, tuple[Client, Ear]], server: str
) -> None:
    quiet = Caller(Pair("legacy", "http", server), *clients["legacy", server])
    talkative = Caller(Pair("modern", "http", server), *clients["modern", server])
    await log(quiet, "for the quiet one", "error")
    talkative.ear.forget()
    await log(talkative, "for the other", "debug")
    await talkative.ear.until(lambda: len(talkative.ear.logs) >= len(LEVELS))
    assert [one.level for one in talkative.ear.logs] == LEVELS


@pytest.mark.parametrize("server", SERVERS)
async def test_nobody_hears_the_log_messages_of_another_clients_call(
    clients: dict[Place, tuple[Client, Ear]], server: str
) -> None:
    callers = [Caller(Pair(era, "http", server), *clients[era, server]) for era in ("legacy", "modern")]
    for caller in callers:
        caller.ear.forget()
    async with anyio.create_task_group() as group:
        for caller in callers:
            group.start_soon(log, caller, caller.pair.era, "debug")
    for caller in callers:
        assert {str(one.data) for one in caller.ear.logs} <= {f"{{'message': '{caller.pair.era}'}}"}


async def test_a_call_that_its_client_cancels_is_cancelled_at_the_server(caller: Caller) -> None:
    key = f"{caller.pair} cancels"
    async with anyio.create_task_group() as group:
        group.start_soon(caller.call, "slow", {"key": key})
        await caller.call("until", {"event": f"started {key}"})
        group.cancel_scope.cancel()
    await caller.call("until", {"event": f"cancelled {key}"})


async def test_cancelling_one_call_leaves_the_others_alone(caller: Caller) -> None:
    key, tag, partner = (f"{caller.pair} {part}" for part in ("goes", "stays", "comes"))
    done = Progress()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: caller.call("work", {"tag": tag, "partner": partner}, progress_callback=done))
        async with anyio.create_task_group() as doomed:
            doomed.start_soon(caller.call, "slow", {"key": key})
            await caller.call("until", {"event": f"started {key}"})
            doomed.cancel_scope.cancel()
        await caller.call("until", {"event": f"cancelled {key}"})
        await caller.call("work", {"tag": partner})
    assert done.seen == steps(tag)
