"""Servers that ask the client in the middle of a call, where both are of one era."""

import json

import mcp_types as types
import pytest

from tests.fixtures.interaction_stage import ONE_ERA, Caller

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("pair", ONE_ERA, ids=str, indirect=True)]


async def answers(caller: Caller, what: str) -> dict[str, object]:
    result = await caller.call("ask", {"what": what})
    given: dict[str, object] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    return given


async def test_a_user_is_asked_by_form_and_the_answer_reaches_the_server(caller: Caller) -> None:
    given = await answers(caller, "elicitation")
    assert given == {"elicitation": {"action": "accept", "content": {"name": "Ada"}}}
    [asked] = caller.ear.asked
    assert asked.message == "Your name?"
    assert asked.requested_schema["required"] == ["name"]


async def test_a_user_who_declines_is_heard(caller: Caller) -> None:
    caller.ear.answer = types.ElicitResult(action="decline")
    assert await answers(caller, "elicitation") == {"elicitation": {"action": "decline"}}


async def test_the_clients_model_is_asked_and_its_answer_reaches_the_server(caller: Caller) -> None:
    given = await answers(caller, "sampling")
    assert given["sampling"] == {
        "role": "assistant",
        "content": {"type": "text", "text": "Hello"},
        "model": "a-model",
        "stopReason": "endTurn",
    }
    [asked] = caller.ear.asked
    assert asked.messages[0].content.text == "Say hello"


async def test_the_clients_roots_reach_the_server(caller: Caller) -> None:
    given = await answers(caller, "roots")
    assert given == {"roots": {"roots": [{"uri": "file:///home/ada", "name": "home"}]}}


async def test_questions_come_in_rounds_and_no_answer_is_lost(caller: Caller) -> None:
    given = await answers(caller, "elicitation sampling roots")
    assert sorted(given) == ["elicitation", "roots", "sampling"]
    assert len(caller.ear.asked) == 3
