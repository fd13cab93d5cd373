"""The whole config, checked: finds and reads the file, and says everything that is wrong with it at once.

It starts nothing and opens no socket; how entries, references and syntax are read is in the `config_*` files.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field, ValidationError, field_validator

from gateway.config_entries import Entries, Source, read_entries
from gateway.config_expand import Scope, expand
from gateway.config_files import Document, locate, read
from gateway.config_problems import ConfigError, Key, LaterTable, Problem, explain, key_path, take_later, unknown
from upstreams.config import Duration, Section, ServerEntry, Size, Timeout, check_url

LogLevel = Literal["debug", "info", "warning", "error"]

# Paths that are no doors, whatever a route says.
RESERVED = ("/healthz", "/readyz", "/openapi.json", "/v1/", "/.well-known/")

SHOWN_IGNORED = 8  # a client's own settings file can hold hundreds of keys


def _always(_: Any) -> bool:
    return True


# What a later release brings, by key path (`*` is any name), and whether the value found there means it.
LATER: LaterTable = {
    ("auth",): lambda value: value != {"mode": "none"},
    ("policy",): lambda value: value != "allow_all",
    ("rate_limits",): _always,
    ("tool_api",): _always,
    ("admin",): _always,
    ("telemetry", "metrics"): _always,
    ("telemetry", "otlp"): _always,
    ("telemetry", "audit"): _always,
    ("telemetry", "log", "format"): _always,
    ("server", "trusted_proxies"): _always,
    ("server", "state_dir"): _always,
    ("routes", "*", "policy"): _always,
    ("routes", "*", "scopes"): _always,
}


class ServerConfig(Section):
    """The listener of `onegate serve`; `path` is the door to everything, null for none."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    path: str | None = "/mcp"
    per_server_doors: bool = True
    public_url: str | None = None
    allowed_hosts: list[str] = Field(default=[])
    allowed_origins: list[str] = Field(default=[])
    max_body: Size = 4 * 1024**2
    max_message: Size = 16 * 1024**2
    drain: Duration = 20.0
    allow_unauthenticated: bool = False
    discovery_on_get: bool = False

    @field_validator("path")
    @classmethod
    def _check_path(cls, value: str | None) -> str | None:
        if value is not None and (wrong := _wrong_with_path(value)):
            raise ValueError(wrong)
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
        return value


class RouteTools(Section):
    """Which tools a route shows; globs on the servers' own tool names, and exclude wins."""

    include: list[str] = Field(default=["*"])
    exclude: list[str] = Field(default=[])


class RouteConfig(Section):
    """One more door, to some of the servers."""

    upstreams: Annotated[list[str], Field(min_length=1)]
    prefix: Literal["always", "auto", "never"] = "auto"
    tools: RouteTools = RouteTools()
    timeout: Timeout | None = None


class LogConfig(Section):
    level: LogLevel = "info"
    levels: dict[str, LogLevel] = Field(default={})


class TelemetryConfig(Section):
    log: LogConfig = LogConfig()


class _Root(Section):
    """Every top-level key of this release but the servers."""

    name: Annotated[str, Field(min_length=1)] = "onegate"
    server: ServerConfig = ServerConfig()
    routes: dict[str, RouteConfig] = Field(default={})
    telemetry: TelemetryConfig = TelemetryConfig()
    auth: dict[str, Any] | None = None
    policy: str | None = None


OWN_KEYS = frozenset(_Root.model_fields) | {path[0] for path in LATER}


@dataclass(frozen=True, slots=True)
class Config:
    """A config that can be started. `servers` has the file's order; `warnings` are lines to log once."""

    source: Path
    folder: Path
    servers: dict[str, ServerEntry]
    name: str = "onegate"
    server: ServerConfig = field(default_factory=ServerConfig)
    routes: dict[str, RouteConfig] = field(default_factory=dict)
    allow_all: bool = False
    log_level: LogLevel = "info"
    log_levels: dict[str, LogLevel] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    disabled: dict[str, str] = field(default_factory=dict)  # server -> what is wrong with its entry
    switched_off: list[str] = field(default_factory=list)  # entries with `disabled: true`


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the config at `path`, or at the first place of the lookup; raises ConfigError with all problems."""
    document = read(locate(path, environ))
    scope = Scope(environ, document.folder)
    foreign = document.syntax == "json" and not OWN_KEYS & document.data.keys()
    section = "servers" if foreign and "mcpServers" not in document.data else "mcpServers"
    rest = {key: value for key, value in document.data.items() if key != section}

    entries, problems = _read_servers(document, Source(document, section, foreign, scope))
    root, root_problems = (_Root(), []) if foreign else _read_root(rest, document, scope, entries)
    if root is None or root_problems or problems:
        raise ConfigError([*root_problems, *problems])
    ignored = [key for key in rest if key != "inputs"] if foreign else []  # inputs are asked for with ${input:x}
    return Config(
        source=document.path,
        folder=document.folder,
        servers=entries.servers,
        name=root.name,
        server=root.server,
        routes=root.routes,
        allow_all=root.policy == "allow_all",
        log_level=root.telemetry.log.level,
        log_levels=root.telemetry.log.levels,
        warnings=_warnings(document, entries, ignored, section),
        disabled=entries.disabled,
        switched_off=entries.switched_off,
    )


def check_exposure(config: Config, host: str) -> None:
    """Raise ConfigError when `host` lets other machines in and the config does not say twice that they may."""
    missing = [] if config.server.allow_unauthenticated else ["server.allow_unauthenticated: true"]
    missing += [] if config.allow_all else ["policy: allow_all"]
    if missing and not is_loopback(host):
        text = (
            f"{host} lets other machines in, and nothing says who they are or what they may do\n"
            "use 127.0.0.1, or accept it with both server.allow_unauthenticated: true and policy: allow_all "
            f"(missing: {', '.join(missing)})"
        )
        raise ConfigError([Problem(str(config.source), ("server", "host"), text)])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_servers(document: Document, source: Source) -> tuple[Entries, list[Problem]]:
    file, key = str(document.path), (source.section,)
    raw = document.data.get(source.section)
    if raw is None and not source.foreign and "servers" in document.data:
        return Entries(), []  # said better by the unknown key `servers`
    if raw is None or raw == {}:
        mend = "no servers; add one, such as\nmcpServers: {time: {command: uvx, args: [mcp-server-time]}}"
        return Entries(), [Problem(file, () if source.foreign else key, mend)]
    if not isinstance(raw, dict):
        return Entries(), [Problem(file, key, "must be a mapping from a server's name to its entry")]
    entries = read_entries(raw, source)
    problems = entries.problems
    if entries.known == set(entries.skipped) and not problems:
        problems = [Problem(file, key, "no servers but onegate itself; add the servers that it shall serve")]
    return entries, problems


def _read_root(
    rest: dict[str, Any], document: Document, scope: Scope, entries: Entries
) -> tuple[_Root | None, list[Problem]]:
    data, found = expand(rest, scope)
    unresolved = {key for key, _ in found}
    found += take_later(data, LATER)
    found += _wrong_routes(data.get("routes"), entries)
    root = None
    try:
        root = _Root.model_validate(data)
    except ValidationError as error:
        said = explain(error, _Root, LATER, OWN_KEYS | {"mcpServers"})
        found += [(key, text) for key, text in said if key not in unresolved]
    return root, [Problem(str(document.path), key, text) for key, text in found]


def _wrong_routes(routes: Any, entries: Entries) -> list[tuple[Key, str]]:
    found: list[tuple[Key, str]] = []
    # With a mistake among the servers, or none at all, a name may be missing only because of that.
    known = frozenset() if entries.problems else frozenset(entries.known)
    for path, route in routes.items() if isinstance(routes, dict) else ():
        if wrong := _wrong_with_path(path):
            found.append((("routes", path), wrong))
        upstreams = route.get("upstreams") if isinstance(route, dict) else None
        for index, name in enumerate(upstreams if isinstance(upstreams, list) else ()):
            if known and isinstance(name, str) and name not in known:
                found.append((("routes", path, "upstreams", index), unknown(name, known, "server")))
    return found


def _wrong_with_path(path: str) -> str | None:
    if not path.startswith("/") or any(sign in path for sign in "?# "):
        return "a path must start with / and hold no ?, # or space"
    if not (path.isascii() and path.isprintable()):
        return f"requests carry other characters percent-encoded; write {quote(path, safe='/%')}"
    if any(path == taken.rstrip("/") or (taken.endswith("/") and path.startswith(taken)) for taken in RESERVED):
        return "this path is taken by the gateway itself; choose another"
    return None


def _warnings(document: Document, entries: Entries, ignored: list[str], section: str) -> list[str]:
    lines = [
        str(Problem(str(document.path), (section, name), "starts onegate itself; left out")) for name in entries.skipped
    ]
    keys = [*ignored, *map(key_path, entries.ignored)]
    if keys:
        more = f" and {len(keys) - SHOWN_IGNORED} more" if len(keys) > SHOWN_IGNORED else ""
        shown = ", ".join(keys[:SHOWN_IGNORED])
        lines.append(str(Problem(str(document.path), (), f"keys that mean nothing here are ignored: {shown}{more}")))
    return lines
