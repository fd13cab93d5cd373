"""The whole config, checked: finds and reads the file, and says everything that is wrong with it at once.

It starts nothing and opens no socket; how entries, references and syntax are read is in the `config_*` files.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, ValidationError, field_validator

from gateway.addresses import check_network, is_loopback
from gateway.auth_config import AuthConfig, ScopeName
from gateway.config_entries import Entries, Source, read_entries
from gateway.config_expand import Scope, expand
from gateway.config_files import Document, locate, read
from gateway.config_policy import AuthKey, Compiled, PolicyKey, RoutePolicyKey, compile_policies, wrong_scopes
from gateway.config_problems import ConfigError, Key, LaterTable, Problem, explain, key_path, take_later, unknown
from gateway.config_telemetry import AdminConfig, TelemetryConfig, address
from policies.config import RateLimitConfig
from policies.model import LOCAL, Identity
from policies.rules import ALLOW_ALL, Policy
from upstreams.config import Duration, Section, ServerEntry, Size, Timeout, check_url

# Paths that are no doors, whatever a route says.
RESERVED = ("/healthz", "/readyz", "/openapi.json", "/v1/", "/.well-known/")

# What a listener that other machines reach needs: what it says, and how to have it.
EXPOSED = {
    "auth": ("who they are", "add auth (or accept anybody with server.allow_unauthenticated: true)"),
    "policy": ("what they may do", "add policy (or allow everything with policy: allow_all)"),
}

SHOWN_IGNORED = 8  # a client's own settings file can hold hundreds of keys


def _always(_: Any) -> bool:
    return True


# What a later release brings, by key path (`*` is any name), and whether the value found there means it.
LATER: LaterTable = {
    ("server", "state_dir"): _always,
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
    trusted_proxies: list[Annotated[str, AfterValidator(check_network)]] = Field(default=[])
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
    policy: RoutePolicyKey = None
    scopes: list[ScopeName] = Field(default=[])


class ToolApiConfig(Section):
    """Tool calls over plain HTTP, for applications that do not speak MCP."""

    enabled: bool = True


class _Root(Section):
    """Every top-level key of this release but the servers."""

    name: Annotated[str, Field(min_length=1)] = "onegate"
    server: ServerConfig = ServerConfig()
    routes: dict[str, RouteConfig] = Field(default={})
    telemetry: TelemetryConfig = TelemetryConfig()
    admin: AdminConfig = AdminConfig()
    tool_api: ToolApiConfig = ToolApiConfig()
    auth: AuthKey = None
    policy: PolicyKey = None
    rate_limits: list[RateLimitConfig] = Field(default=[])


@dataclass(frozen=True, slots=True)
class _Checked:
    root: _Root
    compiled: Compiled = field(default_factory=Compiled)
    has_policy: bool = False


OWN_KEYS = frozenset(_Root.model_fields) | {path[0] for path in LATER}


@dataclass(frozen=True, slots=True)
class Config:
    """A config that can be started. `servers` has the file's order; `warnings` are lines to log once.

    `auth` is None where nobody is asked who they are; `local` is who calls over stdio, whatever `auth` says of others.
    """

    source: Path
    folder: Path
    servers: dict[str, ServerEntry]
    name: str = "onegate"
    server: ServerConfig = field(default_factory=ServerConfig)
    routes: dict[str, RouteConfig] = field(default_factory=dict)
    auth: AuthConfig | None = None
    says_no_auth: bool = False  # `mode: none`, written out
    local: Identity = LOCAL
    policy: Policy = ALLOW_ALL
    has_policy: bool = False  # rules, or the words that there shall be none
    allow_all: bool = False
    route_policies: dict[str, Policy] = field(default_factory=dict)
    rate_limits: list[RateLimitConfig] = field(default_factory=list)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    tool_api: ToolApiConfig = field(default_factory=ToolApiConfig)
    says_admin: bool = False  # the listener is asked for: it is no guess that may fail
    warnings: list[str] = field(default_factory=list)
    disabled: dict[str, str] = field(default_factory=dict)  # server -> what is wrong with its entry
    switched_off: list[str] = field(default_factory=list)  # entries with `disabled: true`
    taken: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False, compare=False)  # see `Entries`


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the config at `path`, or at the first place of the lookup; raises ConfigError with all problems."""
    document = read(locate(path, environ))
    scope = Scope(environ, document.folder)
    foreign = document.syntax == "json" and not OWN_KEYS & document.data.keys()
    section = "servers" if foreign and "mcpServers" not in document.data else "mcpServers"
    rest = {key: value for key, value in document.data.items() if key != section}

    entries, problems = _read_servers(document, Source(document, section, foreign, scope))
    checked, root_problems = (_Checked(_Root()), []) if foreign else _read_root(rest, document, scope, entries)
    if checked is None or root_problems or problems:
        raise ConfigError([*root_problems, *problems])
    root, compiled = checked.root, checked.compiled
    ignored = [key for key in rest if key != "inputs"] if foreign else []  # inputs are asked for with ${input:x}
    odd = [str(Problem(str(document.path), key, text)) for key, text in compiled.warnings]
    return Config(
        source=document.path,
        folder=document.folder,
        servers=entries.servers,
        name=root.name,
        server=root.server,
        routes=root.routes,
        auth=None if root.auth is None or root.auth.mode == "none" else root.auth,
        says_no_auth=root.auth is not None and root.auth.mode == "none",
        local=_local(root.auth),
        policy=compiled.policy,
        has_policy=checked.has_policy,
        allow_all=checked.has_policy and root.policy is None,
        route_policies=compiled.routes,
        rate_limits=root.rate_limits,
        telemetry=root.telemetry,
        admin=root.admin,
        tool_api=root.tool_api,
        says_admin="admin" in rest,
        warnings=[*_warnings(document, entries, ignored, section), *odd],
        disabled=entries.disabled,
        switched_off=entries.switched_off,
        taken=entries.taken,
    )


def check_exposure(config: Config, host: str) -> None:
    """Raise ConfigError when `host` lets other machines in and the config does not say who, and what they may do."""
    missing = [] if config.auth or config.server.allow_unauthenticated else ["auth"]
    missing += [] if config.has_policy else ["policy"]
    if missing and not is_loopback(host):
        said = " and ".join(EXPOSED[key][0] for key in missing)
        mends = ", and ".join(EXPOSED[key][1] for key in missing)
        text = f"{host} lets other machines in, and nothing says {said}\nuse 127.0.0.1, or {mends}"
        raise ConfigError([Problem(str(config.source), ("server", "host"), text)])


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
) -> tuple[_Checked | None, list[Problem]]:
    data, found = expand(rest, scope)
    unresolved = {key for key, _ in found}
    found += take_later(data, LATER)
    found += _wrong_routes(data.get("routes"), entries)
    found += wrong_scopes(data)
    found += _wrong_admin(data.get("admin"))
    compiled = compile_policies(data)
    checked = None
    try:
        checked = _Checked(_Root.model_validate(data), compiled, "policy" in data)
    except ValidationError as error:
        said = explain(error, _Root, LATER, OWN_KEYS | {"mcpServers"})
        found += [(key, text) for key, text in said if key not in unresolved]
    return checked, [Problem(str(document.path), key, text) for key, text in [*found, *compiled.problems]]


def _local(auth: AuthConfig | None) -> Identity:
    if auth is None or auth.stdio is None:
        return LOCAL
    from gateway.auth import local_identity  # only where it has something to say

    return local_identity(auth)


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


def _wrong_admin(admin: Any) -> list[tuple[Key, str]]:
    """Whoever reaches that listener sees all servers and tools, so other machines need a token."""
    listen = admin.get("listen") if isinstance(admin, dict) and admin.get("token") is None else None
    try:
        host = address(listen)[0] if isinstance(listen, str) else "localhost"
    except ValueError:
        return []  # said better by the key's own check
    return [] if is_loopback(host) else [(("admin", "listen"), f"{host} lets other machines in; add admin.token")]


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
