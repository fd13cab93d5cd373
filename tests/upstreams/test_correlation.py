import asyncio
from typing import Any

import pytest

from tests.fixtures.clock import fake_time, turns  # noqa: F401
from tests.fixtures.fakes import FakeChannel
from upstreams.channel import NO_CHANNEL
from upstreams.connection import Call
from upstreams.correlation import Correlator, answer, reply_outcome
from upstreams.errors import ConnectionLost, ErrorReply

pytestmark = pytest.mark.anyio


def call(channel: Any = NO_CHANNEL, **params: Any) -> Call:
    return Call("tools/call", params, channel=channel)


async def test_every_call_gets_an_id_of_its_own_and_ids_are_never_used_again() -> None:
    calls = Correlator()
    first, second = call(), call(name="x")
    calls.begin(first)
    calls.end(first)
    message = calls.begin(second)
    assert first.id != second.id
    assert message == {"jsonrpc": "2.0", "id": second.id, "method": "tools/call", "params": {"name": "x"}}


def begin(calls: Correlator, channel: Any = NO_CHANNEL) -> Call:
    """As a pipe does it, on which replies come in any order."""
    begun = call(channel)
    begun.reply = asyncio.get_running_loop().create_future()
    calls.begin(begun)
    return begun


def future(begun: Call) -> "asyncio.Future[dict[str, Any]]":
    assert begun.reply is not None
    return begun.reply


async def test_replies_find_their_calls_in_any_order() -> None:
    calls = Correlator()
    one, two = begin(calls), begin(calls)
    assert calls.settle({"id": two.id, "result": {"n": 2}})
    assert calls.settle({"id": one.id, "result": {"n": 1}})
    assert (future(one).result(), future(two).result()) == ({"n": 1}, {"n": 2})


@pytest.mark.parametrize("reply_id", ["1", True, 1.0, None, 2, [1], {"a": 1}])
async def test_a_reply_whose_id_is_not_exactly_ours_is_dropped(reply_id: Any) -> None:
    calls = Correlator()
    begun = begin(calls)
    assert not calls.settle({"id": reply_id, "result": {}})
    assert (calls.unmatched, future(begun).done()) == (1, False)


async def test_repeated_and_late_replies_are_dropped() -> None:
    calls = Correlator()
    begun = begin(calls)
    assert calls.settle({"id": begun.id, "result": {"first": True}})
    assert not calls.settle({"id": begun.id, "result": {"second": True}})
    calls.end(begun)
    assert not calls.settle({"id": begun.id, "result": {"third": True}})
    assert (calls.unmatched, future(begun).result()) == (2, {"first": True})


async def test_the_clients_progress_token_is_replaced_and_comes_back_with_its_type() -> None:
    calls, channel, moved = Correlator(), FakeChannel(), list[int]()
    params = {"_meta": {"progressToken": "t", "vendor": 1}}
    begun = Call("m", params, channel=channel, progressed=lambda: moved.append(1))
    message = calls.begin(begun)
    assert message["params"]["_meta"] == {"progressToken": begun.id, "vendor": 1}
    assert params["_meta"]["progressToken"] == "t"
    assert calls.progress({"progressToken": begun.id, "progress": 1})
    assert channel.heard == [("notifications/progress", {"progressToken": "t", "progress": 1})]
    assert moved == [1]


@pytest.mark.parametrize("token", ["1", True, 1.0, None, 99])
async def test_progress_under_a_token_that_is_not_ours_reaches_nobody(token: Any) -> None:
    calls, channel = Correlator(), FakeChannel()
    calls.begin(call(channel, _meta={"progressToken": 1}))
    assert not calls.progress({"progressToken": token})
    assert channel.heard == []


async def test_progress_that_nobody_asked_for_is_kept_from_the_client() -> None:
    calls, channel = Correlator(), FakeChannel()
    begun = begin(calls, channel)
    calls.progress({"progressToken": begun.id})
    assert channel.heard == []


async def test_the_client_is_known_only_while_all_calls_are_of_one_client() -> None:
    calls, a, b = Correlator(), FakeChannel("a"), FakeChannel("b")
    assert calls.sole_channel() is NO_CHANNEL
    begin(calls)
    begin(calls, a)
    calls.begin(call(FakeChannel("a")))
    assert calls.sole_channel().client == "a"
    second = begin(calls, b)
    assert calls.sole_channel() is NO_CHANNEL
    calls.end(second)
    assert calls.sole_channel().client == "a"


async def test_a_question_gives_time_to_all_calls_of_that_client_only() -> None:
    calls, given = Correlator(), list[str]()
    for client in ("a", "a", "b"):
        calls.begin(Call("m", {}, channel=FakeChannel(client), asked=lambda client=client: given.append(client)))
    calls.asking(FakeChannel("a"))
    assert given == ["a", "a"]


async def test_a_lost_connection_fails_every_call_but_those_that_have_their_reply() -> None:
    calls = Correlator()
    one, two = begin(calls), begin(calls)
    calls.settle({"id": one.id, "result": {}})
    calls.fail_all("it died")
    assert future(one).result() == {}
    with pytest.raises(ConnectionLost, match="it died"):
        future(two).result()
    assert calls.sole_channel() is NO_CHANNEL


@pytest.mark.parametrize("message", [{}, {"result": []}, {"error": "no"}, {"error": {"code": True}}, {"error": {}}])
async def test_what_is_neither_result_nor_error_becomes_an_error(message: Any) -> None:
    outcome = reply_outcome(message)
    assert isinstance(outcome, ErrorReply)
    assert outcome.code == -32603


async def test_an_error_keeps_its_code_message_and_data() -> None:
    outcome = reply_outcome({"error": {"code": -5, "message": "m", "data": [1]}})
    assert isinstance(outcome, ErrorReply)
    assert (outcome.code, outcome.message, outcome.data) == (-5, "m", [1])


async def test_a_servers_questions_are_answered_by_the_client_and_pings_by_us() -> None:
    channel = FakeChannel(answer={"roots": []})
    question = {"id": "q", "method": "roots/list"}
    assert await answer(channel, question) == {"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}
    assert channel.asked == [("roots/list", {})]
    assert await answer(channel, {"id": 0, "method": "ping"}) == {"jsonrpc": "2.0", "id": 0, "result": {}}


async def test_questions_that_mcp_does_not_have_are_refused_without_the_client() -> None:
    channel = FakeChannel()
    reply = await answer(channel, {"id": 1, "method": "tools/list"})
    assert reply["error"]["code"] == -32601
    assert channel.asked == []


async def test_a_refusal_of_the_client_is_carried_to_the_server() -> None:
    reply = await answer(FakeChannel(answer=ErrorReply(-1, "no", {"a": 1})), {"id": 1, "method": "roots/list"})
    assert reply["error"] == {"code": -1, "message": "no", "data": {"a": 1}}


async def test_without_a_client_questions_are_refused() -> None:
    reply = await answer(NO_CHANNEL, {"id": 1, "method": "sampling/createMessage", "params": {}})
    assert reply["error"]["code"] == -32601
