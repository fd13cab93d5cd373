"""Where the log goes and how a line looks: stderr only, readable on a terminal, one JSON object per event in a pipe.

It knows the names of the loggers and nothing of what they say.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

ROOT: Final = "onegate"
COMPONENTS: Final = ("mcp", "upstream", "http", "rbac", "auth")
LIBRARY_LEVEL: Final = logging.WARNING  # what libraries say below that is about themselves

COLOURS: Final = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
PLAIN: Final = "\x1b[0m"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

log = logging.getLogger(ROOT)


def set_up(level: str, levels: Mapping[str, str], stream: TextIO | None = None, colour: bool = False) -> None:
    """Send every event to ``stream`` (stderr), from ``level`` on, or from a component's own level on."""
    stream = stream or sys.stderr
    handler = _Handler(stream)
    handler.setFormatter(TerminalFormatter(colour) if stream.isatty() else JsonFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LIBRARY_LEVEL)
    set_levels(level, levels)


def set_levels(level: str, levels: Mapping[str, str]) -> None:
    """Write events from ``level`` on, or from a component's own level on."""
    log.setLevel(level.upper())
    for name in COMPONENTS:
        own = levels.get(name)
        logging.getLogger(f"{ROOT}.{name}").setLevel(own.upper() if own else logging.NOTSET)
    for name in levels.keys() - set(COMPONENTS):
        log.warning("telemetry.log.levels: unknown component %s; known are %s", name, ", ".join(COMPONENTS))


def escaped(text: str, keep: str = "") -> str:
    """Spell out every character that a person does not see (controls, bidirectional, zero-width) but those of
    ``keep``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, component, message, and whatever the event carries in ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line break, whatever the event holds."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        event = {
            "time": moment.removesuffix("+00:00") + "Z",
            "level": record.levelname.lower(),
            "component": _component(record),
            "message": record.getMessage(),
        }
        event = {**event, **{name: value for name, value in _extra(record).items() if name not in event}}
        if (error := _error(record)) is not None:
            event["error"] = error
        if (trace := _trace(record)) is not None:
            event["traceback"] = trace
        text = json.dumps(event, ensure_ascii=False, default=str)
        return text if text.isprintable() else "".join(c if c.isprintable() else _json_escape(c) for c in text)


class TerminalFormatter(logging.Formatter):
    """Time of day, level, component and message; fields of ``extra`` that the message does not name follow it."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line; at debug level a traceback follows it."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        level, message = record.levelname.lower(), record.getMessage()
        fields = [f"{name}={value}" for name, value in _extra(record).items() if str(value) not in message]
        error = _error(record)
        said = ": ".join(part for part in (message, error) if part)
        line = escaped(" ".join([f"{moment} {level:7} {_component(record):8} {said}", *fields]))
        if (trace := _trace(record)) is not None:
            line += "\n" + escaped(trace, keep="\n")
        start = COLOURS.get(level) if self._colour else None
        return f"{start}{line}{PLAIN}" if start else line


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """A log that nobody reads any more, or an event that cannot be written, stops nothing."""


def _component(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{ROOT}.")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _error(record: logging.LogRecord) -> str | None:
    """The exception in a few words, for people who do not read our code."""
    error = record.exc_info[1] if record.exc_info else None
    return None if error is None else ": ".join(part for part in (type(error).__name__, str(error)) if part)


def _trace(record: logging.LogRecord) -> str | None:
    """The traceback, where the user asked for that much."""
    if not record.exc_info or not log.isEnabledFor(logging.DEBUG):
        return None
    return logging.Formatter().formatException(record.exc_info)


def _json_escape(character: str) -> str:
    text = json.dumps(character)[1:-1]
    return text if text.isprintable() and text != character else f"\\u{ord(character):04x}"
