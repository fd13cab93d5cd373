"""What it costs to write down a call: counts, spans, an audit line; microseconds per call, the best of five rounds.

`PYTHONPATH=. python tests/bench/telemetry.py`. Figures, no verdicts.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from shown import show

from gateway.telemetry.audit import AuditLog
from gateway.telemetry.audit_file import AuditFile
from gateway.telemetry.audit_line import Lines
from gateway.telemetry.current import SERVING, Serving
from gateway.telemetry.observer import Observer
from gateway.telemetry.tracing import Ended, Tracing
from policies.model import Caller, Decision, Identity

ROUNDS, CALLS = 5, 20_000
CALLER = Caller(Identity("jwt", "ada", "https://idp.example.com", {"role": "developer"}))
PARAMS = {"name": "fast_echo", "arguments": {"text": "the quick brown fox", "count": 3}}
RESULT = {"content": [{"type": "text", "text": "the quick brown fox"}]}
ALLOWED = Decision(True, 'jwt.role == "developer"')
HEADERS = {"host": "127.0.0.1"}


def call(observer: Observer) -> None:
    """Everything that is written down of one tools/call over HTTP."""
    serving = Serving(HEADERS, None if observer.tracing is None else [])
    SERVING.set(serving)
    with serving.stage("gateway.authenticate"):
        pass
    with serving.stage("gateway.receive"):
        pass
    use = observer.begin("tools/call", PARAMS, CALLER)
    use.found("fast_echo", "fast")
    use.arguments = PARAMS["arguments"]  # type: ignore[assignment]
    use.decided(ALLOWED)
    use.sending("fast", PARAMS, None)
    observer.ended(use, RESULT)
    serving.finish()


def microseconds(run: Callable[[], None], calls: int = CALLS) -> float:
    """CPU time of the whole process, threads included, per call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(calls):
            run()
        rounds.append((time.process_time() - start) / calls)
    return min(rounds) * 1e6


def traced(share: float) -> Observer:
    """An observer that samples this share; spans end in memory and are dropped."""
    return Observer(tracing=Tracing(Ended(SpanProcessor(), Resource.get_empty()), share))


def audit(folder: Path) -> AuditLog:
    """A log that takes as much as comes: what is measured is the work, not how it is bounded."""
    return AuditLog(AuditFile(folder / "audit.jsonl"), Lines("digest", b"k" * 32), (10**9, 10**12))


def figures() -> dict[str, float]:
    """What is measured, with its unit, and the figure; the later ones include the first."""
    counted, rare, every = Observer(), traced(0.01), traced(1.0)
    with TemporaryDirectory() as folder:
        audited = Observer(audit=audit(Path(folder)))
        line = microseconds(lambda: call(audited))
    return {
        "metrics, us": microseconds(lambda: call(counted)),
        "metrics and an audit line with a digest, us": line,
        "metrics and traces at 1 %, us": microseconds(lambda: call(rare)),
        "metrics and traces of every call, us": microseconds(lambda: call(every), CALLS // 10),
    }


if __name__ == "__main__":
    show(figures())
