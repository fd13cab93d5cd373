"""What each door shows: everything under prefixed names, or one server under its own; instructions under its name."""

import anyio
import pytest
from mcp import Client

from tests.fixtures.interaction_content import INSTRUCTIONS, RESOURCES, TOOLS
from tests.fixtures.interaction_stage import MODES, SECONDS, SERVERS, Ear, Pair, Place

pytestmark = pytest.mark.anyio


def instructions(*servers: str) -> str:
    return "\n\n".join(f"## {server}\n\n{INSTRUCTIONS}" for server in servers)


@pytest.mark.parametrize("mode", MODES.values())
async def test_the_door_to_everything_prefixes_every_name_in_the_configs_order(gateway: str, mode: str) -> None:
    with anyio.fail_after(SECONDS):
        async with Client(gateway, mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool("http-modern_echo", {"x": 1})
    assert names == [f"{server}_{tool['name']}" for server in SERVERS for tool in TOOLS]
    assert result.structured_content == {"given": {"x": 1}, "meta": {}}


@pytest.mark.parametrize("mode", MODES.values())
async def test_a_uri_that_many_servers_list_stays_the_first_ones_and_is_marked_for_the_others(
    gateway: str, mode: str
) -> None:
    first, *others = SERVERS
    own = [resource["uri"] for resource in RESOURCES]
    with anyio.fail_after(SECONDS):
        async with Client(gateway, mode=mode) as client:
            uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
    assert uris == [*own, *(f"{server}+{uri}" for server in others for uri in own)]
    assert first not in "".join(uris)


@pytest.mark.parametrize("mode", MODES.values())
async def test_the_instructions_of_all_servers_are_merged_under_their_names(gateway: str, mode: str) -> None:
    with anyio.fail_after(SECONDS):
        async with Client(gateway, mode=mode) as client:
            assert client.instructions == instructions(*SERVERS)


@pytest.mark.parametrize("era", MODES)
@pytest.mark.parametrize("server", SERVERS)
async def test_the_door_of_one_server_has_its_instructions_only(
    clients: dict[Place, tuple[Client, Ear]], era: str, server: str
) -> None:
    client, _ = clients[era, server]
    assert client.instructions == instructions(server)


async def test_a_client_that_asks_without_a_greeting_is_served(gateway: str) -> None:
    pair = Pair("modern", "http", "http-both")
    with anyio.fail_after(SECONDS):
        async with Client(f"{gateway}/{pair.server}", mode="2026-07-28") as client:
            result = await client.call_tool("echo", {"x": 1})
    assert result.structured_content == {"given": {"x": 1}, "meta": {}}
