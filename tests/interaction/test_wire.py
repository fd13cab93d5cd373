"""Tokens, ids and connections as plain HTTP clients see them."""

import pytest

from tests.fixtures.interaction_stage import SERVERS
from tests.fixtures.interaction_wire import Wire, legacy, modern, sessionless

CLIENTS = {"legacy": legacy, "modern": modern}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """Each server."""
    name: str = request.param
    return name


@pytest.fixture
def door(gateway: str, server: str) -> str:
    """The server's own door."""
    return f"{gateway}/{server}"


def until(door: str, event: str) -> None:
    """Wait for something that happens at the server."""
    sessionless(door).result("tools/call", {"name": "until", "arguments": {"event": event}})


@pytest.mark.parametrize("era", CLIENTS)
@pytest.mark.parametrize("token", ["7", 7, 0, "a b"])
def test_progress_carries_the_clients_own_token_and_the_answer_its_own_id(
    door: str, era: str, token: str | int
) -> None:
    work = {"name": "work", "arguments": {"tag": "wire"}, "_meta": {"progressToken": token}}
    response, (*notifications, last) = CLIENTS[era](door).answer("tools/call", work, "0")
    assert response.headers.get_content_type() == "text/event-stream"
    assert [one["method"] for one in notifications] == ["notifications/progress"] * 3
    tokens = [one["params"]["progressToken"] for one in notifications]
    assert [(type(one), one) for one in tokens] == [(type(token), token)] * 3
    assert last["id"] == "0"


def test_a_call_without_a_token_gets_no_progress(door: str) -> None:
    response, messages = legacy(door).answer("tools/call", {"name": "work", "arguments": {"tag": "quiet"}})
    assert response.headers.get_content_type() == "application/json"
    assert [one["id"] for one in messages] == [1]


@pytest.mark.parametrize("kind", [sessionless, modern])
def test_who_hangs_up_has_cancelled(door: str, server: str, kind: type[Wire]) -> None:
    key = f"{server} {kind.__name__} hangs up"
    connection, _ = kind(door).open("tools/call", {"name": "slow", "arguments": {"key": key}})
    until(door, f"started {key}")
    connection.close()
    until(door, f"cancelled {key}")


def test_a_session_whose_connection_breaks_has_not_cancelled(door: str, server: str) -> None:
    tag, partner, key = (f"{server} {part}" for part in ("breaks", "joins", "shows that breaks are seen"))
    session = legacy(door)
    broken, _ = session.open("tools/call", {"name": "work", "arguments": {"tag": tag, "partner": partner}})
    until(door, f"started {tag}")
    broken.close()
    test_who_hangs_up_has_cancelled(door, key, sessionless)
    sessionless(door).result("tools/call", {"name": "work", "arguments": {"tag": partner}})
    until(door, f"finished {tag}")


def test_a_session_cancels_by_notification(door: str, server: str) -> None:
    key = f"{server} notifies"
    session = legacy(door)
    connection, _ = session.open("tools/call", {"name": "slow", "arguments": {"key": key}}, "the call")
    until(door, f"started {key}")
    session.answer("notifications/cancelled", {"requestId": "the call"}, None)
    until(door, f"cancelled {key}")
    connection.close()


def test_a_server_that_asks_a_caller_without_a_session_is_refused_at_once(door: str) -> None:
    _, [last] = sessionless(door).answer("tools/call", {"name": "ask", "arguments": {"what": "elicitation"}})
    assert "error" in last
