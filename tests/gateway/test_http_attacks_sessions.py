"""Sessions and streams used by somebody they do not belong to, against a real gateway."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.live_gateway import (
    JSON,
    WAIT_SECONDS,
    Answer,
    LiveGateway,
    Message,
    call,
    head,
    live_gateway,
    read_answer,
    read_events,
    request,
)
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def old() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [tool("echo"), tool("ask"), tool("wait")]
        yield one


@pytest.fixture(scope="module")
def gate(old: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    servers = {name: {"url": old.url} for name in ("old", "new")}
    config = {"mcpServers": servers, "routes": {"/twin": {"upstreams": ["new"]}}}
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


@pytest.fixture(autouse=True)
def fresh(old: RawUpstream) -> None:
    old.release.clear()
    old.started.clear()


def not_found(answer: Answer) -> bool:
    return answer.status == 404 and answer.json["error"] == {"code": -32600, "message": "Session not found"}


@pytest.mark.parametrize(
    "session", ["unknown", "", "\x7f", "A" * 32, "x" * 8_000, "'; --", "../../etc", "\xff\xfe"], ids=ascii
)
def test_an_unknown_session_id_is_404(gate: LiveGateway, session: str) -> None:
    for method in ("POST", "GET", "DELETE"):
        body = json.dumps(request("ping")).encode() if method == "POST" else b""
        answer = gate.raw(head(method, "/mcp", {**JSON, "Mcp-Session-Id": session}, body), method)
        assert answer.status == (400 if session == "\x7f" else 404), method


def test_a_session_of_another_door_is_one_that_never_existed(gate: LiveGateway) -> None:
    session = gate.session("/mcp/new")
    for path in ("/mcp", "/mcp/old", "/twin"):
        assert not_found(gate.legacy(session, request("ping"), path))
        assert not_found(gate.http("DELETE", path, {"Mcp-Session-Id": session}))
        assert not_found(gate.http("GET", path, {**STREAM, "Mcp-Session-Id": session}))
    assert gate.legacy(session, request("ping"), "/mcp/new").json["result"] == {}


def test_an_ended_session_is_404(gate: LiveGateway) -> None:
    session = gate.session()
    assert gate.http("DELETE", "/mcp", {"Mcp-Session-Id": session}).status == 204
    assert not_found(gate.legacy(session, request("ping")))
    assert gate.http("DELETE", "/mcp", {"Mcp-Session-Id": session}).status == 404


def test_a_session_id_is_compared_exactly(gate: LiveGateway) -> None:
    session = gate.session()
    for other in (session.swapcase(), session[:-1], session + "x", f"{session},{session}"):
        assert not_found(gate.legacy(other, request("ping")))


def test_session_ids_cannot_be_guessed(gate: LiveGateway) -> None:
    ids = [gate.session() for _ in range(20)]
    assert len(set(ids)) == 20
    assert min(map(len, ids)) >= 32


def test_a_second_get_stream_takes_the_place_of_the_first(gate: LiveGateway) -> None:
    session = gate.session()
    data = head("GET", "/mcp", {**STREAM, "Mcp-Session-Id": session})
    with gate.connect(data) as first:
        assert b"200 OK" in first.recv(4096)
        with gate.connect(data) as second:
            assert b"200 OK" in second.recv(4096)
            left = b""
            while chunk := first.recv(4096):
                left += chunk
                if left.endswith(b"0\r\n\r\n"):
                    break
            assert left == b"0\r\n\r\n"
            gate.http("DELETE", "/mcp", {"Mcp-Session-Id": session})
            assert second.recv(4096) == b"0\r\n\r\n"  # the end of a session ends its stream


def test_an_answer_from_another_session_or_sessionless_is_dropped(gate: LiveGateway) -> None:
    asked = gate.session(capabilities={"elicitation": {}})
    stranger = gate.session(capabilities={"elicitation": {}})
    body = json.dumps(call("old_ask")).encode()
    with gate.connect(head("POST", "/mcp", {**JSON, "Mcp-Session-Id": asked}, body)) as connection:
        question = read_events(connection, 1)[0]
        assert question["method"] == "elicitation/create"
        forged = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"by": "stranger"}}}
        assert gate.legacy(stranger, forged).status == 202
        assert gate.post(forged).status == 400
        assert gate.legacy(asked, {**forged, "id": str(question["id"])}).status == 202
        assert gate.legacy(asked, {**forged, "id": question["id"] + 1}).status == 202
        right = {**forged, "result": {"action": "accept", "content": {"by": "owner"}}}
        assert gate.legacy(asked, right).status == 202
        assert gate.legacy(asked, forged).status == 202  # one that comes twice
        result = read_events(connection, 1)[-1]["result"]
    assert json.loads(result["content"][0]["text"])["content"] == {"by": "owner"}


@pytest.fixture
def waiting(gate: LiveGateway, old: RawUpstream) -> Iterator[Callable[[str, object], list[Answer]]]:
    """Starts a call that waits for ``release``, and gives where its answer will be."""
    threads: list[threading.Thread] = []

    def start(session: str, request_id: object) -> list[Answer]:
        got: list[Answer] = []
        work = lambda: got.append(gate.legacy(session, call("old_wait", {}, request_id)))  # noqa: E731
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        assert old.started.wait(WAIT_SECONDS)
        return got

    yield start
    old.release.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)


def cancelled(request_id: object) -> Message:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}


def test_cancelling_anothers_request_changes_nothing(
    gate: LiveGateway, old: RawUpstream, waiting: Callable[[str, object], list[Answer]]
) -> None:
    owner, stranger = gate.session(), gate.session()
    got = waiting(owner, 7)
    assert gate.legacy(stranger, cancelled(7)).status == 202
    assert gate.post(cancelled(7)).status == 400
    for other in ("7", 7.0, True, None, [7], {"a": 7}, 8):
        assert gate.legacy(owner, cancelled(other)).status == 202
    assert got == []
    assert old.bodies("notifications/cancelled") == []
    old.release.set()
    wait_for(lambda: bool(got))
    assert got[0].json["result"] == {"content": []}


def test_a_request_cancelled_many_times_ends_once_and_cleanly(
    gate: LiveGateway, old: RawUpstream, waiting: Callable[[str, object], list[Answer]]
) -> None:
    session = gate.session()
    got = waiting(session, 9)
    notices = b"".join(
        head("POST", "/mcp", {**JSON, "Mcp-Session-Id": session}, json.dumps(cancelled(9)).encode()) for _ in range(5)
    )
    with gate.connect(notices) as connection:
        assert read_answer(connection).status == 202
        wait_for(lambda: bool(got))
    assert got[0].code == -32800
    assert gate.legacy(session, request("ping")).status == 200


def test_a_batch_is_cancelled_like_its_requests(gate: LiveGateway, old: RawUpstream) -> None:
    session, got = gate.session(version="2025-03-26"), list[Answer]()
    batch = [call("old_wait", {}, 3), request("ping", None, 4)]
    thread = threading.Thread(target=lambda: got.append(gate.legacy(session, batch)))
    thread.start()
    assert old.started.wait(WAIT_SECONDS)
    assert gate.legacy(session, cancelled(3)).status == 202
    thread.join(WAIT_SECONDS)
    assert [one["id"] for one in got[0].json] == [4]


def test_the_end_of_a_session_ends_its_batch(gate: LiveGateway, old: RawUpstream) -> None:
    session, got = gate.session(version="2025-03-26"), list[Answer]()
    thread = threading.Thread(target=lambda: got.append(gate.legacy(session, [call("old_wait", {}, 3)])))
    thread.start()
    assert old.started.wait(WAIT_SECONDS)
    assert gate.http("DELETE", "/mcp", {"Mcp-Session-Id": session}).status == 204
    thread.join(WAIT_SECONDS)
    assert got[0].status == 202


def wait_for(done: Callable[[], bool]) -> None:
    """Wait, within a bound, for what another thread does."""
    tick = threading.Event()
    for _ in range(1000):
        if done():
            return
        tick.wait(0.01)
    raise TimeoutError
