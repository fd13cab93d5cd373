"""Where the log goes and how a line looks: stderr only, readable on a terminal, one JSON object per event in a pipe.

It knows the names of the loggers and nothing of what they say; what masks secrets in it is given to it.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from gateway.logs_repeats import Repeats
from gateway.telemetry.current import SERVING

if TYPE_CHECKING:
    from gateway.config_telemetry import LogConfig

ROOT: Final = "onegate"
COMPONENTS: Final = ("mcp", "upstream", "http", "rbac", "auth", "telemetry")
LIBRARY_LEVEL: Final = logging.WARNING  # what libraries say below that is about themselves

COLOURS: Final = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
PLAIN: Final = "\x1b[0m"

OWN_FIELDS: Final = frozenset(
    {"time", "level", "component", "message", "request_id", "trace_id", "span_id", "traceback"}
)
"""What only this module says of an event: fields of these names in `extra` are left out."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_HIDDEN: Final = _STANDARD | OWN_FIELDS

Redact = Callable[[str], str]
"""Masks what is secret in a text."""

log = logging.getLogger(ROOT)


def set_up(config: "LogConfig", redact: Redact, stream: TextIO | None = None, colour: bool = False) -> None:
    """Send every event to ``stream`` (stderr), as the config says."""
    root = logging.getLogger()
    for old in _handlers():
        root.removeHandler(old)
    root.addHandler(_Handler(stream or sys.stderr, redact, colour))
    root.setLevel(LIBRARY_LEVEL)
    renew(config)


def renew(config: "LogConfig") -> None:
    """Go on under another config: the form of lines, the common level, and those of components."""
    for handler in _handlers():
        handler.take(config)
    log.setLevel(config.level.upper())
    for name in COMPONENTS:
        own = config.levels.get(name)
        logging.getLogger(f"{ROOT}.{name}").setLevel(own.upper() if own else logging.NOTSET)
    for name in config.levels.keys() - set(COMPONENTS):
        log.warning("telemetry.log.levels: unknown component %s; known are %s", name, ", ".join(COMPONENTS))


def mask_with(redact: Redact) -> None:
    """Mask with this from now on, wherever the log is set up."""
    for handler in _handlers():
        handler.redact = redact


def escaped(text: str, keep: str = "") -> str:
    """Spell out every character that a person does not see (controls, bidirectional, zero-width) but those of
    ``keep``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, component, message, whose request it is, and what the event has in ``extra``."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line break, whatever the event holds."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        redact = self._redact
        event = {
            "time": moment.removesuffix("+00:00") + "Z",
            "level": record.levelname.lower(),
            "component": _component(record),
            "message": redact(record.getMessage()),
            **_request(),
            **{name: value if type(value) in NUMBERS else redact(str(value)) for name, value in _extra(record)},
        }
        if (error := _error(record)) is not None:
            event["error"] = redact(error)
        if (trace := _trace(record)) is not None:
            event["traceback"] = redact(trace)
        text = json.dumps(event, ensure_ascii=False)
        return text if text.isprintable() else "".join(c if c.isprintable() else _json_escape(c) for c in text)


class TerminalFormatter(logging.Formatter):
    """Time of day, level, component and message; fields of ``extra`` that the message does not name follow it."""

    def __init__(self, redact: Redact, colour: bool) -> None:
        super().__init__()
        self._redact = redact
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line; at debug level a traceback follows it."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        level, message, redact = record.levelname.lower(), record.getMessage(), self._redact
        fields = [f"{name}={redact(str(value))}" for name, value in _extra(record) if str(value) not in message]
        fields += [f"{name}={value}" for name, value in _request().items()]
        error = _error(record)
        said = redact(": ".join(part for part in (message, error) if part))
        line = escaped(" ".join([f"{moment} {level:7} {_component(record):8} {said}", *fields]))
        if (trace := _trace(record)) is not None:
            line += "\n" + escaped(redact(trace), keep="\n")
        start = COLOURS.get(level) if self._colour else None
        return f"{start}{line}{PLAIN}" if start else line


NUMBERS: Final = (int, float, bool, type(None))


class _Handler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, redact: Redact, colour: bool) -> None:
        super().__init__(stream)
        self.redact = redact
        self._colour = colour
        self.addFilter(Repeats())

    def take(self, config: "LogConfig") -> None:
        """Write lines in the form that the config asks for."""
        as_text = config.format == "text" or (config.format == "auto" and self.stream.isatty())
        self.setFormatter(TerminalFormatter(self._mask, self._colour) if as_text else JsonFormatter(self._mask))

    def _mask(self, text: str) -> str:
        return self.redact(text)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """A log that nobody reads any more, or an event that cannot be written, stops nothing."""


def _handlers() -> list[_Handler]:
    return [one for one in logging.getLogger().handlers if isinstance(one, _Handler)]


def _request() -> dict[str, str]:
    """Whose request the running task serves, if any; asked only for a line that is written."""
    serving = SERVING.get()
    if serving is None:
        return {}
    named = {"request_id": serving.request_id}
    if serving.trace is None:
        return named
    trace_id, span_id = serving.trace.ids()
    return {**named, "trace_id": trace_id, "span_id": span_id}


def _component(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{ROOT}.")


def _extra(record: logging.LogRecord) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(record).items() if name not in _HIDDEN]


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
