"""From raw `mcpServers`, ours or another client's, to checked entries; reads no file but those that `envFile` names."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from gateway.config_expand import ExpandError, Scope, expand, expand_home, expand_text
from gateway.config_files import Document
from gateway.config_problems import Key, LaterTable, Problem, explain, take_later
from upstreams.config import ServerEntry

# What a later release brings, by key path inside one entry.
LATER: LaterTable = {
    ("isolation",): lambda value: value in ("per_identity", "per_session"),
    ("tools", "pin"): lambda value: value in ("warn", "enforce"),
}

FIELDS = frozenset(ServerEntry.model_fields) - {"name"} | {"envFile"}

# Keys that other clients have too, with another meaning: theirs is taken only if it looks like ours.
# Elsewhere `timeout` is a number, of seconds or milliseconds, and `tools` a list.
OURS_IF = {"timeout": str, "max_timeout": str, "tools": dict}

TRUE_WORDS = {"true", "1", "yes", "on"}

# Runners of Python packages, and their options that take the next word.
OWN_MODULES = {"gateway", "gateway.cli"}  # the samples beside them are servers like any other
RUNNERS = {"uvx", "uv", "pipx"}
RUNNER_VALUES = {"--from", "--with", "--python", "-p", "--directory", "--project", "--index-url", "--spec"}
RUNNER_WORDS = {"tool", "run", "x"}
SHELLS = {"cmd": "/c", "env": ""}  # Windows needs `cmd /c uvx …` for scripts; the word that follows, if any

_DOTENV = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"""(?:"((?:\\.|[^"\\])*)"|'([^']*)')\s*(?:#.*)?""")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(slots=True)
class Entries:
    """What became of the entries: `disabled` maps a server to why it cannot start; `problems` stop the start."""

    servers: dict[str, ServerEntry] = field(default_factory=dict)
    disabled: dict[str, str] = field(default_factory=dict)
    switched_off: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    ignored: list[Key] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    taken: frozenset[tuple[str, str]] = frozenset()  # variables of the environment in entries, and their values

    @property
    def known(self) -> set[str]:
        """Every server that the file speaks of, started or not."""
        return {*self.servers, *self.disabled, *self.switched_off, *self.skipped}


@dataclass(frozen=True, slots=True)
class Source:
    """Where entries come from; `section` is the key that holds them, and `foreign` that of another client."""

    document: Document
    section: str
    foreign: bool
    scope: Scope

    def problem(self, name: str, key: Key, text: str) -> Problem:
        return Problem(str(self.document.path), (self.section, name, *key), text)


def read_entries(raw: Mapping[str, Any], source: Source) -> Entries:
    """Sort every entry into what it became; the file's order is kept."""
    entries = Entries()
    for name, entry in raw.items():
        if not isinstance(entry, dict):
            problem = source.problem(name, (), "must be a mapping with command or url")
            _sort_in(entries, source, name, broken=[problem], unusable=[])
        elif _is_off(entry.get("disabled"), source.scope):
            entries.switched_off.append(name)
        elif starts_onegate(entry):
            entries.skipped.append(name)
        else:
            _read_entry(name, entry, source, entries)
    entries.taken = frozenset(source.scope.taken)
    return entries


def starts_onegate(entry: Mapping[str, Any]) -> bool:
    """Whether this entry is the gateway itself, as it stands in the config of the client that starts it."""
    args = entry.get("args")
    words = [entry.get("command"), *(args if isinstance(args, list) else [])]
    words = [word for word in words if isinstance(word, str)]
    return bool(words) and _starts_onegate(words)


def _starts_onegate(words: list[str]) -> bool:
    program, rest = _program(words[0]), words[1:]
    if program in SHELLS and rest:
        rest = rest[1:] if rest[0].lower() == SHELLS[program] else rest
        return bool(rest) and _starts_onegate(rest)
    if program.startswith("python") or program == "py":
        modules = [module for option, module in itertools.pairwise(rest) if option == "-m"]
        return any(module in OWN_MODULES for module in modules)
    if program in RUNNERS:
        return _run_package(rest) == "onegate"
    return program == "onegate"


def _program(command: str) -> str:
    return re.split(r"[/\\]", command)[-1].lower().removesuffix(".exe").removesuffix(".cmd")


def _run_package(args: list[str]) -> str | None:
    """The program that `uvx`, `uv run`, `uv tool run` or `pipx run` starts, without its version."""
    words = iter(args)
    for word in words:
        if word in RUNNER_VALUES:
            next(words, None)
        elif not word.startswith("-") and word not in RUNNER_WORDS:
            return re.split(r"[@=<>\[]", word)[0]
    return None


def _is_off(disabled: Any, scope: Scope) -> bool:
    # Alone and first: an entry that is switched off may name variables that are not set.
    if not isinstance(disabled, str):
        return disabled is True
    try:
        return expand_text(disabled, scope).lower() in TRUE_WORDS
    except ExpandError:
        return False


def _read_entry(name: str, raw: dict[str, Any], source: Source, entries: Entries) -> None:
    if source.foreign:
        raw, ignored = _without_foreign(raw)
        entries.ignored += [(source.section, name, *key) for key in ignored]
    entry, unresolved = expand(raw, source.scope)
    found = take_later(entry, LATER)
    if "name" in entry:
        del entry["name"]
        found.append((("name",), "unknown key; a server is named by its key, and prefix changes what tools show"))
    unresolved += _read_env_file(entry, source)
    for key in ("command", "cwd"):
        if isinstance(entry.get(key), str):
            entry[key] = expand_home(entry[key], source.scope)
    if isinstance(entry.get("cwd"), str) and entry["cwd"]:
        entry["cwd"] = str(source.scope.folder / entry["cwd"])
    checked: ServerEntry | None = None
    try:
        checked = ServerEntry.model_validate({**entry, "name": name})
    except ValidationError as error:
        found += explain(error, ServerEntry, LATER, FIELDS)
    # A string with an open reference is not what it will be: what is said about it, or about all, may be untrue.
    found = [(key, text) for key, text in found if not any(_touches(key, open_key) for open_key, _ in unresolved)]
    broken = [source.problem(name, key, text) for key, text in found]
    unusable = [source.problem(name, key, text) for key, text in unresolved]
    if broken or unusable or checked is None:
        _sort_in(entries, source, name, broken, unusable)
    else:
        entries.servers[name] = checked


def _sort_in(entries: Entries, source: Source, name: str, broken: list[Problem], unusable: list[Problem]) -> None:
    # In another client's file the user cannot mend what that client wrote: only this server is left out.
    if broken and not source.foreign:
        entries.problems += broken
    else:
        unusable = unusable + broken
    if unusable:
        entries.disabled[name] = "\n".join(map(str, unusable))


def _touches(key: Key, other: Key) -> bool:
    shorter = min(len(key), len(other))
    return key[:shorter] == other[:shorter]


def _without_foreign(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Key]]:
    kept: dict[str, Any] = {}
    ignored: list[Key] = []
    for key, value in raw.items():
        if key not in FIELDS or (key in OURS_IF and not isinstance(value, OURS_IF[key])):
            ignored.append((key,))
        elif value is not None:
            kept[key] = value
    if isinstance(kept.get("env"), dict):  # VS Code: null takes a variable away, and here it was never passed
        kept["env"] = {variable: text for variable, text in kept["env"].items() if text is not None}
    return kept, ignored


def _read_env_file(entry: dict[str, Any], source: Source) -> list[tuple[Key, str]]:
    """Put the variables of `envFile` below those of `env`; gives what is wrong with the file."""
    named = entry.pop("envFile", None)
    if named is None:
        return []
    if not isinstance(named, str):
        return [(("envFile",), "must be text; put it in quotes")]
    path = source.scope.folder / expand_home(named, source.scope)
    try:
        variables = parse_dotenv(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        return [(("envFile",), f"cannot be read ({error.strerror}); check the path")]
    except UnicodeDecodeError:
        return [(("envFile",), "is not UTF-8; save it as UTF-8")]
    except ValueError as error:
        return [(("envFile",), str(error))]
    env = entry.get("env")
    if env is None or isinstance(env, dict):
        entry["env"] = {**variables, **(env or {})}
    return []


def parse_dotenv(text: str) -> dict[str, str]:
    """`NAME=value` lines, with `export`, quotes and `#` comments; raises ValueError that names the line only."""
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _DOTENV.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not NAME=value; mend or remove it")
        variables[match[1]] = _unquote(match[2])
    return variables


def _unquote(value: str) -> str:
    match = _QUOTED.fullmatch(value)
    if match is None:
        return re.sub(r"(?:^|\s+)#.*", "", value)
    if match[1] is None:
        return match[2]
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match[1])
