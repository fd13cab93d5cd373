import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fixtures.clock import fake_time, now, turns  # noqa: F401
from tests.fixtures.fakes import OWN_INFO, FakeConnection, discovered, entry, initialized, silence, tool
from upstreams import supervisor
from upstreams.config import ServerEntry
from upstreams.connection import Call, Wiring
from upstreams.errors import ConnectionLost, ErrorReply, SessionExpired, UpstreamUnavailable
from upstreams.negotiation import LEGACY, MODERN
from upstreams.states import State
from upstreams.supervisor import CLOSE_SECONDS, HANDSHAKE_SECONDS, Supervisor
from upstreams.upstream import Upstream

pytestmark = pytest.mark.anyio

Make = Callable[[ServerEntry], Any]


def healthy(**more: Any) -> FakeConnection:
    answers = {"initialize": initialized(LEGACY[0]), "tools__list": {"tools": [tool("t")]}}
    lists = {"prompts__list": {}, "resources__list": {}, "resources__templates__list": {}}
    return FakeConnection(**{**answers, **lists, "tools__call": {"ok": True}, **more})


def modern(**more: Any) -> FakeConnection:
    declared = {"tools": {"listChanged": True}}
    return healthy(server__discover=discovered(MODERN[0], capabilities=declared), **more)


class World:
    """Upstreams under supervision, over connections that ``make`` makes for their entries."""

    def __init__(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        self.make = make
        self.made: list[FakeConnection] = []
        self.published: list[str] = []
        self.supervisors: dict[str, Supervisor] = {}
        self.tasks: list[asyncio.Task[None]] = []
        monkeypatch.setattr(supervisor, "CONNECTIONS", dict.fromkeys(("stdio", "http"), self._connect))
        monkeypatch.setattr(supervisor.random, "random", lambda: 1.0)

    async def _connect(self, server: ServerEntry, wiring: Wiring) -> FakeConnection:
        made = self.make(server)
        if isinstance(made, Exception):
            raise made
        made.wiring = wiring
        self.made.append(made)
        return made

    def start(self, name: str = "one", **keys: Any) -> Upstream:
        upstream = Upstream(entry(name, **keys), lambda one: self.published.append(one.name))
        self.supervisors[name] = Supervisor(upstream, OWN_INFO, 1000)
        self.tasks.append(asyncio.ensure_future(self.supervisors[name].run()))
        return upstream

    async def stop(self) -> None:
        for one in self.supervisors.values():
            one.stop()
        await asyncio.gather(*self.tasks)


@asynccontextmanager
async def world(make: Make, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    one = World(make, monkeypatch)
    yield one
    await one.stop()
    assert all(connection.closed for connection in one.made)


async def test_a_server_is_connected_listed_and_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        assert (upstream.state, upstream.known, here.published) == (State.READY, True, ["one"])
        assert [item["name"] for item in upstream.listing.of("tools")] == ["t"]
        assert await upstream.request("tools/call", {}) == {"ok": True}
    assert upstream.state is State.STOPPED


async def test_a_server_that_dies_fails_calls_at_once_keeps_its_listing_and_is_connected_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        here.made[0].wiring.on_lost("it exited with code 3")
        with pytest.raises(UpstreamUnavailable, match="exited with code 3"):
            await upstream.request("tools/call", {})
        await asyncio.sleep(0.1)
        assert (upstream.state, len(upstream.listing.of("tools"))) == (State.WAITING, 1)
        assert here.made[0].closed
        await asyncio.sleep(0.6)
        assert (upstream.state, upstream.restarts, upstream.last_error) == (State.READY, 1, None)
        assert await upstream.request("tools/call", {}) == {"ok": True}


async def test_a_server_that_cannot_be_started_is_tried_again_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = list[float]()

    def missing(_: ServerEntry) -> Exception:
        tried.append(now())
        return ConnectionLost("command not found")

    async with world(missing, monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        assert upstream.last_error == "command not found"
        await asyncio.sleep(100)
        assert tried == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5]
        assert not upstream.known


async def test_a_server_that_dies_again_and_again_rests_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    def flapping(_: ServerEntry) -> FakeConnection:
        connection = healthy()
        asyncio.get_running_loop().call_later(0.01, lambda: connection.wiring.on_lost("it exited"))
        return connection

    async with world(flapping, monkeypatch) as here:
        upstream = here.start()
        while upstream.state is not State.RESTING:  # noqa: ASYNC110 - the clock is a fake
            await asyncio.sleep(0.1)
        assert upstream.restarts == 31
        count, since = len(here.made), now()
        await asyncio.sleep(59)
        assert len(here.made) == count
        await asyncio.sleep(2)
        assert len(here.made) > count
        assert since < 40


async def test_a_server_that_never_answers_the_handshake_is_given_up_and_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(lambda _: FakeConnection(server__discover=silence, initialize=silence), monkeypatch) as here:
        upstream = here.start()
        await asyncio.sleep(HANDSHAKE_SECONDS + 0.1)
        assert upstream.state is State.WAITING
        assert "did not answer the handshake" in str(upstream.last_error)
        assert here.made[0].closed


async def test_a_server_that_dies_during_the_handshake_does_not_wait_for_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def dies(call: Call) -> Any:
        raise ConnectionLost("it exited with code 1")

    async with world(lambda _: FakeConnection(server__discover=dies, initialize=dies), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        assert now() < 0.1
        assert upstream.last_error == "it exited with code 1"


@pytest.mark.parametrize("method", ["server/discover", "tools/list"])
async def test_stopping_does_not_wait_for_a_server_that_does_not_answer(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(lambda _: healthy(**{method.replace("/", "__"): silence}), monkeypatch) as here:
        here.start()
        await asyncio.sleep(1)
        await here.stop()
        assert now() == 1.0


async def test_stopping_does_not_wait_for_a_refresh_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        here.made[0].answers["tools/list"] = silence
        upstream.on_notice("notifications/tools/list_changed", {})
        await asyncio.sleep(1)
        await here.stop()
        assert now() == 1.0


async def test_stopping_is_bounded_though_a_connection_never_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(FakeConnection):
        async def close(self) -> None:
            self.closed += 1
            await asyncio.Event().wait()

    def make(_: ServerEntry) -> FakeConnection:
        stuck = Stuck()
        stuck.answers = healthy().answers
        return stuck

    async with world(make, monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        await here.stop()
        assert now() == pytest.approx(CLOSE_SECONDS)


async def test_stopping_while_waiting_for_the_next_attempt_is_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: ConnectionLost("no"), monkeypatch) as here:
        upstream = here.start()
        await asyncio.sleep(20)
        assert upstream.state is State.WAITING
        await here.stop()
        assert (now(), upstream.state) == (20.0, State.STOPPED)


async def test_a_burst_of_changes_makes_one_refresh_of_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        await turns()
        (connection,) = here.made
        connection.sent.clear()
        connection.answers["tools/list"] = {"tools": [tool("new")]}
        for _ in range(50):
            upstream.on_notice("notifications/tools/list_changed", {})
        await asyncio.sleep(1)
        assert connection.methods == ["tools/list"]
        assert [item["name"] for item in upstream.listing.of("tools")] == ["new"]
        assert here.published == ["one", "one"]


async def test_a_refresh_that_fails_keeps_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start(timeout="5s")
        await upstream.settled.wait()
        for answer in (silence, ErrorReply(-1, "no"), ConnectionLost("broke")):
            here.made[0].answers["tools/list"] = answer
            upstream.on_notice("notifications/tools/list_changed", {})
            await asyncio.sleep(10)
            assert (upstream.state, len(upstream.listing.of("tools"))) == (State.READY, 1)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: ConnectionLost("no"),
        lambda: RuntimeError("a bug"),
        lambda: OSError("no"),
        lambda: FakeConnection(server__discover=silence, initialize=silence),
        lambda: healthy(tools__list=silence),
        lambda: healthy(tools__list=RuntimeError("a bug")),
    ],
)
async def test_one_upstream_that_fails_does_not_touch_another(bad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda server: bad() if server.name == "bad" else healthy(), monkeypatch) as here:
        other, good = here.start("bad"), here.start("good")
        await good.settled.wait()
        assert now() < 3.0
        await asyncio.sleep(200)
        assert (good.state, good.restarts) == (State.READY, 0)
        assert other.state is not State.READY
        assert await good.request("tools/call", {}) == {"ok": True}


async def test_a_task_of_a_connection_that_fails_restarts_only_its_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bug() -> None:
        raise RuntimeError("a bug")

    async with world(lambda _: healthy(), monkeypatch) as here:
        one, two = here.start("one"), here.start("two")
        await one.settled.wait()
        await two.settled.wait()
        here.made[0].wiring.spawn(bug)
        await asyncio.sleep(1)
        assert (one.restarts, two.restarts, one.state) == (1, 0, State.READY)


async def test_a_modern_server_is_listened_to_and_asked_anew_only_as_often_as_makes_sense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(lambda _: modern(subscriptions__listen={}), monkeypatch) as here:
        await here.start().settled.wait()
        await asyncio.sleep(600)
        (connection,) = here.made
        assert connection.of("subscriptions/listen")[0].params["notifications"] == {"toolsListChanged": True}
        assert len(connection.of("subscriptions/listen")) < 20
        assert len(connection.of("tools/list")) < 20


async def test_a_modern_server_that_knows_no_listening_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: modern(), monkeypatch) as here:
        await here.start().settled.wait()
        await asyncio.sleep(600)
        assert len(here.made[0].of("subscriptions/listen")) == 1
        assert len(here.made[0].of("tools/list")) == 1


async def test_what_is_listened_to_follows_the_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: modern(subscriptions__listen=silence), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        await turns()
        await upstream.subscribe("x://1", print)
        await turns()
        listens = [call.params["notifications"] for call in here.made[0].of("subscriptions/listen")]
        assert listens == [{"toolsListChanged": True}, {"toolsListChanged": True, "resourceSubscriptions": ["x://1"]}]
        assert here.made[0].cancelled == []
        await asyncio.sleep(1)  # both are open for a moment, so that nothing falls between them
        assert here.made[0].cancelled == ["subscriptions/listen"]


async def test_a_url_gets_a_connection_for_each_era(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: modern(subscriptions__listen=silence), monkeypatch) as here:
        upstream = here.start(url="http://127.0.0.1:1/mcp")
        await upstream.settled.wait()
        assert set(upstream.peers) == {"modern", "legacy"}
        assert [connection.methods[0] for connection in here.made] == ["server/discover", "initialize"]


async def test_a_session_that_cannot_be_renewed_makes_the_upstream_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        here.made[0].answers |= {"tools/call": SessionExpired("unknown"), "initialize": ConnectionLost("HTTP 503")}
        with pytest.raises(UpstreamUnavailable):
            await upstream.request("tools/call", {})
        await asyncio.sleep(2)
        assert (upstream.state, upstream.restarts) == (State.READY, 1)
        assert await upstream.request("tools/call", {}) == {"ok": True}


async def test_an_expired_session_that_the_stream_tells_of_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        await here.start().settled.wait()
        here.made[0].wiring.on_expired()
        await asyncio.sleep(1)
        assert (len(here.made[0].of("initialize")), here.made[0].forgotten) == (2, 1)


async def test_killing_ends_what_is_held_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        await here.start().settled.wait()
        here.supervisors["one"].kill()
        assert here.made[0].killed == 1


@pytest.mark.parametrize(("wait", "ended"), [(3.0, 3.0), (60.0, 20.0)])
async def test_one_that_retires_ends_once_nobody_is_on_the_way_to_it_or_time_is_up(
    wait: float, ended: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(lambda _: healthy(), monkeypatch) as here:
        upstream = here.start()
        await upstream.settled.wait()
        await here.supervisors["one"].retire(20.0, lambda: asyncio.sleep(wait))
        await here.supervisors["one"].stopped.wait()
        assert now() == ended
