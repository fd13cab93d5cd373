"""The person at the terminal as an MCP client: sees progress and log messages, answers forms. Knows no server."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from gateway.cli_output import note
from gateway.logs import escaped
from upstreams.channel import METHOD_NOT_FOUND
from upstreams.errors import ErrorReply
from upstreams.upstream import LEVELS

Form = dict[str, Any]

SHOWN_FROM: Final = "info"
YES: Final = frozenset({"y", "yes", "true", "1"})
NO: Final = frozenset({"n", "no", "false", "0"})
READ_BYTES: Final = 65_536


class EndOfInput(Exception):
    """The person closed stdin instead of answering."""


class TerminalChannel:
    """A client channel that talks to whoever sits at the terminal; elsewhere it hears nothing and refuses."""

    face: Final = "modern"

    def __init__(self) -> None:
        self.client: Hashable = object()
        self.watched = sys.stderr.isatty()
        self.answers = self.watched and sys.stdin.isatty()
        self.log_level = SHOWN_FROM if self.watched else None
        self.capabilities: Mapping[str, Any] = {"elicitation": {"form": {}}} if self.answers else {}

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Show progress and log messages to a person who watches."""
        show = SHOWN.get(method)
        if self.watched and show is not None and (line := show(params)):
            note(line)

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Put the question of a tool to the person. Raises `ErrorReply` where nobody can answer it."""
        if not self.answers or method != "elicitation/create" or params.get("mode", "form") != "form":
            raise ErrorReply(METHOD_NOT_FOUND, f"The command line cannot answer {method} here")
        note(f"\n{params.get('message', '')}  (Ctrl-D refuses)")
        schema = params.get("requestedSchema")
        try:
            return {"action": "accept", "content": await fill(schema if isinstance(schema, dict) else {}, read_line)}
        except EndOfInput:
            note("refused")
            return {"action": "decline"}


async def fill(schema: Form, read: "Callable[[str], Any]") -> Form:
    """Ask for each field of a flat form (MCP 2025-11-25, client/elicitation). Raises `EndOfInput`."""
    properties = schema.get("properties")
    required = schema.get("required")
    fields = properties if isinstance(properties, dict) else {}
    content: Form = {}
    if not fields and not parse_boolean(await read("Agree? [y/n] "), {}):
        raise EndOfInput
    for name, field in fields.items():
        rule = field if isinstance(field, dict) else {}
        value = await _field(name, rule, isinstance(required, list) and name in required, read)
        if value is not None:
            content[name] = value
    return content


async def read_line(prompt: str) -> str:
    """Read one line from the terminal without holding up the event loop. Raises `EndOfInput`."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[bytes] = loop.create_future()

    def answer(data: bytes) -> None:
        if not line.done():
            line.set_result(data)

    def wait() -> None:
        # Not through sys.stdin: a thread that waits in its buffer makes Python abort at exit.
        try:
            data = os.read(sys.stdin.fileno(), READ_BYTES)
        except OSError:  # the terminal is gone
            data = b""
        if not loop.is_closed():
            loop.call_soon_threadsafe(answer, data)

    print(prompt, end="", file=sys.stderr, flush=True)
    threading.Thread(target=wait, daemon=True).start()
    data = await line
    if not data:
        raise EndOfInput
    return data.decode("utf-8", "replace").strip()


async def _field(name: str, rule: Form, required: bool, read: "Callable[[str], Any]") -> Any:
    """One answer that fits its rule; asked again until it does."""
    parse = PARSERS.get(str(rule.get("type")), parse_text)
    default = rule.get("default")
    while True:
        answer = await read(_prompt(name, rule, required))
        if not answer and default is not None:
            return default
        if not answer and not required:
            return None
        try:
            if answer:
                return parse(answer, rule)
        except ValueError as exc:
            note(str(exc))


def _prompt(name: str, rule: Form, required: bool) -> str:
    what = rule.get("description") or rule.get("title")
    options = _options(rule if rule.get("type") != "array" else rule.get("items", {}))
    hints = [" | ".join(options)] if options else ["y/n"] if rule.get("type") == "boolean" else []
    if rule.get("default") is not None:
        hints.append(f"default {rule['default']}")
    elif not required:
        hints.append("may be empty")
    hint = f" [{'; '.join(hints)}]" if hints else ""
    return escaped(f"  {name}{f' ({what})' if what else ''}{hint}: ")


def _options(rule: Any) -> list[str]:
    """The values that a choice allows: `enum`, or `const` with a title each."""
    if not isinstance(rule, dict):
        return []
    if isinstance(rule.get("enum"), list):
        return [str(value) for value in rule["enum"]]
    titled = rule.get("oneOf") or rule.get("anyOf") or []
    return [str(one["const"]) for one in titled if isinstance(one, dict) and "const" in one]


def parse_text(answer: str, rule: Form) -> str:
    """A text, one of the choices if there are any."""
    options = _options(rule)
    if options and answer not in options:
        raise ValueError(f"  one of: {', '.join(options)}")
    return answer


def parse_boolean(answer: str, _: Form) -> bool:
    """Yes or no."""
    if answer.lower() in YES | NO:
        return answer.lower() in YES
    raise ValueError("  y or n")


def parse_integer(answer: str, _: Form) -> int:
    """A whole number."""
    try:
        return int(answer)
    except ValueError:
        raise ValueError("  a whole number") from None


def parse_number(answer: str, _: Form) -> float:
    """A number."""
    try:
        return float(answer)
    except ValueError:
        raise ValueError("  a number") from None


def parse_several(answer: str, rule: Form) -> list[str]:
    """Several choices, with commas between them."""
    return [parse_text(part.strip(), rule.get("items") or {}) for part in answer.split(",") if part.strip()]


PARSERS: Final[dict[str, Callable[[str, Form], Any]]] = {
    "string": parse_text,
    "boolean": parse_boolean,
    "integer": parse_integer,
    "number": parse_number,
    "array": parse_several,
}


def _progress_line(params: Mapping[str, Any]) -> str:
    done, total = params.get("progress"), params.get("total")
    message = params.get("message")
    return f"  {done}{f'/{total}' if total is not None else ''}{f' {message}' if message else ''}"


def _message_line(params: Mapping[str, Any]) -> str:
    level = params.get("level")
    if level in LEVELS and LEVELS.index(level) < LEVELS.index(SHOWN_FROM):
        return ""
    return f"  {level}: {params.get('data')}"


SHOWN: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "notifications/progress": _progress_line,
    "notifications/message": _message_line,
}
