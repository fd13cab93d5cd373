"""The checked shape of one `mcpServers` entry; it knows no files, no variables and nothing of the gateway."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from upstreams.urls import parse_url

TYPE_ALIASES = {"streamable-http": "http", "streamableHttp": "http"}  # what other clients call it
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) ?([A-Za-z]*)")  # bounded: never infinite
_PROTOCOL = re.compile(r"auto|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, RFC 9110 §5.6.2
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")  # RFC 9110 §5.5: no CR, LF or NUL, nor their kin
_ENV_NAME = re.compile(r"[^=\s\x00-\x1f\x7f]+")  # wider than a shell's: Windows has `ProgramFiles(x86)`


def parse_duration(value: object) -> float:
    """Seconds from `500ms`, `30s`, `5m` or `1h`; a bare number is refused, as clients disagree on its unit."""
    return _amount(value, SECONDS, what="a duration", examples="500ms, 30s, 5m or 1h")


def parse_size(value: object) -> int:
    """Bytes from `512B`, `64KiB`, `4MiB` or `1GiB`."""
    return int(_amount(value, BYTES, what="a size", examples="64KiB or 4MiB"))


def as_text(value: object) -> object:
    """Numbers and booleans that YAML or JSON made of plain words, as the words again."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise ValueError("put the number in quotes: 3.10 would become 3.1")
    return value


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Timeout = Annotated[Duration, Field(gt=0)]
Text = Annotated[str, BeforeValidator(as_text)]


class Section(BaseModel):
    """What every part of the config shares: unknown keys are errors, and values stay out of error texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ArgumentsConfig(Section):
    """Arguments that a call gets when it has none of that name (`default`), or whatever it has (`set`)."""

    default: dict[str, Any] = {}
    set: dict[str, Any] = {}


class ToolOverride(Section):
    """How one tool looks and behaves differently from what its server says."""

    name: Annotated[str, Field(min_length=1)] | None = None
    description: str | None = None
    timeout: Timeout | None = None
    arguments: ArgumentsConfig = ArgumentsConfig()


class ToolsConfig(Section):
    """Which tools of a server are shown; globs and the keys of `overrides` are the server's own tool names."""

    include: list[str] = ["*"]
    exclude: list[str] = []
    pin: Literal["off"] = "off"
    overrides: dict[str, ToolOverride] = {}


class ServerEntry(Section):
    """One upstream. What may hold a secret (arguments, environment, URL, headers) stays out of its repr."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
    type: Literal["stdio", "http", "sse"]
    command: str | None = None
    args: list[Text] = Field(default=[], repr=False)
    env: dict[str, Text] = Field(default={}, repr=False)
    env_pass: list[str] = []
    cwd: str | None = None
    url: str | None = Field(default=None, repr=False)
    headers: dict[str, Text] = Field(default={}, repr=False)
    prefix: Annotated[str, Field(min_length=1)] | None = None
    tools: ToolsConfig = ToolsConfig()
    timeout: Timeout = 60.0
    max_timeout: Timeout = 600.0
    isolation: Literal["shared"] = "shared"
    protocol: str = "auto"
    required: bool = False
    concurrency: Annotated[int, Field(ge=1)] = 64
    validate_arguments: bool = True
    disabled: bool = False

    @property
    def effective_prefix(self) -> str:
        """What stands before the tools' names where a door shows several servers."""
        return self.name if self.prefix is None else self.prefix

    @model_validator(mode="before")
    @classmethod
    def _infer_type(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        kind = data.get("type")
        if kind is None:
            kind = "http" if data.get("url") is not None else "stdio"
        return {**data, "type": TYPE_ALIASES.get(kind, kind) if isinstance(kind, str) else kind}

    @field_validator("command", "cwd")
    @classmethod
    def _check_path(cls, value: str | None) -> str | None:
        if value is not None and (not value or "\0" in value):
            raise ValueError("must not be empty or hold a NUL")
        return value

    @field_validator("args")
    @classmethod
    def _check_args(cls, value: list[str]) -> list[str]:
        if any("\0" in argument for argument in value):
            raise ValueError("an argument must not hold a NUL")
        return value

    @field_validator("env")
    @classmethod
    def _check_env(cls, value: dict[str, str]) -> dict[str, str]:
        _check_env_names(value)
        for name, text in value.items():
            if "\0" in text:
                raise ValueError(f"the value of {name} must not hold a NUL")
        return value

    @field_validator("env_pass")
    @classmethod
    def _check_env_pass(cls, value: list[str]) -> list[str]:
        _check_env_names(value)
        return value

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a header name; use letters, digits and hyphens")
            if not _HEADER_VALUE.fullmatch(text):
                raise ValueError(f"the value of {name} holds a line break or control character; remove it")
        if len({name.lower() for name in value}) < len(value):
            raise ValueError("two header names differ only in case; keep one")
        return value

    @field_validator("protocol")
    @classmethod
    def _check_protocol(cls, value: str) -> str:
        if not _PROTOCOL.fullmatch(value):
            raise ValueError("must be auto or a protocol version, which is a date such as YYYY-MM-DD")
        return value

    @model_validator(mode="after")
    def _check_kind(self) -> "ServerEntry":
        if self.command is None and self.url is None:
            raise ValueError("needs command (a program to start) or url (a remote server); add one")
        if self.type == "stdio":
            if self.command is None:
                raise ValueError("type stdio needs command; add it, or make the type http")
            if self.url is not None or self.headers:
                raise ValueError("a server with command takes no url and no headers; remove them")
        elif self.command is not None or self.url is None:
            raise ValueError(f"type {self.type} needs url and takes no command; change the type, or these keys")
        if self.max_timeout < self.timeout:
            raise ValueError("timeout is longer than max_timeout; raise max_timeout too")
        return self


def check_url(url: str) -> None:
    """Raise ValueError unless `url` is http(s) with a host; the text never quotes it, as URLs may hold keys."""
    try:
        parse_url(url)
    except ValueError:
        raise ValueError("must be an http:// or https:// URL with a host, without spaces") from None


def _check_env_names(names: Iterable[str]) -> None:
    for name in names:
        if not _ENV_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a variable name; use letters, digits and underscores")


def _amount(value: object, units: Mapping[str, float], *, what: str, examples: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match = _AMOUNT.fullmatch(str(value).strip()) if is_number or isinstance(value, str) else None
    if match is None or (match[2] and match[2] not in units):
        raise ValueError(f"is not {what}; write it like {examples}")
    if not match[2]:
        raise ValueError(f"has no unit; write it like {examples}")
    return float(match[1]) * units[match[2]]
