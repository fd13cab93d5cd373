"""Everything that may go wrong at the tool API: status, type, words and headers, from outside."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import Answer, LiveGateway, Message, live_gateway
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream
from tests.fixtures.tool_api import (
    EXECUTE,
    FORMATS,
    POLICY,
    TOOLS,
    WHO,
    as_told,
    checked,
    error,
    execute,
    item,
    said,
    say,
    settings,
)
from tests.fixtures.waiting import until


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        as_told(one)
        yield one


@pytest.fixture(scope="module")
def gates(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LiveGateway]]:
    with ExitStack() as stack:
        yield {
            on_deny: stack.enter_context(
                live_gateway(
                    tmp_path_factory.mktemp(on_deny), settings(upstream, policy={**POLICY, "on_deny": on_deny})
                )
            )
            for on_deny in ("hide", "forbid")
        }


@pytest.fixture(scope="module")
def live(gates: dict[str, LiveGateway]) -> LiveGateway:
    return gates["hide"]


def test_nobody_comes_in_without_credentials_whatever_is_asked(live: LiveGateway) -> None:
    for answer in (
        execute(live, item("up_echo")),
        execute(live, b"not JSON", "format=none"),
        live.http("GET", TOOLS, {}),
        live.http("DELETE", EXECUTE, {}),
    ):
        assert said(answer) == (401, "authentication_error")
        assert 'oauth-protected-resource/mcp"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Authorization": "Bearer no.such.token"}, 401, "authentication_error"),
        ({"Authorization": "Basic dTpw"}, 401, "authentication_error"),
        ({"X-Api-Key": "og_wrong"}, 401, "authentication_error"),
        ({**WHO, "x-bf-vk": "og_wrong"}, 401, "authentication_error"),
        (signed("developer", exp=1_000_000_000), 401, "authentication_error"),
        ({"X-Api-Key": "og_a", "x-bf-vk": "og_b"}, 400, "invalid_request_error"),
        ({**WHO, "Host": "evil.example"}, 403, "invalid_request_error"),
        ({**WHO, "Origin": "https://evil.example"}, 403, "invalid_request_error"),
    ],
)
def test_a_bad_credential_keeps_out(live: LiveGateway, headers: Message, status: int, kind: str) -> None:
    assert said(execute(live, item("up_echo"), headers=headers)) == (status, kind)
    listing = live.http("GET", TOOLS, headers)
    assert said(listing) == (status, kind)


def test_what_is_hidden_answers_like_what_never_was(live: LiveGateway) -> None:
    hidden, never = (say(live, item(name)) for name in ("up_secret", "up_secrzz"))
    words = "Tool 'up_secret' is not allowed for this request"
    assert (hidden.status, error(hidden)) == (403, {"type": "tool_execution_error", "message": words})
    assert hidden.body.replace(b"secret", b"secrzz") == never.body
    for answer in (hidden, never):
        answer.headers.pop("x-request-id")
    assert (hidden.status, list(hidden.headers.items())) == (never.status, list(never.headers.items()))
    in_array = [entry["error"]["message"] for entry in say(live, [item("up_secret"), item("up_secrzz")]).json]
    assert in_array[0].replace("secret", "secrzz") == in_array[1]


@pytest.mark.parametrize("form", FORMATS)
def test_where_policy_forbids_openly_denied_and_unknown_differ(gates: dict[str, LiveGateway], form: str) -> None:
    denied, never = (say(gates["forbid"], item(name, form=form), f"format={form}") for name in ("up_secret", "up_no"))
    kind = "tool_execution_error"
    assert (denied.status, error(denied)) == (
        403,
        {"type": kind, "message": "Tool 'up_secret' is not allowed for this request"},
    )
    assert (never.status, error(never)) == (404, {"type": kind, "message": "Tool 'up_no' not found"})


@pytest.mark.parametrize("on_deny", ["hide", "forbid"])
def test_what_only_the_arguments_forbid_says_so(
    gates: dict[str, LiveGateway], upstream: RawUpstream, on_deny: str
) -> None:
    before = len(upstream.seen)
    answer = say(gates[on_deny], item("up_echo", '{"path": "/etc"}'))
    words = "Tool 'up_echo' is not allowed for this request"
    assert (answer.status, error(answer)) == (403, {"type": "tool_execution_error", "message": words})
    assert len(upstream.seen) == before
    assert say(gates[on_deny], item("up_echo", '{"path": "/tmp"}')).status == 200


@pytest.mark.parametrize(("arguments", "words"), [("{}", "missing required field 'path'"), ('{"path": 5}', "'path'")])
def test_arguments_against_the_schema_name_the_field(live: LiveGateway, arguments: str, words: str) -> None:
    answer = say(live, item("up_strict", arguments))
    assert said(answer) == (400, "invalid_request_error")
    assert error(answer)["param"] == "path"
    assert words in error(answer)["message"]


def test_over_the_rate_limit_it_says_when_to_come_again(live: LiveGateway) -> None:
    who = signed("developer", "busy")
    assert say(live, item("up_limited"), who=who).status == 200
    answer = say(live, item("up_limited"), who=who)
    assert said(answer) == (429, "rate_limit_error")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    (entry,) = say(live, [item("up_limited")], who=who).json
    assert checked(entry["error"])["type"] == "rate_limit_error"
    assert say(live, item("up_limited"), who=signed("developer", "idle")).status == 200


def test_a_call_that_takes_too_long_may_have_run(live: LiveGateway, upstream: RawUpstream) -> None:
    upstream.release.clear()
    answer = say(live, item("up_wait"))
    upstream.release.set()
    assert said(answer) == (504, "timeout_error")
    assert error(answer)["message"] == "Upstream up did not answer within 0.3 s; the call may have run"


def test_a_connection_lost_midway_says_that_the_call_may_have_run(live: LiveGateway) -> None:
    for _ in range(2):  # also to who repeats it, which does not make it again
        answer = say(live, item("up_break"), who={**WHO, "x-idempotency-key": "lost"})
        assert said(answer) == (503, "upstream_error")
        assert error(answer)["message"] == "Upstream up is unavailable; the call may have run"


def test_an_upstream_that_is_down_may_be_asked_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(raw_upstream("modern"))
        as_told(upstream)
        live = stack.enter_context(live_gateway(tmp_path, {"mcpServers": {"up": {"url": upstream.url}}}))
        assert say(live, item("up_echo"), who={}).status == 200
        upstream.close()

        def refused() -> Answer | None:
            answer = say(live, item("up_break"), who={})  # which also ends the connections that are kept
            assert said(answer) == (503, "upstream_error")
            return answer if error(answer)["message"] == "Upstream up is unavailable" else None

        answer = until(refused, "no connection is left")
        assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("code", [-32000, -32602, -32603, -32700, -32020, -31403, -31503, 5])
def test_an_error_of_the_upstream_is_told_as_its_own(live: LiveGateway, code: int) -> None:
    told = {"error": {"code": code, "message": "the disk is full", "data": {"field": "x"}}}
    answer = say(live, item("up_give", told))
    assert said(answer) == (502, "upstream_error")
    assert error(answer)["message"].endswith("the disk is full")
    assert "param" not in error(answer)


def test_input_that_nobody_can_be_asked_for_is_the_upstreams_error(live: LiveGateway) -> None:
    asking = {"resultType": "input_required", "inputRequests": {}, "requestState": "s"}
    answer = say(live, item("up_give", asking))
    assert said(answer) == (502, "upstream_error")
    assert "input" in error(answer)["message"]


@pytest.mark.parametrize("in_array", [False, True])
def test_our_own_fault_tells_nothing_of_the_inside_but_the_log_does(
    live: LiveGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, in_array: bool
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(live.gateway.relay.access, "may_call", broken)
    with caplog.at_level(logging.ERROR, "onegate.http"):
        answer = say(live, [item("up_echo")] if in_array else item("up_echo"))
    told = checked(answer.json[0]["error"]) if in_array else error(answer)
    assert answer.status == (200 if in_array else 500)
    request_id = answer.headers["x-request-id"]
    assert told == {"type": "internal_error", "message": f"Internal error (request {request_id})"}
    assert "swordfish" in caplog.text


def test_while_it_drains_calls_and_lists_are_told_to_come_again(
    live: LiveGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.gateway.service, "draining", True)
    for answer in (say(live, item("up_echo")), say(live, [item("up_echo")]), live.http("GET", TOOLS, WHO)):
        assert answer.status == 503
        assert error(answer)["message"] == "The gateway is about to stop"
        assert answer.headers["retry-after"] == "1"
