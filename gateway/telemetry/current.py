"""The request that the running task serves: what log lines, answers and spans name it by. Knows nothing of MCP."""

import itertools
import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Trace

Stage = tuple[str, int, int]
"""What was done before the method of a request was known: its name, start and end in nanoseconds since 1970."""

UNTIMED: Final = nullcontext()
NO_HEADERS: Final[Mapping[str, str]] = {}

_PROCESS: Final = secrets.token_hex(4)  # no two processes give the same id, however often they start
_NUMBERS: Final = itertools.count(1)


def new_id() -> str:
    """A name for one request: unique, and short enough to be read out."""
    return f"{_PROCESS}-{next(_NUMBERS):06x}"


@dataclass(slots=True)
class Serving:
    """One request being served. ``trace`` is None for one that is not sampled."""

    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    """Of the HTTP request; names in lower case."""
    stages: list[Stage] | None = None
    """None where nothing is traced."""
    request_id: str = field(default_factory=new_id)
    trace: "Trace | None" = None
    context: dict[str, str] | None = None
    """The W3C trace context that came with the request."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time what is done within the block, where anything is traced."""
        return UNTIMED if self.stages is None else _Timed(self.stages, name)

    def passed(self, name: str) -> None:
        """Note a stage that ends now, and that began with the end of the one before, if there was one."""
        stages = self.stages
        if stages is not None:
            now = time.time_ns()
            stages.append((name, stages[-1][2] if stages else now, now))

    def part(self) -> "Serving":
        """One of several requests that came as one: traced by itself, and named as the whole in log and audit."""
        return Serving(self.headers, None if self.stages is None else [], self.request_id)

    def finish(self) -> None:
        """The answer is written."""
        if self.trace is not None:
            self.trace.finish()


SERVING: Final[ContextVar[Serving | None]] = ContextVar("serving", default=None)
"""Set by the transport in the task that serves a request; tasks that this one starts see it too."""


class _Timed:
    """A block that notes when it began and ended; a class, as a generator would cost three times as much."""

    __slots__ = ("_begun", "_name", "_stages")

    def __init__(self, stages: list[Stage], name: str) -> None:
        self._stages = stages
        self._name = name

    def __enter__(self) -> None:
        self._begun = time.time_ns()

    def __exit__(self, *_: object) -> None:
        self._stages.append((self._name, self._begun, time.time_ns()))
