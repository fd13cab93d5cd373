"""`${VAR}` and its kin in strings; pure: it is given the environment and never reads the process's own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config_problems import Key

# A second dollar sign before it keeps the text as it is: `$${VAR}` is `${VAR}`.
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_INPUT = re.compile(r"input:(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scope:
    """What references may name: the environment, and the folder that the config lies in (absolute)."""

    environ: Mapping[str, str]
    folder: Path
    taken: set[tuple[str, str]] = field(default_factory=set, repr=False)
    """(variable, value) of each reference that was replaced so far: what people keep out of a file is often secret."""


class ExpandError(Exception):
    """A reference that stands for nothing; its text says how to mend it."""


def expand(value: Any, scope: Scope) -> tuple[Any, list[tuple[Key, str]]]:
    """A copy of a parsed config with every reference in its strings replaced, and (key, text) for each that
    could not be; such a string stays as it was. Keys of mappings are never expanded."""
    problems: list[tuple[Key, str]] = []

    def walk(here: Any, key: Key) -> Any:
        if isinstance(here, dict):
            return {name: walk(inner, (*key, name)) for name, inner in here.items()}
        if isinstance(here, list):
            return [walk(inner, (*key, index)) for index, inner in enumerate(here)]
        if not isinstance(here, str):
            return here
        try:
            return expand_text(here, scope)
        except ExpandError as unresolved:
            problems.append((key, str(unresolved)))
            return here

    return walk(value, ()), problems


def expand_text(text: str, scope: Scope) -> str:
    """One string with its references replaced, once: what a variable holds is not looked at again."""
    return _REFERENCE.sub(lambda match: "${" if match[1] is None else _resolve(match[1], scope), text)


def expand_home(path: str, scope: Scope) -> str:
    """`~` and `~/…` with the user's home; other strings as they are."""
    if path == "~" or path.startswith(("~/", "~\\")):
        return str(home(scope.environ)) + path[1:]
    return path


def home(environ: Mapping[str, str]) -> Path:
    """The user's home folder as `environ` has it."""
    found = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(found) if found else Path.home()


def _resolve(reference: str, scope: Scope) -> str:
    if reference == "workspaceFolder":
        return str(scope.folder)
    if match := _INPUT.fullmatch(reference):
        variable = "ONEGATE_INPUT_" + re.sub(r"[^A-Z0-9]", "_", match[1].upper())
        if variable not in scope.environ:
            raise ExpandError(f"input {match[1]} is not set; set the variable {variable}")
        return _take(variable, scope)
    match = _VARIABLE.fullmatch(reference)
    if match is None or "${" in reference:
        raise ExpandError(
            f"${{{reference}}} is not understood; write ${{VAR}} or ${{VAR:-default}}, or $${{ for a plain ${{"
        )
    name, default = match[1], match[2]
    if default is not None and not scope.environ.get(name):
        return default  # as in a shell, `:-` also covers a variable that is set to nothing
    if name not in scope.environ:
        raise ExpandError(f"variable {name} is not set; set it, or write ${{{name}:-default}}")
    return _take(name, scope)


def _take(name: str, scope: Scope) -> str:
    value = scope.environ[name]
    scope.taken.add((name, value))
    return value
