"""A tool call's arguments: what the config adds to them, and whether they fit the tool's schema. No I/O."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import InvalidArguments
from upstreams.config import ArgumentsConfig
from upstreams.wire import BigInt

log = logging.getLogger("onegate.mcp")

BACKTRACK_LIMIT: Final = 10_000  # of one regular expression: a hostile pattern gives up instead of hanging
Arguments = Mapping[str, Any]
Check = Callable[[Arguments], InvalidArguments | None]


def transformed(arguments: dict[str, Any], config: ArgumentsConfig) -> dict[str, Any]:
    """Apply ``default`` (only where the caller gave nothing) and ``set`` (always)."""
    return {**config.default, **arguments, **config.set}


def shown_schema(schema: dict[str, Any], config: ArgumentsConfig) -> dict[str, Any]:
    """The schema that callers see: what is set is gone from it, what has a default is no longer required."""
    shown = dict(schema)
    properties = schema.get("properties")
    if isinstance(properties, dict):
        kept = {name: sub for name, sub in properties.items() if name not in config.set}
        for name, value in config.default.items():
            if isinstance(kept.get(name), dict):
                kept[name] = {**kept[name], "default": value}
        shown["properties"] = kept
    required = schema.get("required")
    if isinstance(required, list):
        shown["required"] = [name for name in required if name not in config.set and name not in config.default]
        if not shown["required"]:
            del shown["required"]
    return shown


def checker(label: str, schema: dict[str, Any]) -> Check:
    """Compile ``schema`` in its own dialect (2020-12 when it names none).

    A schema that is broken or that refers to the network is not used: the check then accepts everything, and the log
    names the tool by ``label``.
    """
    import jsonschema_rs  # 30 ms: only who calls a tool pays

    try:
        validator = jsonschema_rs.validator_for(
            schema,
            retriever=_no_network,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACK_LIMIT),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as exc:
        log.warning("the input schema of %s cannot be used, its arguments are not checked: %.200s", label, exc)
        return lambda arguments: None

    def check(arguments: Arguments) -> InvalidArguments | None:
        try:
            if validator.is_valid(arguments):
                return None
        except ValueError:  # an integer of a kind that it does not know
            pass
        error = next(iter(validator.iter_errors(_plain(arguments))), None)
        return None if error is None else _describe(error)

    return check


def _no_network(uri: str) -> Any:
    raise ValueError(f"refers to {uri}")


def _plain(value: Any) -> Any:
    """Give the validator integers of its own kind; it knows no subclasses of int."""
    if isinstance(value, BigInt):
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _describe(error: Any) -> InvalidArguments:
    path = [str(part) for part in error.instance_path]
    keyword, kind = error.kind.name, error.kind
    if keyword == "required":
        field = ".".join([*path, kind.property])
        return InvalidArguments(f"missing required field '{field}'", field, "a value")
    if keyword == "additionalProperties":
        field = ".".join([*path, kind.unexpected[0]])
        return InvalidArguments(f"unknown field '{field}'", field, "nothing")
    field = ".".join(path)
    expected = {keyword: kind.value} if isinstance(kind.value, str | int | float | bool | list) else keyword
    where = f"field '{field}'" if field else "the arguments"
    return InvalidArguments(f"{where}: {_short(error.message)}", field, expected)


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:300]}…"
