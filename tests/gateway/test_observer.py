"""What is written down of a request, by how it ended."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.errors import McpError, RateLimited, Refused, UnknownTool
from gateway.telemetry.measures import UNKNOWN
from gateway.telemetry.observer import Observer, Use
from policies.model import Caller, Decision, Identity
from upstreams.errors import ErrorReply, UpstreamBusy, UpstreamTimeout, UpstreamUnavailable

VIEWER = Caller(Identity("jwt", "vera", "idp", {"role": "viewer", "groups": ["a"]}))
DENIED = Decision(False, 'jwt.role == "admin"', "no_allow", hidden=True)


def used(observer: Observer, ending: Mapping[str, Any] | BaseException, sent: bool = True) -> Use:
    """One tools/call of a known tool that ends so."""
    use = observer.begin("tools/call", {}, VIEWER)
    use.found("a_t", "a")
    if sent:
        use.decided(Decision(True))
        use.sending("a", {}, None)
    if isinstance(ending, BaseException):
        observer.failed(use, ending)
    else:
        observer.ended(use, ending)
    return use


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ({"content": []}, "success"),
        ({"content": [], "isError": True}, "error"),
        ({"content": [], "isError": "yes"}, "success"),
        (ErrorReply(-32000, "secret"), "error"),
        (McpError(-32602, "bad"), "error"),
        (RateLimited(2.0), "rate_limited"),
        (UpstreamTimeout("a", 5.0), "timeout"),
        (UpstreamUnavailable("a", "down"), "unavailable"),
        (UpstreamBusy("a", "full"), "unavailable"),
        (asyncio.CancelledError(), "error"),
        (ValueError("a fault of ours"), "error"),
    ],
)
def test_a_call_is_counted_by_how_it_ended(ending: Mapping[str, Any] | BaseException, status: str) -> None:
    observer = Observer()
    used(observer, ending)
    assert observer.measures.calls == {("a_t", "a", status): 1}
    assert observer.measures.durations["a_t", "a"].count == 1
    assert [event.status for event in observer.recent.events] == ([] if status == "success" else [status])


def test_only_what_went_to_its_upstream_counts_in_its_durations() -> None:
    observer = Observer()
    used(observer, RateLimited(1.0), sent=False)
    assert observer.measures.durations == {}
    assert observer.recent.quantiles("a", (0.5,)) is None


@pytest.mark.parametrize(("claim", "role"), [("role", "viewer"), ("groups", ""), ("none", "")])
def test_a_denial_is_counted_under_the_callers_role_where_that_is_text(claim: str, role: str) -> None:
    observer = Observer(role_claim=claim)
    use = observer.begin("tools/call", {}, VIEWER)
    use.found("a_t", "a")
    use.decided(DENIED)
    observer.failed(use, UnknownTool("a_t"))
    assert observer.measures.calls == {("a_t", "a", "denied"): 1}
    assert observer.measures.denials == {("a_t", role): 1}


def test_a_name_that_nobody_knows_is_no_label() -> None:
    observer = Observer()
    use = observer.begin("tools/call", {}, VIEWER)
    observer.failed(use, UnknownTool("x" * 1_000))
    assert observer.measures.calls == {(UNKNOWN, "", "error"): 1}
    assert observer.measures.denials == {}
    assert observer.recent.events[0].target == UNKNOWN


def test_lists_are_timed_and_no_more() -> None:
    observer = Observer()
    observer.ended(observer.begin("tools/list", {}, VIEWER), {"tools": []})
    assert observer.measures.calls == {}
    assert list(observer.measures.operations) == [("tools/list", "", "")]


def test_what_an_upstream_said_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()
    with caplog.at_level(logging.DEBUG, "onegate"):
        used(observer, ErrorReply(-32000, "the password is canary"))
        used(observer, UpstreamUnavailable("a", "canary"))
    assert "canary" not in caplog.text + repr(observer.recent.events) + repr(observer.measures.operations)


def test_a_denial_is_in_the_log_of_its_component(caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()
    with caplog.at_level(logging.INFO, "onegate"):
        use = observer.begin("prompts/get", {}, VIEWER)
        use.found("p", "a")
        use.decided(DENIED)
        observer.failed(use, McpError(-32602, "Unknown prompt: p"))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("onegate.rbac", "INFO")
    assert record.getMessage() == 'prompts/get p: denied by jwt.role == "admin"'
    assert vars(record)["identity"] == "vera"


class FullSink:
    def reserve(self) -> bool:
        return False

    def write(self, *line: Any) -> None:
        raise AssertionError("no room was kept")


def test_without_room_for_its_audit_line_nothing_is_served() -> None:
    observer = Observer(audit=FullSink())
    with pytest.raises(Refused):
        observer.begin("tools/call", {}, VIEWER)
    observer.begin("tools/list", {}, VIEWER)
    assert observer.measures.audit_refused == 1
