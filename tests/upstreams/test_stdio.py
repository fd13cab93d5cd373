import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.clock import real_time, until  # noqa: F401
from tests.fixtures.fakes import Surroundings, entry
from upstreams.connection import Call
from upstreams.errors import ConnectionLost
from upstreams.stdio import StdioConnection

pytestmark = pytest.mark.anyio

CHILD = """
import json, os, sys
print("ready", file=sys.stderr, flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method = message["method"]
    if method == "die":
        sys.exit(3)
    if method == "noise":
        print("hello, I am no JSON", flush=True)
    result = {"env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv[1:], "params": message.get("params")}
    if "id" in message and method != "hang":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    else:
        print(json.dumps({"jsonrpc": "2.0", "method": "saw", "params": message}), flush=True)
"""


@asynccontextmanager
async def child(max_message: int = 2**20, **keys: Any) -> AsyncIterator[tuple[StdioConnection, Surroundings]]:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        around = Surroundings(group, max_message)
        one = entry(command=sys.executable, args=["-c", CHILD, "argument"], **keys)
        connection = await StdioConnection.start(one, around.wiring)
        try:
            yield connection, around
        finally:
            await connection.close()


async def test_requests_and_notifications_travel_as_lines(tmp_path: Path) -> None:
    async with child(cwd=str(tmp_path)) as (connection, around):
        result = await connection.request(Call("m", {"text": "a\nb ü"}))
        assert (result["params"], result["argv"]) == ({"text": "a\nb ü"}, ["argument"])
        assert Path(result["cwd"]).name == tmp_path.name
        await connection.notify("n", {"x": 1}, {})
        await until(lambda: around.notices)
        assert around.notices[0][1]["method"] == "n"
        assert connection.stderr_tail() == ["ready"]


async def test_the_child_sees_only_what_its_entry_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", "sesame")
    monkeypatch.setenv("PASSED", "yes")
    async with child(env={"LOG": "1"}, env_pass=["PASSED"]) as (connection, _):
        seen = (await connection.request(Call("m", {})))["env"]
        assert (seen["LOG"], seen["PASSED"]) == ("1", "yes")
        assert "sesame" not in str(seen)


async def test_lines_that_are_no_messages_do_no_harm() -> None:
    async with child() as (connection, around):
        assert (await connection.request(Call("noise", {})))["argv"] == ["argument"]
        assert around.lost == []


async def test_a_child_that_dies_fails_its_calls_at_once() -> None:
    async with child() as (connection, around):
        hanging = asyncio.ensure_future(connection.request(Call("hang", {})))
        await until(lambda: around.notices)
        with pytest.raises(ConnectionLost, match="3"):
            await connection.request(Call("die", {}))
        with pytest.raises(ConnectionLost, match="3"):
            await hanging
        assert len(around.lost) == 1


async def test_a_cancelled_call_is_cancelled_at_the_child() -> None:
    async with child() as (connection, around):
        call = asyncio.ensure_future(connection.request(Call("hang", {})))
        await until(lambda: around.notices)
        call.cancel()
        await until(lambda: len(around.notices) == 2)
        assert around.notices[1][1]["method"] == "notifications/cancelled"


async def test_an_answer_over_the_limit_is_dropped_and_the_next_one_read() -> None:
    async with child(20_000) as (connection, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await connection.request(Call("m", {"x": "x" * 30_000}))
        assert (await connection.request(Call("m", {})))["params"] == {}


async def test_a_command_that_is_not_there_is_named() -> None:
    async with asyncio.TaskGroup() as group:
        with pytest.raises(ConnectionLost, match="command not found: no-such-program"):
            await StdioConnection.start(entry(command="no-such-program"), Surroundings(group).wiring)


@pytest.mark.parametrize("end", ["close", "kill"])
async def test_an_end_leaves_no_process_behind(end: str) -> None:
    async with child() as (connection, around):
        pid = connection.pid
        assert pid is not None
        if end == "close":
            await connection.close()
        else:
            connection.kill()
            await until(lambda: around.lost)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
