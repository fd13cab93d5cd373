"""Time limits that most calls stay within: many of one length share one timer of the loop. Knows time, nothing else.

A timer of its own for each call costs more than the call's look-up; here setting one and taking it back are an entry in
a table. Those of one length end in the order in which they began, so only the first has to be watched.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

Ring = Callable[[], None]

SLACK: Final = 0.002  # seconds: what is due so soon after another rings with it


class Alarm:
    """One that was set: when it is due, by the loop's clock, and what is called then."""

    __slots__ = ("due", "ring")

    def __init__(self, due: float, ring: Ring) -> None:
        self.due = due
        self.ring = ring


class Alarms:
    """Alarms of one length in seconds. Use within one event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._set: dict[Alarm, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._set)

    def set(self, ring: Ring) -> Alarm:
        """Have ``ring`` called when the time is over, unless it is taken back before."""
        loop = self.loop
        if loop is None:
            loop = self.loop = asyncio.get_running_loop()
        alarm = Alarm(loop.time() + self.seconds, ring)
        self._set[alarm] = None
        if self._timer is None:
            self._timer = loop.call_at(alarm.due, self._look)
        return alarm

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


class Deadline:
    """Ends the block of the running task with TimeoutError, as `asyncio.timeout` does; it can be moved meanwhile.

    ``most`` are the seconds from its begin to which `extend` and `suspend` move it at the latest.
    """

    __slots__ = ("_alarm", "_alarms", "_cancelling", "_expired", "_latest", "_most", "_task", "_timer")

    def __init__(self, alarms: Alarms, most: float) -> None:
        self._alarms = alarms
        self._most = most
        self._expired = False
        self._alarm: Alarm | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "Deadline":
        self._alarm = alarm = self._alarms.set(self._expire)
        task = asyncio.current_task(self._alarms.loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._latest = alarm.due - self._alarms.seconds + max(self._most, self._alarms.seconds)
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
        if self._expired or (self._alarm is None and self._timer is None):
            return  # it is over, or the block is
        self._stop()
        self._timer = asyncio.get_running_loop().call_at(min(when, self._latest), self._expire)

    def _stop(self) -> None:
        if self._alarm is not None:
            self._alarms.take_back(self._alarm)
            self._alarm = None  # it refers back to here
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._stop()
        self._expired = True
        self._task.cancel()
