"""Pure module: where a door's OAuth metadata is and what it says (RFC 9728), so that clients find where to log in."""

import re
from collections.abc import Container, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from gateway.auth_config import AuthConfig

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"

# A Host header comes from the client: what goes into an answer is a name or an address, and a port.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def base_url(public_url: str | None, host: str | None, scheme: str = "http") -> str | None:
    """The URL under which the doors lie, without a slash at its end: the config's, else the one that was called."""
    if public_url is not None:
        return public_url.rstrip("/")
    return f"{scheme}://{host}" if host is not None and _HOST.fullmatch(host) else None


def metadata_path(path: str) -> str:
    """The path of the metadata of what lies at `path` (RFC 9728 §3.1)."""
    return WELL_KNOWN + (path if path != "/" else "")


def metadata_url(base: str, door: str) -> str:
    """Where the metadata of a door is: the well-known part comes between the host and the path."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}{metadata_path(parts.path + door)}"


def door_of(path: str, public_url: str | None, doors: Container[str]) -> str | None:
    """The door whose metadata is asked for; a proxy may have kept the public URL's own path, or taken it away."""
    rest = path.removeprefix(WELL_KNOWN)
    shorter = rest.removeprefix(urlsplit(public_url or "").path.rstrip("/"))
    return next((door for door in (rest or "/", shorter or "/") if door in doors), None)


def metadata(auth: AuthConfig, base: str, door: str, scopes: Iterable[str] = ()) -> dict[str, Any]:
    """The document of one door; `scopes` are those that the door asks for beside the gateway's."""
    servers = [entry.issuer for entry in auth.jwt if _is_server(entry.issuer)]
    wanted = required_scopes(auth.scopes, scopes)
    document = {
        "resource": base + door,
        "authorization_servers": servers,
        "scopes_supported": wanted,
        "bearer_methods_supported": ["header"],
    }
    return {name: value for name, value in document.items() if value}  # RFC 9728 §3.2: an empty list is left out


def required_scopes(gateway: Iterable[str], door: Iterable[str]) -> list[str]:
    """The scopes of the gateway and of a door, each once, in this order."""
    return list(dict.fromkeys([*gateway, *door]))


def _is_server(issuer: str) -> bool:
    """Whether an issuer is the URL of an authorization server (RFC 8414 §2), and not only a name."""
    try:
        parts = urlsplit(issuer)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
