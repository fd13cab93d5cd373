"""Pure: the header forms of MCP 2026-07-28 (basic/transports): values, and parameters mirrored from arguments."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

NAME_KEYS: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods whose subject is repeated in ``Mcp-Name``, and the parameter that holds it."""

PARAM_PREFIX: Final = "mcp-param-"
ANNOTATION: Final = "x-mcp-header"

_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_SCALARS: Final = frozenset({"string", "integer", "boolean"})
_DECIMAL: Final = re.compile(r"(-?[0-9]+)(\.0+)?")

_IN_ONE: Final = frozenset(
    {"items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties", "not"}
    | {"if", "then", "else", "contentSchema"}
)
_IN_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_IN_MAP: Final = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})

Path = tuple[str, ...]


class Fixed(dict[str, str]):
    """Headers that are sent again and again as this very object, and that nobody changes: what is made of them can be
    kept under it. Another object with equal ones is another key, and finds nothing.
    """

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]


NO_HEADERS: Final = Fixed()


def encode_value(value: str) -> str:
    """Make ``value`` fit a header: as it is, or as ``=?base64?…?=`` where it would not survive."""
    plain = value.isascii() and value.isprintable() and value == value.strip()
    if plain and not (value.startswith("=?") and _ENCODED.fullmatch(value)):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def decode_value(value: str) -> str | None:
    """Undo `encode_value`; None for a malformed encoding, which equals nothing."""
    found = _ENCODED.fullmatch(value) if value.startswith("=?") else None
    if found is None:
        return value
    try:
        raw = base64.b64decode(found[1], validate=True)
        # a second spelling of the same bytes would be a second name for the same thing
        return raw.decode() if base64.b64encode(raw).decode() == found[1] else None
    except (binascii.Error, ValueError):
        return None


def annotated_parameters(schema: Any) -> dict[Path, tuple[str, str]]:
    """Map the path of each annotated property to its header token and JSON type.

    Raises ValueError with the reason when an annotation is not a valid one: on a property that plain
    ``properties`` do not reach, not an RFC 9110 token, not on a string, integer or boolean, or given twice.
    """
    found: dict[Path, tuple[str, str]] = {}
    tokens: set[str] = set()
    for path, position in _positions(schema):
        if ANNOTATION not in position:
            continue
        token, kind = position[ANNOTATION], position.get("type")
        if not path:
            raise ValueError(f"{ANNOTATION} where plain properties do not reach")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ValueError(f"{ANNOTATION} of {'.'.join(path)!r} is not a header token")
        if not isinstance(kind, str) or kind not in _SCALARS:
            raise ValueError(f"{ANNOTATION} of {'.'.join(path)!r} is not on a string, integer or boolean")
        if token.lower() in tokens:
            raise ValueError(f"{ANNOTATION} {token!r} is given twice")
        tokens.add(token.lower())
        found[path] = (token, kind)
    return found


def parameter_headers(parameters: Mapping[Path, tuple[str, str]], arguments: Mapping[str, Any]) -> dict[str, str]:
    """The ``Mcp-Param-*`` headers that a call with these arguments carries."""
    headers: dict[str, str] = {}
    for path, (token, _) in parameters.items():
        text = _render(_value_at(arguments, path))
        if text is not None:
            headers[f"Mcp-Param-{token}"] = encode_value(text)
    return headers


def parameter_mismatch(
    parameters: Mapping[Path, tuple[str, str]], arguments: Mapping[str, Any], headers: Mapping[str, str]
) -> str | None:
    """Compare received headers (lower-case names, stripped) with the arguments; returns what disagrees, or None."""
    for path, (token, kind) in parameters.items():
        received = headers.get(PARAM_PREFIX + token.lower())
        value = _value_at(arguments, path)
        text = _render(value)
        if received is None and text is None:
            continue
        if received is None:
            return f"Mcp-Param-{token} is missing"
        if text is None:
            return f"Mcp-Param-{token} names a value that the arguments do not have"
        decoded = decode_value(received)
        if decoded is None or not _same(kind, value, text, decoded):
            return f"Mcp-Param-{token} does not match the arguments"
    return None


def without_annotations(schema: Any) -> Any:
    """Copy ``schema`` with every annotation left out."""
    if isinstance(schema, dict):
        return {key: without_annotations(value) for key, value in schema.items() if key != ANNOTATION}
    return [without_annotations(one) for one in schema] if isinstance(schema, list) else schema


def _positions(schema: Any) -> Iterator[tuple[Path | None, dict[str, Any]]]:
    """Every schema position with its path of plain properties (None where another keyword led there)."""
    stack: list[tuple[Path | None, Any]] = [((), schema)]
    while stack:
        path, node = stack.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        for key, value in node.items():
            if key == "properties" and isinstance(value, dict):
                stack.extend((None if path is None else (*path, name), sub) for name, sub in value.items())
            elif key in _IN_ONE:
                stack.append((None, value))
            elif key in _IN_LIST and isinstance(value, list):
                stack.extend((None, sub) for sub in value)
            elif key in _IN_MAP and isinstance(value, dict):
                stack.extend((None, sub) for sub in value.values())


def _value_at(arguments: Any, path: Path) -> Any:
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, Mapping) else None
    return arguments


def _render(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _same(kind: str, value: Any, text: str, decoded: str) -> bool:
    number = _DECIMAL.fullmatch(decoded)
    if kind == "integer" and number and type(value) is not bool and isinstance(value, int | float):
        try:
            return value == int(value) == int(number[1])  # 42 and 42.0 are one integer
        except ValueError:  # more digits than an argument can have
            return False
    return decoded == text
