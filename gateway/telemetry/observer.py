"""Follows each request through the relay and writes down how it ended: counts, audit line, span, the last failures.

It decides nothing and never quotes what a client or an upstream said.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import FORBIDDEN, INVALID_PARAMS, McpError, RateLimited, Refused
from gateway.telemetry.context import incoming
from gateway.telemetry.current import SERVING, Serving
from gateway.telemetry.measures import UNKNOWN, Measures
from gateway.telemetry.recent import Event, Recent
from policies.model import ANONYMOUS, Caller, Decision
from upstreams.errors import ErrorReply, UpstreamBusy, UpstreamTimeout, UpstreamUnavailable

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing

mcp_log = logging.getLogger("onegate.mcp")
rbac_log = logging.getLogger("onegate.rbac")

USES: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""The methods that are decided on: each has its audit line, and the spans of its way to the upstream."""

MAX_TARGET: Final = 1_024  # characters of a URI that are written down: clients choose it

NAMELESS: Final = Caller(ANONYMOUS)
NO_PARAMS: Final[Mapping[str, Any]] = {}


@dataclass(slots=True, eq=False)
class Use:
    """One request on its way through the relay, and what is known of it so far."""

    method: str
    caller: Caller = NAMELESS
    serving: Serving | None = None
    begun: float = 0.0  # of the clock of `time.perf_counter`, as `sent`
    sent: float = 0.0
    target: str = ""
    """A tool's canonical name, a prompt's or resource's own; empty while nothing of that name is known."""
    upstream: str = ""
    decision: Decision | None = None
    arguments: Mapping[str, Any] | None = None
    """As they are decided on and sent; nobody changes them after that."""
    params: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMS)
    """Of the request, for the name that was asked for where it is nobody's."""
    audit: "AuditSink | None" = None
    """Where its line is reserved, also when another log has taken over meanwhile."""

    def found(self, target: str, upstream: str) -> None:
        """The name leads somewhere; whether this caller gets there is not said yet."""
        self.target, self.upstream = target if len(target) <= MAX_TARGET else target[:MAX_TARGET], upstream

    def decided(self, decision: Decision) -> None:
        """What policy said."""
        self.decision = decision
        if self.serving is not None and self.serving.trace is not None:
            self.serving.trace.authorized(self.method, self.target, decision.allowed)

    def sending(
        self, server: str, params: dict[str, Any], headers: Mapping[str, str] | None
    ) -> tuple[dict[str, Any], Mapping[str, str] | None]:
        """The request goes to its upstream now; returns what it takes along, the trace context included."""
        self.sent = time.perf_counter()
        serving = self.serving
        if serving is None or self.method not in USES:
            return params, headers
        trace = serving.trace
        context = serving.context if trace is None else trace.executing(server, self.arguments)
        if context is None:
            return params, headers
        return {**params, "_meta": {**params.get("_meta", {}), **context}}, {**(headers or {}), **context}


UNSEEN: Final = Use("")
"""Stands where nobody looks."""


class AuditSink(Protocol):
    """Takes one line for each use."""

    def reserve(self) -> bool:
        """Keep room for one line, which `write` then takes; False when there is none."""
        ...

    def write(self, use: Use, outcome: str, seconds: float, now: float) -> None:
        """Write the line of a use that has ended; ``now`` is in seconds since 1970."""
        ...


@dataclass(slots=True)
class Observer:
    """What every relay of one gateway tells; it outlives reloads. ``role_claim`` names a caller's role in metrics."""

    role_claim: str = "role"
    measures: Measures = field(default_factory=Measures)
    recent: Recent = field(default_factory=Recent)
    audit: AuditSink | None = None
    tracing: "Tracing | None" = None

    def begin(self, method: str, params: Mapping[str, Any], caller: Caller) -> Use:
        """Follow one request. Raises `Refused` when its audit line would have no room."""
        serving = SERVING.get()
        if serving is not None:
            serving.context = incoming(params.get("_meta"), serving.headers)
            if self.tracing is not None and serving.stages is not None:
                self.tracing.begin(serving, method)
        use = Use(method, caller, serving, time.perf_counter(), params=params)
        if method in USES:
            self._reserve(use)  # last: from here on nothing is in the way of its line
        return use

    def ended(self, use: Use, result: Mapping[str, Any]) -> None:
        """It has a result."""
        failed = result.get("isError") is True
        self._tell(use, "error" if failed else "success", "tool_error" if failed else "")

    def failed(self, use: Use, error: BaseException) -> None:
        """It has none. Whoever calls this raises the error on."""
        status, kind = _outcome(use, error)
        self._tell(use, status, kind)

    @contextmanager
    def deciding(self, method: str, params: Mapping[str, Any], caller: Caller) -> Iterator[Use]:
        """Follow a decision that is no request of its own, such as on one URI of many: it is audited and not counted.

        Raises `Refused` as `begin` does.
        """
        use = Use(method, caller, SERVING.get(), time.perf_counter(), params=params)
        self._reserve(use)
        try:
            yield use
        except BaseException as exc:
            _write_line(use, *_outcome(use, exc), time.perf_counter() - use.begun, time.time())
            raise
        _write_line(use, "success", "", time.perf_counter() - use.begun, time.time())

    def _reserve(self, use: Use) -> None:
        if self.audit is None:
            return
        if not self.audit.reserve():
            self.measures.audit_refused += 1
            if use.serving is not None and use.serving.trace is not None:
                use.serving.trace.executed("unavailable")
            raise Refused("The audit log cannot keep up; try again")
        use.audit = self.audit

    def _tell(self, use: Use, status: str, error: str) -> None:
        now = time.perf_counter()
        took = now - use.begun
        measures, method, target = self.measures, use.method, use.target
        if use.serving is not None and use.serving.trace is not None:
            use.serving.trace.executed(error)
        if method not in USES:
            measures.operation(method, "", error, took)
            return
        wall = time.time()
        _write_line(use, status, error, took, wall)
        if method == "tools/call":
            self.recent.call(wall)
            if target:
                measures.tool_call((target, use.upstream, status, error, use.sent > 0.0), took)
            else:
                measures.call(UNKNOWN, use.upstream, status)
                measures.operation(method, target, error, took)
            if use.sent:
                self.recent.duration(use.upstream, now - use.sent)
        else:
            measures.operation(method, "", error, took)
        if status != "success":
            self._tell_failure(use, status, error, wall)
        elif mcp_log.isEnabledFor(logging.DEBUG):
            mcp_log.debug("%s %s", method, target, extra={"upstream": use.upstream, "seconds": round(took, 6)})

    def _tell_failure(self, use: Use, status: str, error: str, wall: float) -> None:
        decision, identity = use.decision, use.caller.identity
        target = use.target or UNKNOWN
        reason = REASONS.get(status) or REASONS.get(error, error)
        if status == "denied":
            rule = decision.rule if decision is not None else None
            reason = f"denied by {rule}" if rule else "denied: no rule allows it"
            if use.method == "tools/call":
                self.measures.denial(target, self._role(use.caller))
        request_id = use.serving.request_id if use.serving is not None else ""
        event = Event(wall, request_id, status, use.method, target, use.upstream, identity.sub or identity.kind, reason)
        self.recent.failure(event)
        log, level = LOGGED.get(status, (mcp_log, logging.DEBUG))
        if log.isEnabledFor(level):
            log.log(level, "%s %s: %s", use.method, target, reason, extra=_extra(use))

    def _role(self, caller: Caller) -> str:
        role = caller.identity.claims.get(self.role_claim)
        return role if isinstance(role, str) else ""


REASONS: Final = {
    "rate_limited": "too many calls",
    "timeout": "the upstream did not answer in time",
    "unavailable": "the upstream is down, busy or resting",
    "tool_error": "the tool reported an error",
    "upstream_error": "the upstream answered with an error",
    "cancelled": "cancelled before it ended",
    str(INVALID_PARAMS): "an unknown name, or parameters that do not fit",
}
LOGGED: Final = {
    "denied": (rbac_log, logging.INFO),
    "rate_limited": (rbac_log, logging.INFO),
    "timeout": (mcp_log, logging.WARNING),
    "unavailable": (mcp_log, logging.WARNING),
}


def _outcome(use: Use, error: BaseException) -> tuple[str, str]:
    """The status of the contract's metric, and the type of error (OpenTelemetry, `error.type`)."""
    match error:
        case RateLimited():
            return "rate_limited", str(error.code)
        case UpstreamTimeout():
            return "timeout", "timeout"
        case UpstreamUnavailable() | UpstreamBusy() | Refused():
            return "unavailable", "unavailable"
        case asyncio.CancelledError():
            return "error", "cancelled"
        case McpError() if use.decision is not None and not use.decision.allowed:
            return "denied", str(FORBIDDEN)
        case McpError():
            return "error", str(error.code)
        case ErrorReply():
            return "error", "upstream_error"  # its codes are the upstream's to choose, without end
    return "error", type(error).__name__


def _write_line(use: Use, status: str, error: str, took: float, wall: float) -> None:
    if use.audit is not None:
        use.audit.write(use, status if error != "cancelled" else error, took, wall)


def _extra(use: Use) -> dict[str, str]:
    identity = use.caller.identity
    return {"upstream": use.upstream, "identity": identity.sub, "identity_kind": identity.kind}
