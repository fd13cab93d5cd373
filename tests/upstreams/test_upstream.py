import asyncio
import json
from typing import Any

import pytest

from tests.fixtures.clock import fake_time, now, turns  # noqa: F401
from tests.fixtures.fakes import OWN_INFO, FakeChannel, FakeConnection, entry, ready, silence
from upstreams.connection import Call
from upstreams.errors import (
    ConnectionLost,
    ErrorReply,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from upstreams.listing import Listing
from upstreams.negotiation import Peer
from upstreams.states import State
from upstreams.upstream import Upstream

pytestmark = pytest.mark.anyio


async def test_a_call_times_out_and_is_cancelled_at_the_server() -> None:
    connection = FakeConnection(tools__call=silence)
    with pytest.raises(UpstreamTimeout, match="no answer within 5 s"):
        await ready(connection, timeout="5s").request("tools/call", {})
    assert (now(), connection.cancelled) == (5.0, ["tools/call"])


async def test_limits_of_the_call_come_before_those_of_the_server() -> None:
    with pytest.raises(UpstreamTimeout):
        await ready(FakeConnection(tools__call=silence)).request("tools/call", {}, limits=(2.0, 3.0))
    assert now() == 2.0


async def test_progress_extends_the_time_but_never_beyond_the_most() -> None:
    async def working(call: Call) -> Any:
        for _ in range(20):
            await asyncio.sleep(4)
            assert call.progressed is not None
            call.progressed()
        return {}

    with pytest.raises(UpstreamTimeout):
        await ready(FakeConnection(tools__call=working)).request("tools/call", {}, limits=(5.0, 18.0))
    assert now() == 18.0


async def test_a_call_that_stops_making_progress_times_out() -> None:
    async def stuck(call: Call) -> Any:
        await asyncio.sleep(4)
        assert call.progressed is not None
        call.progressed()
        await silence(call)

    with pytest.raises(UpstreamTimeout):
        await ready(FakeConnection(tools__call=stuck)).request("tools/call", {}, limits=(5.0, 100.0))
    assert now() == 9.0


async def test_a_question_to_a_person_gives_the_most_time_at_once() -> None:
    async def asking(call: Call) -> Any:
        assert call.asked is not None
        call.asked()
        await silence(call)

    with pytest.raises(UpstreamTimeout):
        await ready(FakeConnection(tools__call=asking)).request("tools/call", {}, limits=(5.0, 100.0))
    assert now() == 100.0


async def test_calls_over_the_concurrency_wait_and_those_over_the_queue_are_refused_at_once() -> None:
    connection = FakeConnection(tools__call=silence)
    upstream = ready(connection, concurrency=2, timeout="10s")
    calls = [asyncio.ensure_future(upstream.request("tools/call", {})) for _ in range(2 + 2 * 4)]
    await turns()
    assert len(connection.sent) == 2
    with pytest.raises(UpstreamBusy, match="too many"):
        await upstream.request("tools/call", {})
    assert now() == 0.0
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(one) for one in done} <= {UpstreamTimeout, UpstreamBusy}
    connection.answers["tools/call"] = {"ok": True}
    assert await upstream.request("tools/call", {}) == {"ok": True}


async def test_every_way_a_call_ends_gives_its_place_back() -> None:
    connection = FakeConnection()
    upstream = ready(connection, concurrency=1)
    for answer in (ErrorReply(1, "m"), ConnectionLost("gone"), RuntimeError("bug")):
        connection.answers["tools/call"] = answer
        with pytest.raises((ErrorReply, UpstreamUnavailable, RuntimeError)):
            await upstream.request("tools/call", {})
    connection.answers["tools/call"] = silence
    call = asyncio.ensure_future(upstream.request("tools/call", {}))
    await turns()
    call.cancel()
    await turns()
    connection.answers["tools/call"] = {"ok": True}
    assert await upstream.request("tools/call", {}) == {"ok": True}


@pytest.mark.parametrize("state", [state for state in State if state is not State.READY])
async def test_a_server_that_is_not_ready_fails_calls_at_once(state: State) -> None:
    connection = FakeConnection(tools__call={})
    upstream = ready(connection)
    upstream.state = state
    with pytest.raises(UpstreamUnavailable):
        await upstream.request("tools/call", {})
    assert connection.sent == []


async def test_a_call_that_waited_goes_to_the_connection_there_is_when_its_turn_comes() -> None:
    old, new = FakeConnection(tools__call=silence), FakeConnection(tools__call={"from": "new"})
    upstream = ready(old, concurrency=1)
    first, second = (asyncio.ensure_future(upstream.request("tools/call", {})) for _ in range(2))
    await turns()
    upstream.peers["legacy"].connection = new
    first.cancel()
    assert await second == {"from": "new"}


async def test_a_lost_connection_is_named_with_its_reason_and_errors_pass_as_they_are() -> None:
    connection = FakeConnection(tools__call=ConnectionLost("it exited"), prompts__get=ErrorReply(-5, "own"))
    upstream = ready(connection)
    with pytest.raises(UpstreamUnavailable, match="one: it exited"):
        await upstream.request("tools/call", {})
    with pytest.raises(ErrorReply, match="own"):
        await upstream.request("prompts/get", {})
    assert len(connection.sent) == 2


async def test_a_client_is_served_in_its_own_era_where_the_server_speaks_it() -> None:
    modern, legacy = FakeConnection(tools__call={}), FakeConnection(tools__call={})
    upstream = ready(legacy)
    await upstream.request("tools/call", {}, FakeChannel(face="modern"))
    upstream.peers["modern"] = Peer("modern", "v", modern, {}, None, {}, OWN_INFO)
    await upstream.request("tools/call", {}, FakeChannel(face="modern"))
    await upstream.request("tools/call", {}, FakeChannel(face="legacy"))
    await upstream.request("tools/call", {})
    assert (len(legacy.sent), len(modern.sent)) == (2, 2)


async def test_the_server_is_asked_once_for_each_resource_however_many_listen() -> None:
    connection = FakeConnection(resources__subscribe={}, resources__unsubscribe={})
    upstream, a, b = ready(connection), list[str](), list[str]()
    for listener in (a.append, b.append):
        await upstream.subscribe("x://1", listener)
    hear_a, hear_b = a.append, b.append
    await upstream.subscribe("x://1", hear_a)
    upstream.on_notice("notifications/resources/updated", {"uri": "x://1"})
    assert (b, len(connection.of("resources/subscribe"))) == (["x://1"], 1)
    for listener in (a.append, hear_a, hear_b):
        await upstream.unsubscribe("x://1", listener)
    assert [call.params for call in connection.of("resources/unsubscribe")] == [{"uri": "x://1"}]
    assert upstream.subscribed == []


async def test_a_refused_subscription_leaves_no_trace() -> None:
    upstream = ready(FakeConnection(resources__subscribe=ErrorReply(-1, "no")))
    with pytest.raises(ErrorReply):
        await upstream.subscribe("x://1", print)
    assert upstream.subscribed == []


async def test_unsubscribing_never_fails() -> None:
    upstream = ready(FakeConnection(resources__subscribe={}, resources__unsubscribe=ErrorReply(-1, "no")))
    await upstream.subscribe("x://1", print)
    await upstream.unsubscribe("x://1", print)
    upstream.move("down")
    await upstream.subscribe("x://1", print)
    await upstream.unsubscribe("x://1", print)


async def test_who_subscribes_while_the_last_one_leaves_stays_subscribed() -> None:
    async def slowly(call: Call) -> dict[str, Any]:
        await asyncio.sleep(1)
        return {}

    connection = FakeConnection(resources__subscribe={}, resources__unsubscribe=slowly)
    upstream = ready(connection)
    await upstream.subscribe("x://1", print)
    async with asyncio.TaskGroup() as group:
        group.create_task(upstream.unsubscribe("x://1", print))
        await turns()
        group.create_task(upstream.subscribe("x://1", repr))
        await turns()
        assert connection.methods == ["resources/subscribe", "resources/unsubscribe"]
    assert connection.methods[-1] == "resources/subscribe"
    assert upstream.subscribed == ["x://1"]


async def test_a_modern_server_is_listened_to_anew_when_the_resources_change() -> None:
    upstream, relistened = ready(FakeConnection(), "modern"), list[int]()
    upstream.relisten = lambda: relistened.append(1)
    await upstream.subscribe("x://1", print)
    await upstream.subscribe("x://1", repr)
    await upstream.unsubscribe("x://1", print)
    await upstream.unsubscribe("x://1", repr)
    assert len(relistened) == 2


@pytest.mark.parametrize(
    ("method", "dirty"),
    [
        ("notifications/tools/list_changed", {"tools"}),
        ("notifications/prompts/list_changed", {"prompts"}),
        ("notifications/resources/list_changed", {"resources", "templates"}),
        ("notifications/resources/updated", set()),
        ("notifications/vendor", set()),
    ],
)
async def test_a_change_marks_what_has_to_be_read_again(method: str, dirty: set[str]) -> None:
    upstream = ready()
    upstream.on_notice(method, {"uri": 5})
    assert (upstream.dirty, upstream.wake.is_set()) == (dirty, bool(dirty))


async def test_a_legacy_server_is_asked_for_the_most_talkative_level_that_any_call_wanted() -> None:
    connection = FakeConnection(logging__setLevel={}, tools__call={})
    upstream = ready(connection)
    for level in ("warning", "error", None, "debug", "info", "rubbish"):
        await upstream.request("tools/call", {}, FakeChannel(log_level=level))
    assert [call.params["level"] for call in connection.of("logging/setLevel")] == ["warning", "debug"]


@pytest.mark.parametrize("answer", [silence, ErrorReply(-32601, "no")])
async def test_a_server_that_does_not_take_a_level_takes_calls_all_the_same(answer: Any) -> None:
    upstream = ready(FakeConnection(logging__setLevel=answer, tools__call={"ok": True}))
    assert await upstream.request("tools/call", {}, FakeChannel(log_level="info")) == {"ok": True}


async def test_a_new_listing_is_told() -> None:
    told = list[Upstream]()
    upstream = Upstream(entry(), told.append)
    upstream.publish(Listing())
    assert (told, upstream.known) == ([upstream], True)


class Hush:
    """Masks one word."""

    def redact(self, text: str) -> str:
        return text.replace("hush", "***")

    def redact_json(self, value: Any) -> Any:
        return json.loads(self.redact(json.dumps(value)))


async def test_what_the_server_says_of_its_failures_is_masked_and_a_success_is_as_it_came() -> None:
    failed = {"isError": True, "content": [{"type": "text", "text": "hush"}]}
    succeeded = {"content": [{"type": "text", "text": "hush"}]}
    answers = iter([ErrorReply(-32000, "hush", {"said": "hush"}), failed, succeeded])

    async def answer(call: Call) -> Any:
        outcome = next(answers)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    upstream = ready(FakeConnection(tools__call=answer))
    upstream._mask = Hush()
    with pytest.raises(ErrorReply) as refused:
        await upstream.request("tools/call", {})
    assert (refused.value.message, refused.value.data) == ("***", {"said": "***"})
    assert "hush" not in str(await upstream.request("tools/call", {}))
    assert await upstream.request("tools/call", {}) == succeeded
    upstream.last_error, upstream.tail = "it said hush", lambda: ["hush!"]
    assert (upstream.last_error, upstream.stderr()) == ("it said ***", ["***!"])
    upstream.peers = {}
    with pytest.raises(UpstreamUnavailable, match=r"it said \*\*\*"):
        await upstream.request("tools/call", {})
