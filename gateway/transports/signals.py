"""Signals that end the program (the first one asks, the second one does not), and the one that asks for a reload."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

STOP_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


@contextmanager
def on_stop(first: Callable[[], None]) -> Iterator[None]:
    """Call ``first`` on the loop at the first stop signal; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def take(number: int) -> None:
        if seen:
            os._exit(128 + number)  # whoever asks twice does not want to wait; the watchdog takes the children along
        seen.append(number)
        first()

    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number in STOP_SIGNALS:
        try:
            loop.add_signal_handler(number, take, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(take, got))
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            try:
                loop.remove_signal_handler(number)
            except NotImplementedError:
                signal.signal(number, previous[number])


@contextmanager
def on_hangup(ask: Callable[[], None]) -> Iterator[None]:
    """Within `on_stop`: SIGHUP, where there is one, calls ``ask`` and stops nothing."""
    loop = asyncio.get_running_loop()
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    loop.add_signal_handler(signal.SIGHUP, ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def until_signal(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` until it ends or a stop signal cancels it."""
    task = asyncio.current_task()
    assert task is not None
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        task.cancel()

    with on_stop(stop):
        try:
            await work()
        except asyncio.CancelledError:
            if not stopped.is_set():
                raise
            task.uncancel()
