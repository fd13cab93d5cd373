"""Who is let in to the admin listener: a request's headers in, a refusal or None out. Pure, and does no I/O."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.addresses import is_loopback
from gateway.config import Config, ServerConfig
from gateway.config_problems import ConfigError, Problem
from gateway.transports.guard import Guard, header_map, repeats

CHALLENGE: Final = 'Basic realm="onegate admin", charset="UTF-8"'  # for browsers: other clients know what they send
OWN_PAGES: Final = ("same-origin", "none")  # `none`: typed, or opened from outside the browser

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to whom we do not let in."""

    status: int
    text: str
    challenge: str | None = None


BAD_HOST: Final = Refusal(403, "Host not allowed: ask under a loopback name")
BAD_ORIGIN: Final = Refusal(403, "Pages of other origins may not ask")
AMBIGUOUS: Final = Refusal(400, "More than one Authorization header")
NO_TOKEN: Final = Refusal(401, "The token of admin.token is needed, as Bearer or as the password of Basic", CHALLENGE)


class Gate:
    """Guards the listener on one host. Raises ConfigError where other machines reach it and no token is set."""

    def __init__(self, config: Config, host: str) -> None:
        self._loopback = is_loopback(host)
        # The names that clients of the doors may use open nothing here.
        self._guard = Guard(replace(config, server=ServerConfig()), host)
        self._token: bytes | None = None
        if not self.renew(config):
            text = f"{host} lets other machines in; add admin.token"
            raise ConfigError([Problem(str(config.source), ("admin", "listen"), text)])

    def renew(self, config: Config) -> bool:
        """Ask for the token of another config; False, and nothing changes, where it has none and one is needed."""
        token = config.admin.token
        if token is None and not self._loopback:
            return False
        self._token = None if token is None else token.encode()
        return True

    def misdirected(self, headers: Headers) -> Refusal | None:
        """Refuse what a web page of another site sends, be it under a name of its own that leads here."""
        found = header_map(headers)
        host = found.get("host")
        if self._loopback and (repeats(headers, b"host") or not self._guard.allows_host(host)):
            return BAD_HOST
        embedded = found.get("sec-fetch-mode", "navigate") != "navigate"
        if embedded and found.get("sec-fetch-site", "none") not in OWN_PAGES:
            return BAD_ORIGIN
        return None

    def unauthorized(self, headers: Headers) -> Refusal | None:
        """Refuse who does not have the token, where there is one."""
        if self._token is None:
            return None
        if repeats(headers, b"authorization"):
            return AMBIGUOUS
        given = _given(header_map(headers))
        return None if given is not None and secrets.compare_digest(given, self._token) else NO_TOKEN


def _given(headers: Mapping[str, str]) -> bytes | None:
    """The token that comes with a request: RFC 6750, or the password of RFC 7617, whatever the user's name."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    rest = rest.strip(" ")
    if scheme.lower() == "bearer":
        return rest.encode("latin-1")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None
