"""Lists that change and resources that are updated while clients are connected."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.client.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    Subscription,
    ToolsListChanged,
)

from tests.fixtures.gateways import post
from tests.fixtures.interaction_stage import CHANGE_SECONDS, PAIRS, SECONDS, Caller
from tests.fixtures.waiting import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

# what a list is called here → what tells of its change, to a session and to a listener
LISTS: dict[str, tuple[type[Any], type[Any]]] = {
    "tools": (types.ToolListChangedNotification, ToolsListChanged),
    "prompts": (types.PromptListChangedNotification, PromptsListChanged),
    "resources": (types.ResourceListChangedNotification, ResourcesListChanged),
}

MODERN_CLIENTS = [pair for pair in PAIRS if pair.era == "modern"]
BOTH_MODERN = [pair for pair in MODERN_CLIENTS if pair.face == "modern"]


@pytest.fixture(scope="module", autouse=True)
def _lists_as_they_were(gateway: str) -> Iterator[None]:
    """One process is behind several servers: what a client changes reaches other lists than its own, and later."""

    def lists() -> list[Any]:
        return [post(gateway, f"{kind}/list", {})[2]["result"][kind] for kind in LISTS]

    before = lists()
    yield
    until(lambda: lists() == before, "the lists are as they were")


@asynccontextmanager
async def listening(caller: Caller, *uris: str) -> AsyncIterator[None]:
    """Let the client hear of changes in the way of its era; what it hears is among the ear's notices."""
    if caller.pair.era == "legacy":
        for uri in uris:
            await caller.client.subscribe_resource(uri)
        yield
        for uri in uris:
            await caller.client.unsubscribe_resource(uri)
        return
    lists = {} if uris else {f"{kind}_list_changed": True for kind in LISTS}
    with anyio.fail_after(SECONDS):
        stream = caller.client.listen(**lists, resource_subscriptions=uris)
        subscription = await stream.__aenter__()
    async with anyio.create_task_group() as group:
        group.start_soon(_hear, caller, subscription)
        yield
        group.cancel_scope.cancel()
    await stream.__aexit__(None, None, None)


async def _hear(caller: Caller, subscription: Subscription) -> None:
    async for event in subscription:
        caller.ear.hear(event)


async def until_true(caller: Caller, kinds: tuple[type[Any], ...], holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, looking only when the client is told of a change."""
    looked = 0

    def told() -> int:
        return sum(isinstance(notice, kinds) for notice in caller.ear.notices)

    with anyio.fail_after(CHANGE_SECONDS):
        while True:
            await caller.ear.until(lambda looked=looked: told() > looked)
            looked = told()
            if await holds():
                return


async def test_a_changed_list_is_told_of_and_served(caller: Caller) -> None:
    added = str(caller.pair)
    shown = {"tools": caller.name(added), "prompts": caller.name(added), "resources": added}

    async def change_all(present: bool) -> None:
        caller.ear.forget()
        async with anyio.create_task_group() as group:
            for kind, told in LISTS.items():
                await caller.call("change", {"kind": kind, "name": added})
                group.start_soon(until_true, caller, told, lambda kind=kind: is_listed(kind, present))

    async def is_listed(kind: str, present: bool) -> bool:
        return (shown[kind] in [item.name for item in await caller.listed(kind)]) == present

    async with listening(caller):
        await change_all(present=True)
        result = await caller.call(added)
        assert result.content[0].text == f"I am {added}"  # type: ignore[union-attr]
        await change_all(present=False)


async def test_an_update_of_a_resource_reaches_the_client_that_wants_it(caller: Caller) -> None:
    uri = caller.uri("note://a")

    def told() -> bool:
        return any(_updated(notice) == uri for notice in caller.ear.notices)

    async with listening(caller, uri):
        await caller.call("update", {"uri": "note://a"})
        await caller.ear.until(told, CHANGE_SECONDS)
        assert all(_updated(notice) in (uri, None) for notice in caller.ear.notices)


@pytest.mark.parametrize("pair", MODERN_CLIENTS, ids=str, indirect=True)
async def test_what_is_acknowledged_is_listened_to_already(caller: Caller) -> None:
    for own in ["note://a", "note://b", "note://c"] * 2:
        with anyio.fail_after(CHANGE_SECONDS):
            async with caller.client.listen(resource_subscriptions=[caller.uri(own)]) as subscription:
                await caller.call("update", {"uri": own})
                assert await anext(aiter(subscription)) == ResourceUpdated(caller.uri(own))


@pytest.mark.parametrize("pair", BOTH_MODERN, ids=str, indirect=True)
async def test_no_change_is_missed_while_another_subscription_comes_and_goes(caller: Caller) -> None:
    uri, added = caller.uri("note://c"), [f"{caller.pair} {number}" for number in range(3)]

    async def come_and_go() -> None:
        async with caller.client.listen(resource_subscriptions=[caller.uri("note://a")]):
            pass

    for name in added:
        expected: set[object] = {ResourceUpdated(uri), ToolsListChanged()}
        async with (
            caller.client.listen(tools_list_changed=True, resource_subscriptions=[uri]) as subscription,
            anyio.create_task_group() as group,
        ):
            group.start_soon(come_and_go)
            group.start_soon(caller.call, "change", {"kind": "tools", "name": name})
            group.start_soon(caller.call, "update", {"uri": "note://c"})
            with anyio.fail_after(CHANGE_SECONDS):
                while expected:
                    expected.discard(await anext(aiter(subscription)))
    for name in added:
        await caller.call("change", {"kind": "tools", "name": name})


def _updated(notice: Any) -> str | None:
    if isinstance(notice, types.ResourceUpdatedNotification):
        return str(notice.params.uri)
    return str(notice.uri) if isinstance(notice, ResourceUpdated) else None
