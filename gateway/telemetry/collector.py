"""Tells of a collector that takes nothing, in own words and seldom; the library of the exporters does at each attempt.

Knows neither spans nor metrics.
"""

import logging
import time
from functools import cache
from typing import Final

log = logging.getLogger("onegate.telemetry")

QUIET_SECONDS: Final = 600.0  # a collector that is down for a day is not worth thousands of lines


class Word:
    """What is said of sending one thing; ``exporter`` is the library's class that sends it."""

    def __init__(self, what: str, exporter: type) -> None:
        self._what = what
        self._why = _reason(exporter.__module__)
        self._told: float | None = None
        self._ended = False

    def heard(self, sent: bool) -> None:
        """One attempt has ended."""
        now, why = time.monotonic(), self._why.taken()
        if sent:
            if self._told is not None:
                log.info("%s are sent to the collector again", self._what)
            self._told = None
        elif not self._ended and (self._told is None or now - self._told > QUIET_SECONDS):
            log.warning("%s cannot be sent to the collector: %s", self._what, why)
            self._told = now

    def end(self) -> None:
        """What fails from now on is told by whoever ends it."""
        self._ended = True


class _Reason(logging.Filter):
    """Keeps the first that the exporter says of an attempt, and lets nothing through."""

    def __init__(self) -> None:
        super().__init__()
        self._said = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self._said = self._said or record.getMessage()
        return False

    def taken(self) -> str:
        said, self._said = self._said, ""
        return said


@cache
def _reason(logger: str) -> _Reason:
    """One for each logger, however often exporters are made."""
    reason = _Reason()
    logging.getLogger(logger).addFilter(reason)
    return reason
