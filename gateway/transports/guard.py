"""Pure checks of an HTTP request before anything of it is used: Host, Origin, content type. No I/O."""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.config import Config

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
OWS: Final = " \t"  # the white space of headers (RFC 9110 §5.6.3); what Python strips besides is part of a value

_HOST: Final = re.compile(r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]")


class Guard:
    """The hosts and origins of one gateway (DNS rebinding: MCP 2025-11-25, basic/transports, security warning)."""

    def __init__(self, config: Config, host: str) -> None:
        self._hosts = {name.lower() for name in config.server.allowed_hosts}
        self._origins = {origin.lower().rstrip("/") for origin in config.server.allowed_origins}
        # A name that an attacker points at us is neither a loopback name nor one that the config knows.
        self._loopback = is_loopback(host) or not self._hosts
        # A page has no credential of its own to send along: where everybody needs one, any name may lead here.
        closed = config.auth is not None and config.auth.mode == "strict"
        self._any = closed and not self._hosts and not is_loopback(host)

    def allows_host(self, host: str | None) -> bool:
        """Whether the Host header names this gateway; ``*`` in the config allows any."""
        if host is None:
            return False
        name = _without_port(host.lower())
        if "*" in self._hosts or name in self._hosts or host.lower() in self._hosts:
            return True
        return (self._loopback and name in LOOPBACK_NAMES) or (self._any and _HOST.fullmatch(name) is not None)

    def allows_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may call; requests of programs carry none."""
        if origin is None:
            return True
        origin = origin.lower()
        if "*" in self._origins or origin.rstrip("/") in self._origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:  # a bracket without its address
            return False
        if host is not None and parts.netloc == host.lower() and parts.scheme in ("http", "https"):
            return True  # the gateway's own pages
        return self._loopback and parts.scheme in ("http", "https") and (parts.hostname or "") in LOOPBACK_NAMES


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name, values stripped (httptools keeps white space); of a repeated one the last."""
    return {name.decode("latin-1"): value.decode("latin-1").strip(OWS) for name, value in headers}


def repeats(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bool:
    """Whether a header comes more than once."""
    return sum(1 for one, _ in headers if one == name) > 1


def media_type(headers: Mapping[str, str]) -> str:
    """The media type of the body, lower-case, without parameters."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.rsplit(":", 1)[0] if ":" in host else host
