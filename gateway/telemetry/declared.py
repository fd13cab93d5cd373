"""Which values of a config are secret. Pure: a config and an environment in, values out; masks nothing.

Secret is what a server's entry gives its server alone: `env`, `env_pass`, `headers`, credentials in `url`, options of
`args` that are called so, and whatever came in by `${VAR}`; and the gateway's own: the secrets of `auth.jwt`, the
token of `admin`, what an OTLP receiver is sent to know us by. Masking a value that is none would wreck the log, so
these are left alone: values shorter than 8 characters (6 where a variable or its name says that it is secret), words
and paths that every other config has, hosts, and the names that the log calls things by.
"""

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.config import Config
from upstreams.config import ServerEntry
from upstreams.environment import FIXED_NAMES

LEAST: Final = 8  # characters
LEAST_TELLING: Final = 6  # of what is called a secret, or kept out of the file
LEAST_RANDOM: Final = 16  # of a part of a path that looks drawn, such as a webhook's

TELLING: Final = re.compile(
    r"key|token|secret|pass|pwd|auth|cred|cookie|session|private|dsn|sig|bearer|webhook|(^|[_-])(pat|pin|otp)([_-]|$)",
    re.IGNORECASE,
)
"""Names of what is secret."""
RECEIVER_HEADERS: Final = tuple(f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in ("", "TRACES_", "METRICS_"))
"""Variables (OpenTelemetry protocol exporter, configuration options)."""
OPEN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "content-type", "user-agent", "origin", "host"}
)
COMMON: Final = frozenset(
    {
        "localhost",
        "production",
        "development",
        "staging",
        "testing",
        "default",
        "enabled",
        "disabled",
        "required",
        "optional",
        "warning",
        "verbose",
        "information",
        "critical",
        "upstream",
        "request",
        "message",
        "undefined",
        "unlimited",
        "strict-origin",
        "keep-alive",
        "no-cache",
        "application/json",
        "text/plain",
        "text/event-stream",
    }
)

_PATH: Final = re.compile(r"(?:~|\.{1,2})?/.*|[A-Za-z]:[\\/].*", re.DOTALL)
_OPEN: Final = re.compile(
    r"\d{1,3}(\.\d{1,3}){3}(:\d+|/\d+)?|[a-z]{2}_[A-Z]{2}(\.[\w-]+)?|\d{4}-\d{2}-\d{2}"  # address, locale, date
    r"|[a-z0-9-]+(\.[a-z0-9-]+)*(\.[a-z]{2,12}|:\d{1,5})"  # host, perhaps with a port
)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SCHEME: Final = re.compile(r"(?:[\w-]+:\s*)?([A-Za-z][\w-]*)\s+(\S+)")  # `Bearer x`, also with the header's name
_OPTION: Final = re.compile(r"(-{0,2}[\w.-]+)[=:]\s*(.+)", re.DOTALL)


def declared(config: Config, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Every secret value that the config holds or passes on, each once."""
    found = _Values(config)
    for name, value in config.taken:
        if name not in FIXED_NAMES:
            found.add(value, LEAST_TELLING, name)
    for entry in config.servers.values():
        _of_entry(entry, environ, found)
    if config.auth is not None:
        for issuer in config.auth.jwt:
            found.add(issuer.secret or "", LEAST_TELLING, "secret")
            found.add_url(issuer.jwks_url or "")
    found.add(config.admin.token or "", LEAST_TELLING, "token")
    if config.telemetry.otlp.endpoint is not None:
        _of_receiver(config.telemetry.otlp.endpoint, environ, found)
    return list(found.values)


def _of_entry(entry: ServerEntry, environ: Mapping[str, str], found: "_Values") -> None:
    passed = {name: environ[name] for name in entry.env_pass if name in environ}
    for name, value in {**passed, **entry.env}.items():
        if name not in FIXED_NAMES and not name.startswith("LC_"):
            found.add(value, _least(name), name)
    for name, value in entry.headers.items():
        if name.lower() not in OPEN_HEADERS:
            found.add(value, _least(name), name)
    found.add_url(entry.url or "")
    open_values = [("", word) for word in entry.args]
    for override in entry.tools.overrides.values():
        open_values += _leaves([override.arguments.default, override.arguments.set], "")
    for name, value in [*open_values, *_options(entry.args)]:
        if TELLING.search(name):
            found.add(value, LEAST_TELLING, name)
        else:
            found.add_url(value)


def _of_receiver(endpoint: str, environ: Mapping[str, str], found: "_Values") -> None:
    """The headers come past the config, as `name=value,name=value`; the exporter logs those that it cannot read."""
    found.add_url(endpoint)
    for variable in RECEIVER_HEADERS:
        for header in environ.get(variable, "").split(","):
            match = _OPTION.fullmatch(header.strip())
            name, value = ("authorization", header) if match is None else match.groups()
            for form in dict.fromkeys((value, unquote(value))):
                found.add(form, _least(name), name)


class _Values:
    """Collects values, and leaves out what is none."""

    def __init__(self, config: Config) -> None:
        self.values: dict[str, None] = {}
        entries = config.servers.values()
        names = [config.name, config.server.path, *config.routes, *config.servers, *(one.prefix for one in entries)]
        self._names = [name for name in names if name]
        self._programs = {entry.command for entry in entries}

    def add(self, value: str, least: int, name: str) -> None:
        """Take a value, and the parts of it that a program may repeat alone."""
        value = value.strip()
        if _URL.match(value):
            self.add_url(value)
            return
        self._take(value, least, name)
        for line in value.splitlines() if "\n" in value else ():
            if not line.startswith("-----"):
                self._take(line.strip(), LEAST, name)
        match = _SCHEME.fullmatch(value)
        if match is not None and (TELLING.search(name) or TELLING.search(match[1]) or match[1].lower() == "basic"):
            self._take(match[2], LEAST_TELLING, name)
            self._add_basic(match[2])
        for key, part in _parts(value):
            self._take(part, _least(key), f"{name} {key}")
            if " " in part:
                self._take(part.split()[-1], _least(key), f"{name} {key}")

    def add_url(self, text: str) -> None:
        """Take the credentials in a URL, whatever its scheme; nothing of other texts."""
        if not _URL.match(text):
            return
        try:
            parts = urlsplit(text)
            user, password = parts.username, parts.password
        except ValueError:
            self._take(text, LEAST, "")
            return
        for value in (user, password):
            for form in {value or "", unquote(value or "")}:
                self._take(form, LEAST if value is user and password else LEAST_TELLING, "password")
        if user:
            pair = f"{unquote(user)}:{unquote(password or '')}"
            self._take(pair, LEAST_TELLING, "password")
            self._take(base64.b64encode(pair.encode("utf-8", "replace")).decode(), LEAST, "password")
        for key, value in parse_qsl(parts.query):
            self._take(value, _least(key), key)
        for segment in parts.path.split("/"):
            if looks_random(segment):
                self._take(segment, LEAST_RANDOM, "")

    def _add_basic(self, encoded: str) -> None:
        try:
            pair = base64.b64decode(encoded, validate=True).decode()
        except ValueError:  # other characters, other bytes: a passphrase of two words, say
            return
        _, colon, password = pair.partition(":")
        if colon and pair.isprintable():
            self._take(pair, LEAST_TELLING, "password")
            self._take(password, LEAST_TELLING, "password")

    def _take(self, value: str, least: int, name: str) -> None:
        known = value in self._programs or any(value in one for one in self._names)
        if len(value) >= least and not known and not _plain(value, TELLING.search(name) is not None):
            self.values[value] = None


def looks_random(text: str) -> bool:
    """Whether a part of a path looks drawn and not chosen: long, of letters and digits mixed."""
    return len(text) >= LEAST_RANDOM and sum(map(str.isdigit, text)) >= 2 and any(map(str.isalpha, text))


def _least(name: str) -> int:
    return LEAST_TELLING if TELLING.search(name) else LEAST


def _plain(value: str, telling: bool) -> bool:
    """Whether this is no secret though it stands where they stand."""
    if value.lower() in COMMON:
        return True
    if _PATH.fullmatch(value):
        return not any(map(looks_random, re.split(r"[/\\]", value)))
    return not telling and _OPEN.fullmatch(value) is not None


def _options(args: list[str]) -> Iterator[tuple[str, str]]:
    """(name, value) of each option, however it is written: `--key value`, `--key=value`, `KEY=value`, `Name: value`."""
    before = ""
    for word in args:
        if before.startswith("-") and "=" not in before and not word.startswith("-"):
            yield before, word
        if (match := _OPTION.fullmatch(word)) is not None:
            yield match[1], match[2]
        before = word


def _parts(value: str) -> Iterator[tuple[str, str]]:
    """(name, value) of the texts in a JSON value, or of `name=value; name=value`."""
    if value.startswith(("{", "[")):
        try:
            yield from _leaves(json.loads(value), "")
        except (ValueError, RecursionError):
            return
    elif ";" in value or "=" in value:
        for piece in value.split(";"):
            key, sign, part = piece.strip().partition("=")
            if sign:
                yield key, part


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, str(key))
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, name)
