"""Calls of one array that wait for a place: who may not get in any more by then does not get one."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gateway.api_keys import new_key
from gateway.config import load
from tests.fixtures.gate import JWT, entry
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import WAIT_SECONDS, LiveGateway, Message, live_gateway
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream
from tests.fixtures.tool_api import as_told, execute, item, output
from tests.fixtures.waiting import until

TOGETHER = 16  # calls of one array that run at once
CALLS = [item("up_wait", call_id=str(at)) for at in range(20)]
KEY, ENTRY = new_key("ci")
LIFE_SECONDS = 1.0  # of a token: the first calls have begun by then
KEYED = {"x-api-key": KEY}


def in_the_middle(live: LiveGateway, up: RawUpstream, who: Message, happens: Callable[[], None]) -> list[Message]:
    """What an array is answered when something happens while its last calls wait."""
    up.release.clear()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(execute, live, CALLS, "", who)
        until(lambda: len(up.calls_seen()) == TOGETHER, "as many as run at once")
        happens()
        up.release.set()
        answers: list[Message] = answer.result(WAIT_SECONDS).json
        return answers


def gone(call_id: int, message: str) -> Message:
    error = {"type": "authentication_error", "message": message}
    return {"tool_call_id": str(call_id), "error": error}


def reload(live: LiveGateway, folder: Path, config: Message) -> None:
    file = folder / "next.yaml"
    file.write_text(json.dumps(config))
    new, done = load(file, {}), Future[None]()
    live.loop.call_soon_threadsafe(lambda: done.set_result(live.gateway.reload(new)))
    done.result(WAIT_SECONDS)


def test_a_key_that_a_reload_takes_away_makes_none_of_the_calls_that_wait(tmp_path: Path) -> None:
    with raw_upstream("legacy") as up:
        as_told(up)
        before = {"mcpServers": {"up": {"url": up.url}}, "auth": {"jwt": [JWT], "api_keys": [entry(ENTRY)]}}
        after = {**before, "auth": {"jwt": [JWT]}}
        with live_gateway(tmp_path, before) as live:
            answers = in_the_middle(live, up, KEYED, lambda: reload(live, tmp_path, after))
            assert answers[:TOGETHER] == [output("", call_id=str(at)) for at in range(TOGETHER)]
            assert answers[TOGETHER:] == [gone(at, "The API key is not valid") for at in range(TOGETHER, 20)]
            assert len(up.calls_seen()) == TOGETHER


def test_a_reload_that_leaves_the_caller_in_lets_all_calls_run(tmp_path: Path) -> None:
    with raw_upstream("legacy") as up:
        as_told(up)
        before = {"mcpServers": {"up": {"url": up.url}}, "auth": {"jwt": [JWT], "api_keys": [entry(ENTRY)]}}
        after = {**before, "policy": {"allow": ["true"]}}
        with live_gateway(tmp_path, before) as live:
            who = {**KEYED, "x-idempotency-key": "turn-1"}
            answers = in_the_middle(live, up, who, lambda: reload(live, tmp_path, after))
            assert answers == [output("", call_id=str(at)) for at in range(20)]
            assert execute(live, CALLS, "", who).json == answers
            assert len(up.calls_seen()) == 20


def test_a_token_that_ends_makes_none_of_the_calls_that_wait(tmp_path: Path) -> None:
    with raw_upstream("legacy") as up:
        as_told(up)
        with live_gateway(tmp_path, {"mcpServers": {"up": {"url": up.url}}, "auth": {"jwt": [JWT]}}) as live:
            ends = time.time() + LIFE_SECONDS
            who = signed("admin", "short", exp=ends)
            answers = in_the_middle(live, up, who, lambda: until(lambda: time.time() >= ends, "it ends") and None)
            assert answers[:TOGETHER] == [output("", call_id=str(at)) for at in range(TOGETHER)]
            assert answers[TOGETHER:] == [gone(at, "The token has expired") for at in range(TOGETHER, 20)]
            assert len(up.calls_seen()) == TOGETHER
