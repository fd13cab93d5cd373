"""What is wrong with a config, in words with a mend; pure, and never quotes a value, which may be a secret."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Key = tuple[str | int, ...]
LaterTable = Mapping[tuple[str, ...], Callable[[Any], bool]]

# Words of other clients for which the nearest known one is something else.
RENAMED = {"servers": "mcpServers"}

TEXTS = {
    "missing": "is missing; add it",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list, such as [one, two]",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must not hold control characters",
    "too_short": "must not be empty",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the file as the user named it, the path of the key in it (may be empty), what to do."""

    file: str
    key: Key
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, key_path(self.key), self.text) if part)


class ConfigError(Exception):
    """The config cannot be used; its text has one line or a few per problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def key_path(key: Key) -> str:
    """`("mcpServers", "a", "args", 0)` as people write it: `mcpServers.a.args[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def unknown(word: str, known: Iterable[str], what: str = "key") -> str:
    """The text for a name that nobody knows, with the nearest known one, or all of them."""
    known = sorted(known)
    meant = RENAMED.get(word) if RENAMED.get(word) in known else nearest(word, known)
    if meant is not None:
        return f"unknown {what}; did you mean {meant}?"
    return f"unknown {what}; known are {', '.join(known)}" if known else f"unknown {what}; remove it"


def explain(
    error: ValidationError, model: type[BaseModel], later: LaterTable, root_keys: frozenset[str]
) -> Iterator[tuple[Key, str]]:
    """Pydantic's findings about `model` as (key, text); `root_keys` is what users may write at its top level."""
    for detail in error.errors(include_url=False, include_input=False):
        key: Key = detail["loc"]
        match detail["type"]:
            case "extra_forbidden":
                known = set(_fields_at(model, key[:-1])) | _later_at(later, key[:-1])
                yield key, unknown(str(key[-1]), known if key[:-1] else root_keys)
            case "value_error":
                yield key, str(detail["ctx"]["error"])
            case "literal_error":
                yield key, f"must be {detail['ctx']['expected'].replace(chr(39), '')}"
            case kind:
                said = detail["msg"].replace("Input should be", "must be")
                yield key, TEXTS.get(kind, said)


def take_later(tree: Any, table: LaterTable) -> list[tuple[Key, str]]:
    """Remove from `tree` what a later release brings, and say so; the table maps key paths (`*` is any key)
    to whether a value found there is meant."""
    found: list[tuple[Key, str]] = []
    for path, is_later in table.items():
        for holder, key in _holders(tree, path, ()):
            if is_later(holder[key[-1]]):
                del holder[key[-1]]
                found.append((key, "not in this release; remove the key"))
    return found


def _holders(tree: Any, path: tuple[str, ...], at: Key) -> Iterator[tuple[dict[Any, Any], Key]]:
    if not isinstance(tree, dict):
        return
    head, rest = path[0], path[1:]
    for name in [name for name in tree if head in ("*", name)]:
        if rest:
            yield from _holders(tree[name], rest, (*at, name))
        else:
            yield tree, (*at, name)


def _later_at(table: LaterTable, key: Key) -> set[str]:
    def fits(path: tuple[str, ...]) -> bool:
        return len(path) == len(key) and all(part in ("*", name) for part, name in zip(path, key, strict=True))

    return {path[-1] for path in table if fits(path[:-1])}


def _fields_at(model: type[BaseModel], key: Key) -> Iterable[str]:
    here: Any = model
    for part in key:
        here = _present(here)
        if inspect.isclass(here) and issubclass(here, BaseModel):
            here = here.model_fields[str(part)].annotation
        else:  # dict[str, X] or list[X]
            here = get_args(here)[-1]
    here = _present(here)
    return here.model_fields if inspect.isclass(here) and issubclass(here, BaseModel) else ()


def _present(annotation: Any) -> Any:
    """What a type that may be null is when it is there."""
    members = [member for member in get_args(annotation) if member is not type(None)]
    return members[0] if type(None) in get_args(annotation) else annotation
