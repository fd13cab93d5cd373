"""Calls with an idempotency key: each runs once, and whoever repeats it gets the answer of that one run.

It starts what runs and keeps what it ended with; who may call what was settled before it is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.errors import INVALID_PARAMS, McpError, Refused
from gateway.once_store import Name, Part, Store
from upstreams import wire
from upstreams.errors import ConnectionLost, ErrorReply, UpstreamTimeout, UpstreamUnavailable

Result = dict[str, Any]
Work = Callable[[], Awaitable[Result]]

OTHER: Final = "this idempotency key came with another request"
NO_ANSWER: Final = "this call has run under its idempotency key, and its answer was not kept; it does not run again"
CUT_OFF: Final = "this call was cancelled under its idempotency key and may have run; it does not run again"


class CutOff(McpError):
    """The call was cancelled on its way."""

    def __init__(self) -> None:
        super().__init__(INVALID_PARAMS, f"Invalid params: {CUT_OFF}", status=409)


@dataclass(frozen=True, slots=True)
class Once:
    """The idempotency key of one request. ``owner`` and ``scope`` are digests of who asks, and of what else must be
    the same for a key to be the same one.

    ``body`` is the digest of a body in which calls are counted by ``index``. A call that is ``tied`` to its request is
    cancelled with it, as no request of that kind is cancelled by a client that only hangs up.
    """

    repeats: "Repeats"
    key: str
    owner: bytes
    scope: bytes
    body: bytes = b""
    index: int = 0
    tied: bool = False

    @property
    def name(self) -> Name:
        """The key within its scope."""
        return (self.scope, self.key)

    def of(self, body: bytes, index: int = 0) -> "Once":
        """The same key for one call of a body."""
        return replace(self, body=body, index=index)

    def check(self) -> None:
        """Raise `McpError` when the key came with another body before."""
        keyed = self.repeats.store.find(self.owner, self.name)
        if keyed is not None and keyed.digest != self.body:
            raise _conflict(OTHER)

    async def answer(self, call: bytes, work: Work) -> Result:
        """Return the result of ``work``, or that of the run before; raises what that raised.

        ``call`` is the digest of what ``work`` asks. Raises `McpError` when the key is that of another call.
        """
        return await self.repeats.answer(self, call, work)


@dataclass(slots=True, eq=False)
class _Run:
    """One call under way, and those who wait for it."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    withdrawn: bool = False
    task: "asyncio.Task[Any] | None" = None
    outcome: Result | Exception = field(default_factory=CutOff)

    def withdraw(self) -> None:
        """Nobody wants it any more."""
        self.withdrawn = True
        if self.task is not None:
            self.task.cancel()


class Repeats:
    """The calls with idempotency keys of one gateway. ``spawn`` starts what goes on without its client."""

    def __init__(self, spawn: Callable[..., None], store: Store | None = None) -> None:
        self.store = Store() if store is None else store
        self._spawn = spawn
        self._runs: dict[Part, _Run] = {}

    async def answer(self, once: Once, call: bytes, work: Work) -> Result:
        """See `Once.answer`."""
        once.check()
        keyed = self.store.find(once.owner, once.name)
        part = None if keyed is None else keyed.parts.get(once.index)
        if part is None:
            return await self._wait(once, self._begin(once, call, work))
        if part.digest != call:
            raise _conflict(OTHER)
        if part.running:
            return await self._wait(once, self._runs[part])
        if part.data is None:
            raise _conflict(NO_ANSWER)
        return said_again(part.data)

    def _begin(self, once: Once, call: bytes, work: Work) -> _Run:
        part = self.store.begin(once.owner, once.name, once.body, once.index, call)
        if part is None:
            raise Refused("Too many calls with idempotency keys are running")
        run = self._runs[part] = _Run()
        self._spawn(self._carry, once, part, run, work)
        return run

    async def _wait(self, once: Once, run: _Run) -> Result:
        """Wait for the end of a run, which its call's own limits bound."""
        run.waiting += 1
        try:
            await run.done.wait()
        except asyncio.CancelledError:
            if once.tied and run.waiting == 1 and not run.done.is_set():
                run.withdraw()
            raise
        finally:
            run.waiting -= 1
        if isinstance(run.outcome, Exception):
            raise run.outcome
        return run.outcome

    async def _carry(self, once: Once, part: Part, run: _Run, work: Work) -> None:
        """Run to the end, whoever still waits."""
        run.task = asyncio.current_task()
        assert run.task is not None
        keeps = not run.withdrawn  # else nothing has been sent
        try:
            if keeps:
                run.outcome = await work()
        except asyncio.CancelledError:
            if not run.withdrawn:
                raise
            run.task.uncancel()
        except Exception as exc:
            run.outcome = exc
        finally:
            del self._runs[part]
            if keeps and kept(run.outcome):
                self.store.finish(once.owner, once.name, part, written(run.outcome))
            else:
                self.store.drop(once.owner, once.name, once.index)
            run.done.set()


def kept(outcome: Result | Exception) -> bool:
    """Whether a repeat gets this again: the upstream may have done what it was asked."""
    if isinstance(outcome, dict):
        return outcome.get("resultType") != "input_required"
    if isinstance(outcome, UpstreamUnavailable):
        lost = outcome.__cause__
        return isinstance(lost, ConnectionLost) and not lost.nothing_sent
    return isinstance(outcome, CutOff) or not isinstance(outcome, McpError)


def written(outcome: Result | Exception) -> bytes | None:
    """An outcome as bytes, whose size is known; None for one that cannot be said again."""
    match outcome:
        case dict():
            words: list[Any] = ["result", outcome]
        case ErrorReply():
            words = ["error", outcome.code, outcome.message, outcome.data]
        case UpstreamTimeout():
            words = ["timeout", outcome.upstream, outcome.seconds]
        case UpstreamUnavailable():
            words = ["lost", outcome.upstream, outcome.reason]
        case CutOff():
            words = ["cut off"]
        case _:
            return None
    try:
        return wire.dumps(words)
    except TypeError:  # nested deeper than can be written, and so than can be answered
        return None


def said_again(data: bytes) -> Result:
    """Return the result that was written, or raise what was."""
    kind, *words = wire.loads(data)
    if kind == "result":
        result: Result = words[0]
        return result
    raise ERRORS[kind](*words)


def _lost(upstream: str, reason: str) -> UpstreamUnavailable:
    """With its cause, by which whoever answers tells that the call may have run."""
    error = UpstreamUnavailable(upstream, reason)
    error.__cause__ = ConnectionLost(reason)
    return error


ERRORS: Final[dict[str, Callable[..., Exception]]] = {
    "error": ErrorReply,
    "timeout": UpstreamTimeout,
    "lost": _lost,
    "cut off": CutOff,
}


def _conflict(words: str) -> McpError:
    return McpError(INVALID_PARAMS, f"Invalid params: {words}", status=409)
