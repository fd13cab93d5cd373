"""Find a config file and parse it to plain dicts; it knows syntax (YAML, JSON with comments), not meaning."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from gateway.config_expand import home
from gateway.config_problems import ConfigError, Problem

MAX_DEPTH = 64  # far deeper than any config; also ends YAML aliases that hold themselves

SUFFIXES: dict[str, Literal["json", "yaml"]] = {".json": "json", ".jsonc": "json", ".yaml": "yaml", ".yml": "yaml"}

_STRING = r'"(?:\\.|[^"\\\n])*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file; `path` is as the user named it, for messages."""

    path: Path
    syntax: Literal["json", "yaml"]
    data: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.path.absolute().parent


def locate(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The config file to read: `path`, `$ONEGATE_CONFIG`, `./onegate.yaml`, `~/.config/onegate/onegate.yaml`.

    One that is named is not checked here and never passed over for the next: a misspelled name must not start
    another config.
    """
    if path is not None:
        return path
    if named := environ.get("ONEGATE_CONFIG"):
        return Path(named)
    places = [Path("onegate.yaml"), home(environ) / ".config" / "onegate" / "onegate.yaml"]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(["$ONEGATE_CONFIG", *(str(place) for place in places)])
    raise ConfigError([Problem("", (), f"no config file; looked at {looked}\nwrite one, or name one with -c FILE")])


def read(path: Path) -> Document:
    """Parse the file by its suffix, or by its first character; raises ConfigError with line and column."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        _refuse(path, "no such file; check the path")
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror}); check the path and its permissions")
    except UnicodeDecodeError:
        _refuse(path, "is not UTF-8; save it as UTF-8")
    syntax = SUFFIXES.get(path.suffix.lower()) or _guess_syntax(text)
    try:
        data = PARSERS[syntax](text, path)
        too_deep = _deeper_than(data, MAX_DEPTH)
    except RecursionError:
        too_deep = True
    if too_deep:
        _refuse(path, f"is nested more than {MAX_DEPTH} levels deep; flatten it")
    if data is None:
        data = {}  # an empty file; what is missing is for others to say
    if not isinstance(data, dict):
        _refuse(path, "must be a mapping of keys to values, such as mcpServers: {…}")
    return Document(path, syntax, data)


def _guess_syntax(text: str) -> Literal["json", "yaml"]:
    return "json" if _COMMENT.sub(_keep_strings, text).lstrip().startswith("{") else "yaml"


def _parse_json(text: str, path: Path) -> Any:
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in items:
            if name in seen:
                twice.append(name)
            seen[name] = value
        return seen

    def constant(name: str) -> NoReturn:
        _refuse(path, f"{name} is not JSON; write a number")

    # Blanks of the same length stand in for what is taken out, so that lines and columns stay true.
    plain = _TRAILING_COMMA.sub(_keep_strings, _COMMENT.sub(_keep_strings, text))
    if not plain.strip():
        return None
    try:
        data = json.loads(plain, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        _refuse(path, f"line {error.lineno}, column {error.colno}: not valid JSON: {message}")
    except ValueError:  # Python turns no more than some thousand digits into a number
        _refuse(path, "holds a number that is too long; put it in quotes")
    if twice:
        raise ConfigError(
            Problem(str(path), (), f"key {name} appears twice in one object; remove one") for name in twice
        )
    return data


def _keep_strings(match: re.Match[str]) -> str:
    found = match[0]
    return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)


def _parse_yaml(text: str, path: Path) -> Any:
    # Here and not at the top: a gateway that is started with a JSON file does not pay for it.
    import yaml

    from gateway.config_yaml import StrictLoader

    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        _refuse(path, f"{where}not valid YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:  # characters that YAML has not
        _refuse(path, f"not valid YAML: {str(error).splitlines()[0]}")


PARSERS = {"json": _parse_json, "yaml": _parse_yaml}


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper_than(each, levels - 1) for each in inner)


def _refuse(path: Path, text: str) -> NoReturn:
    raise ConfigError([Problem(str(path), (), text)])
