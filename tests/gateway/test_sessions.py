"""Sessions: bound to their owner and door, ended when idle, bounded in number; questions answered by nobody else."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest

from gateway.eras import sessions as module
from gateway.eras.sessions import IDLE_SECONDS, MAX_PENDING, Session, Sessions
from gateway.errors import Refused
from gateway.request import Entrant
from policies.model import ANONYMOUS, Caller, Identity
from upstreams.errors import ErrorReply

ALICE = Identity("jwt", "alice", "https://idp.example")
NOBODY = Entrant(Caller(ANONYMOUS))
QUESTION = "elicitation/create"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Out:
    """A stream that keeps what it is sent, while it is open."""

    def __init__(self, opened: bool = True) -> None:
        self.sent: list[dict[str, Any]] = []
        self.opened = opened
        self.closed = 0

    def send(self, message: dict[str, Any]) -> bool:
        if self.opened:
            self.sent.append(message)
        return self.opened

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def entrant(identity: Identity) -> Entrant:
    return Entrant(Caller(identity))


def opened(sessions: Sessions, identity: Identity = ANONYMOUS, door: str = "/mcp") -> Session:
    return sessions.open(entrant(identity), door, "2025-11-25", {})


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5.0):
            await work

    asyncio.run(bounded())


@pytest.mark.parametrize(
    "stranger",
    [
        ANONYMOUS,
        Identity("jwt", "bob", "https://idp.example"),
        Identity("jwt", "alice", "https://other.example"),
        Identity("api_key", "alice", "https://idp.example"),
        Identity("jwt", "alicehttps://idp.example", ""),
    ],
)
def test_a_session_of_another_identity_is_not_found(sessions: Sessions, stranger: Identity) -> None:
    session = opened(sessions, ALICE)
    assert sessions.find(session.id, entrant(stranger), "/mcp") is None
    assert sessions.find(session.id, entrant(ALICE), "/mcp") is session


def test_a_session_of_another_door_is_not_found(sessions: Sessions) -> None:
    session = opened(sessions)
    for door in ("/mcp/", "/MCP", "/mcp/one", ""):
        assert sessions.find(session.id, NOBODY, door) is None


def test_a_session_is_of_whoever_came_last_with_the_same_identity(sessions: Sessions) -> None:
    session = opened(sessions, ALICE)
    newer = Entrant(Caller(Identity("jwt", "alice", "https://idp.example", {"role": "viewer"})), ends=9.0)
    assert sessions.find(session.id, newer, "/mcp") is session
    assert session.entrant is newer
    sessions.find(session.id, NOBODY, "/mcp")
    assert session.entrant is newer


def test_an_ended_session_is_not_found(sessions: Sessions) -> None:
    session = opened(sessions)
    sessions.end(session)
    sessions.end(session)
    assert sessions.find(session.id, NOBODY, "/mcp") is None
    assert session.ended


def test_a_stranger_does_not_keep_a_session_alive(sessions: Sessions, clock: Clock) -> None:
    session = opened(sessions)
    clock.now = IDLE_SECONDS - 1
    sessions.find(session.id, entrant(ALICE), "/mcp")
    clock.now = IDLE_SECONDS
    sessions.sweep()
    assert session.ended


def test_an_idle_session_ends_and_one_that_is_used_or_busy_stays(sessions: Sessions, clock: Clock) -> None:
    idle, used, busy = (opened(sessions) for _ in range(3))
    busy.busy = 1
    clock.now = IDLE_SECONDS - 1
    assert sessions.find(used.id, NOBODY, "/mcp") is used
    clock.now = IDLE_SECONDS
    sessions.sweep()
    assert [one.ended for one in (idle, used, busy)] == [True, False, False]
    busy.busy = 0
    clock.now = 2 * IDLE_SECONDS + 1
    sessions.sweep()
    assert len(sessions) == 0


def test_a_full_house_ends_the_session_that_was_idle_longest(
    sessions: Sessions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 3)
    busy, first, second = (opened(sessions) for _ in range(3))
    busy.busy = 1
    clock.now = 1.0
    sessions.find(first.id, NOBODY, "/mcp")
    third = opened(sessions)
    assert [one.ended for one in (busy, first, second, third)] == [False, False, True, False]
    assert len(sessions) == 3


def test_a_house_full_of_busy_sessions_refuses_another(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    for _ in range(2):
        opened(sessions).busy = 1
    with pytest.raises(Refused) as refused:
        opened(sessions)
    assert (refused.value.code, refused.value.status) == (-31503, 503)
    assert len(sessions) == 2


def test_the_end_of_all_ends_each(sessions: Sessions) -> None:
    every = [opened(sessions) for _ in range(3)]
    sessions.end_all()
    assert all(one.ended for one in every)
    assert len(sessions) == 0


def made(capabilities: Mapping[str, Any] | None = None) -> Session:
    return Session("id", NOBODY, "/mcp", "2025-11-25", capabilities or {"elicitation": {}})


def test_the_end_of_a_session_cancels_leaves_and_closes_once() -> None:
    session, out, done = made(), Out(), list[str]()
    session.stream = out
    session.in_flight["a"] = lambda: done.append("cancelled")
    session.leave.append(lambda: done.append("left"))
    session.subscribed["uri"] = lambda: done.append("unsubscribed")
    session.end()
    session.end()
    assert done == ["cancelled", "left", "unsubscribed"]
    assert out.closed == 1
    session.list_changed("notifications/tools/list_changed")
    assert out.sent == []


def test_what_belongs_to_no_request_waits_once_for_a_stream() -> None:
    session, closed = made(), Out(opened=False)
    session.stream = closed
    for _ in range(3):
        session.list_changed("notifications/tools/list_changed")
    session.resource_updated("a://b")
    out = Out()
    session.attach(out)
    methods = [message["method"] for message in out.sent]
    assert methods == ["notifications/tools/list_changed", "notifications/resources/updated"]
    session.attach(second := Out())
    assert second.sent == []


def test_what_waits_for_a_stream_is_bounded() -> None:
    session = made()
    for number in range(10 * MAX_PENDING):
        session.resource_updated(f"a://{number}")
    out = Out()
    session.attach(out)
    assert len(out.sent) == MAX_PENDING


def test_a_question_is_answered_only_under_its_own_id_and_once() -> None:
    async def conversation() -> None:
        session, out = made(), Out()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(session.ask(out, QUESTION, {}))
            await asyncio.sleep(0)
            number = out.sent[0]["id"]
            for wrong in (number + 1, str(number), float(number), True, None, [number]):
                session.answered({"id": wrong, "result": {"by": "nobody"}})
            session.answered({"id": number, "result": {"by": "owner"}})
            session.answered({"id": number, "result": {"by": "late"}})
        assert asked.result() == {"by": "owner"}
        session.answered({"id": number, "result": {"by": "later"}})

    run(conversation())


def test_an_error_of_the_client_is_the_answer() -> None:
    async def conversation() -> None:
        session, out = made(), Out()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(caught(session, out))
            await asyncio.sleep(0)
            session.answered({"id": out.sent[0]["id"], "error": {"code": -1, "message": "no"}})
        assert (asked.result().code, asked.result().message) == (-1, "no")

    run(conversation())


async def caught(session: Session, out: Out) -> ErrorReply:
    with pytest.raises(ErrorReply) as refused:
        await session.ask(out, QUESTION, {})
    return refused.value


@pytest.mark.parametrize(("capabilities", "out"), [({"sampling": {}}, Out()), ({"elicitation": {}}, Out(opened=False))])
def test_a_client_that_cannot_be_asked_is_not(capabilities: dict[str, Any], out: Out) -> None:
    async def conversation() -> None:
        assert (await caught(made(capabilities), out)).code == -32601
        assert out.sent == []

    run(conversation())


def test_the_end_of_a_session_answers_what_was_asked() -> None:
    async def conversation() -> None:
        session, out = made(), Out()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(caught(session, out))
            await asyncio.sleep(0)
            session.end()
        assert "ended" in asked.result().message
        assert (await caught(session, out)).code == -32601
        assert len(out.sent) == 1

    run(conversation())


def test_a_question_that_is_given_up_is_cancelled_at_the_client() -> None:
    async def conversation() -> None:
        session, out = made(), Out()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(session.ask(out, QUESTION, {}))
            await asyncio.sleep(0)
            asked.cancel()
        assert out.sent[1]["params"] == {"requestId": out.sent[0]["id"]}

    run(conversation())
