"""One gateway over HTTP and two over stdio, each before all servers, shared by every test; clients come and go."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from tests.fixtures.gateways import until_ready
from tests.fixtures.interaction_stage import (
    MODES,
    PAIRS,
    PIPE,
    ROOT,
    SERVER,
    SERVERS,
    Caller,
    Ear,
    Pair,
    Place,
    entries,
)
from tests.fixtures.processes import running

ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.05


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """One event loop for all of this directory, so that clients outlive a test; other tests want their own."""
    return "asyncio"


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the gateways of this run keep their config and state."""
    return tmp_path_factory.mktemp("interaction")


@pytest.fixture(scope="package")
def environment(home: Path) -> dict[str, str]:
    """The gateways' environment: their keys belong to this run, not to the user's state directory."""
    return {**os.environ, "XDG_STATE_HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="package")
def config(home: Path) -> Iterator[Path]:
    """The config before all servers, those over HTTP running."""
    with running([sys.executable, SERVER, "http"], r"(?P<origin>http://127\.0\.0\.1:\d+)") as server:
        file = home / "onegate.json"
        file.write_text(json.dumps({"mcpServers": entries(server.match["origin"]), "server": {}}))
        yield file


@pytest.fixture(scope="package")
def gateway(config: Path, environment: dict[str, str]) -> Iterator[str]:
    """The URL of the door to everything."""
    argv = [sys.executable, "-m", "gateway.cli", "serve", "-c", config, "--port", "0"]
    with running(argv, r"(?P<url>http://127\.0\.0\.1:\d+/mcp)", env=environment, cwd=ROOT) as process:
        until_ready(process.match["url"])
        yield process.match["url"]


@pytest.fixture(scope="package")
async def clients(
    gateway: str, config: Path, environment: dict[str, str], anyio_backend: str
) -> AsyncIterator[dict[Place, tuple[Client, Ear]]]:
    """Era and door → a client: one on each server's door, and one with a gateway of its own on a pipe."""
    arguments = ["-m", "gateway.cli", "stdio", "-c", str(config)]
    pipe = StdioServerParameters(command=sys.executable, args=arguments, cwd=ROOT, env=environment)
    doors = {PIPE: pipe, **{name: f"{gateway}/{name}" for name in SERVERS}}
    async with AsyncExitStack() as stack:
        found = {}
        for era, mode in MODES.items():
            for door, where in doors.items():
                ear = Ear()
                client = Client(where, mode=mode, read_timeout_seconds=ANSWER_SECONDS, **ear.callbacks())
                found[era, door] = (await stack.enter_async_context(client), ear)
            await _until_all_is_listed(Caller(Pair(era, "stdio", next(iter(SERVERS))), *found[era, PIPE]))
        yield found


async def _until_all_is_listed(caller: Caller) -> None:
    """A gateway on a pipe tells nobody that it is ready, and on a busy machine its first list may be too early."""
    expected = {f"{server}_echo" for server in SERVERS}
    with anyio.fail_after(ANSWER_SECONDS):
        while expected - {tool.name for tool in await caller.listed("tools")}:  # noqa: ASYNC110
            await anyio.sleep(POLL_SECONDS)


@pytest.fixture(params=PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Every client before every server; a test that holds for fewer parametrises this itself."""
    pair: Pair = request.param
    return pair


@pytest.fixture
def caller(pair: Pair, clients: dict[Place, tuple[Client, Ear]]) -> Caller:
    """The pair's client; what it was told before is forgotten."""
    client, ear = clients[pair.era, PIPE if pair.transport == "stdio" else pair.server]
    ear.forget()
    return Caller(pair, client, ear)
