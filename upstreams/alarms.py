"""Time limits that most calls stay within: many of one length share one timer of the loop. Knows time, nothing else.

A timer of its own for each call costs more than the call's look-up; here setting one and taking it back are an entry in
a table. Those of one length end in the order in which they began, so only the first has to be watched.
"""

import asyncio
from types import TracebackType
from typing import Final

SLACK: Final = 0.002  # seconds: what is due so soon after another rings with it


class Alarm:
    """One that was set: when it is ``due``, by the loop's clock, and what is done then."""

    __slots__ = ("due",)

    due: float

    def ring(self) -> None:
        """The time is over."""
        raise NotImplementedError


class Alarms:
    """Alarms of one length in seconds. Use within one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._set: dict[Alarm, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._set)

    def add(self, alarm: Alarm) -> None:
        """Have it ring when the time is over, unless it is taken back before."""
        loop = self.loop
        if loop is None:
            loop = self.loop = asyncio.get_running_loop()
        alarm.due = loop.time() + self.seconds
        self._set[alarm] = None
        if self._timer is None:
            self._timer = loop.call_at(alarm.due, self._look)

    def take_back(self, alarm: Alarm) -> None:
        """Not to be rung; nothing where it has rung."""
        self._set.pop(alarm, None)

    def _look(self) -> None:
        """The timer was set for the first one of then, which may be gone: ring what is due, wait for the next."""
        assert self.loop is not None
        until = self.loop.time() + SLACK
        try:
            while self._set and (alarm := next(iter(self._set))).due <= until:
                del self._set[alarm]
                alarm.ring()
        finally:  # not before: one that rings may set another, which is not the next
            first = next(iter(self._set), None)
            self._timer = None if first is None else self.loop.call_at(first.due, self._look)


class Deadline(Alarm):
    """Ends the block of the running task with TimeoutError, as `asyncio.timeout` does; it can be moved meanwhile.

    ``most`` are the seconds from its begin to which `extend` and `suspend` move it at the latest.
    """

    __slots__ = ("_alarms", "_cancelling", "_expired", "_latest", "_most", "_shared", "_task", "_timer")

    def __init__(self, alarms: Alarms, most: float) -> None:
        self._alarms = alarms
        self._most = most
        self._expired = False
        self._shared = False  # whether the time runs that is shared with others
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "Deadline":
        alarms = self._alarms
        alarms.add(self)
        self._shared = True
        task = asyncio.current_task(alarms.loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._latest = self.due + max(self._most - alarms.seconds, 0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc

    def extend(self) -> None:
        """Something was heard: from now on the whole time again."""
        self._move(asyncio.get_running_loop().time() + self._alarms.seconds)

    def suspend(self) -> None:
        """Somebody needs time."""
        self._move(self._latest)

    def _move(self, when: float) -> None:
        if self._expired or not (self._shared or self._timer):
            return  # it is over, or the block is
        self._stop()
        self._timer = asyncio.get_running_loop().call_at(min(when, self._latest), self.ring)

    def _stop(self) -> None:
        if self._shared:
            self._alarms.take_back(self)
            self._shared = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ring(self) -> None:
        """The time is over: end the block."""
        self._stop()
        self._expired = True
        self._task.cancel()
