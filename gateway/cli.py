"""The command line: reads arguments, picks a command, and turns every mistake into a few words and an exit code.

What a command does is in its own `cli_*` file, imported when it is asked for.
"""

import argparse
import gc
import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from gateway import __version__
from gateway.cli_output import (
    FAILED,
    INTERRUPTED,
    OK,
    PIPE_CLOSED,
    USAGE,
    Mistake,
    close_stdout,
    note,
    out,
    prepare_streams,
)

Option = tuple[tuple[str, ...], dict[str, Any]]

CONFIG: Final[Option] = (
    ("-c", "--config"),
    {
        "type": Path,
        "metavar": "FILE",
        "default": argparse.SUPPRESS,  # so that it does not undo the one before the command
        "help": "the config; else $ONEGATE_CONFIG, ./onegate.yaml, ~/.config/onegate/onegate.yaml",
    },
)
HELP: Final[Option] = (("-h", "--help"), {"action": "store_true"})
VERSION: Final[Option] = (("--version",), {"action": "store_true"})
HOST: Final[Option] = (("--host",), {"metavar": "H", "help": "the address to listen on"})
PORT: Final[Option] = (("--port",), {"metavar": "P", "type": int, "help": "the port; 0 takes a free one"})
JSON: Final[Option] = (("--json",), {"action": "store_true", "help": "print JSON"})
AS_HELP: Final = """the caller's claims, such as '{"role": "viewer"}'"""
AS: Final[Option] = (("--as",), {"dest": "as_claims", "metavar": "CLAIMS_JSON", "help": AS_HELP})
URL: Final[Option] = (
    ("url",),
    {"metavar": "URL", "nargs": "?", "help": "its admin listener; else the config's, else http://127.0.0.1:9464"},
)
CONNECT: Final[Option] = (("--connect",), {"action": "store_true", "help": "also start every server and show a table"})
TOOL: Final[Option] = (("tool",), {"metavar": "TOOL", "help": "its name as `onegate tools` lists it"})
ARGUMENTS: Final[Option] = (
    ("arguments",),
    {"metavar": "JSON", "nargs": "?", "help": "the arguments, an object; - reads them from stdin"},
)
EXPLAIN: Final[Option] = (("action",), {"metavar": "explain", "choices": ["explain"], "help": "per tool: allow, deny"})
ONE_TOOL: Final[Option] = (("--tool",), {"metavar": "T", "help": "this tool only, and what every rule says of it"})
ARGS: Final[Option] = (("--args",), {"metavar": "JSON", "help": "the arguments of the call, an object"})
NEW: Final[Option] = (("action",), {"metavar": "new", "choices": ["new"], "help": "make a key"})
NAME: Final[Option] = (("name",), {"metavar": "NAME", "help": "whom the key is for"})


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it is for, the module whose `run(args)` it is, and its options."""

    purpose: str
    module: str
    options: tuple[Option, ...] = ()


COMMANDS: Final = {
    "serve": Command("serve over HTTP; prints the URL when ready", "gateway.cli_serve", (CONFIG, HOST, PORT)),
    "stdio": Command("serve over stdin and stdout; opens no port", "gateway.cli_stdio", (CONFIG,)),
    "check": Command("say what is wrong with the config", "gateway.cli_check", (CONFIG, CONNECT)),
    "tools": Command("list the tools, as clients see them", "gateway.cli_tools", (CONFIG, JSON, AS)),
    "call": Command("call one tool", "gateway.cli_call", (TOOL, ARGUMENTS, CONFIG, JSON, AS)),
    "policy": Command(
        "explain what a caller may do, and which rule says so",
        "gateway.cli_policy",
        (EXPLAIN, CONFIG, (AS[0], {**AS[1], "required": True}), ONE_TOOL, ARGS, JSON),
    ),
    "key": Command("make an API key and its config entry", "gateway.cli_key", (NEW, NAME)),
    "status": Command("say how a running gateway and its servers fare", "gateway.cli_status", (URL, CONFIG, JSON)),
    "demo": Command("serve two built-in sample servers, without a config", "gateway.cli_demo", (HOST, PORT)),
}

UNCOLLECTED: Final = 50_000
"""Objects, some 10 MB, until the garbage collector looks for cycles. Requests leave it none, but by its default of 700
those in flight make it look many times a second, and now and then at everything that is loaded: a pause of 40 ms."""

LATER: Final = ("pins",)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of the process."""
    gc.set_threshold(UNCOLLECTED)
    prepare_streams()
    try:
        return _run(sys.argv[1:] if argv is None else list(argv))
    except SystemExit as exc:  # argparse after --help
        return exc.code if isinstance(exc.code, int) else FAILED
    except BaseException as exc:
        for kind, answer in ANSWERS:
            if (found := _inside(exc, kind)) is not None:
                return answer(found)
        raise


def _run(argv: list[str]) -> int:
    top = _Parser(prog="onegate", add_help=False)
    for names, settings in (CONFIG, HELP, VERSION):
        top.add_argument(*names, **settings)
    top.add_argument("command", nargs="?")
    top.add_argument("rest", nargs=argparse.REMAINDER)
    before = top.parse_args(argv)
    if before.version:
        out(f"onegate {__version__}")
        return OK
    if before.command is None:
        (out if before.help else note)(_usage())
        return OK if before.help else USAGE
    if before.command in LATER:
        raise Mistake(f"onegate {before.command}: not in this release")
    if before.command not in COMMANDS:
        raise Mistake(_unknown_command(before.command), USAGE)
    rest = ["--help"] if before.help else before.rest
    return _run_command(before.command, rest, argparse.Namespace(config=getattr(before, "config", None)))


def _run_command(name: str, rest: list[str], args: argparse.Namespace) -> int:
    command = COMMANDS[name]
    parser = _Parser(prog=f"onegate {name}", description=f"{command.purpose[0].upper()}{command.purpose[1:]}.")
    for names, settings in command.options:
        parser.add_argument(*names, **settings)
    parser.parse_args(rest, args)
    result: int = importlib.import_module(command.module).run(args)
    return result


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines instead of the whole usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise the mistake; `main` prints it."""
        raise Mistake(f"{self.prog}: {message}\nsee: {self.prog} --help", USAGE)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.purpose}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: onegate [-c FILE] COMMAND …",
            "",
            "One MCP server in front of all your MCP servers.",
            "",
            *lines,
            "",
            "onegate COMMAND --help says more; onegate --version prints the version.",
        ]
    )


def _unknown_command(name: str) -> str:
    from gateway.config_problems import unknown

    return f"onegate: {name}: {unknown(name, COMMANDS, 'command')}\nsee: onegate --help"


def _inside(exc: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first exception of a kind, also out of the group in which a task group wraps it."""
    if isinstance(exc, kind):
        return exc
    for inner in exc.exceptions if isinstance(exc, BaseExceptionGroup) else ():
        if (found := _inside(inner, kind)) is not None:
            return found
    return None


def _on_interrupt(_: BaseException) -> int:
    return INTERRUPTED


def _on_broken_pipe(_: BaseException) -> int:
    close_stdout()
    return PIPE_CLOSED


def _on_mistake(exc: BaseException) -> int:
    note(str(exc))
    return exc.code if isinstance(exc, Mistake) else FAILED


def _on_fault(exc: BaseException) -> int:
    """A fault of ours: its traceback only for those who asked for that much."""
    if not isinstance(exc, Exception):
        raise exc
    log = logging.getLogger("onegate")
    if log.isEnabledFor(logging.DEBUG):
        log.error("internal error", exc_info=exc)
    leaf: BaseException = exc
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    note(f"onegate: internal error: {type(leaf).__name__}: {leaf}\ntelemetry.log.level: debug shows where")
    return FAILED


ANSWERS: Final[tuple[tuple[type[BaseException], Callable[[BaseException], int]], ...]] = (
    (KeyboardInterrupt, _on_interrupt),
    (BrokenPipeError, _on_broken_pipe),
    (Mistake, _on_mistake),
    (BaseException, _on_fault),
)

if __name__ == "__main__":
    sys.exit(main())
