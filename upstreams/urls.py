"""Pure: the URLs of remote upstreams, in the parts that a request needs. Texts may hold keys and are never shown."""

import base64
from dataclasses import dataclass, field
from string import punctuation
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL. ``host`` is in ASCII, ``target`` is what follows the authority in a request."""

    scheme: str
    host: str
    port: int
    target: str
    text: str = field(repr=False)
    basic: str | None = field(default=None, repr=False)
    """The Authorization value of the user and password in the URL, if it has any (RFC 7617)."""

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(text: str) -> Url:
    """Take a URL apart. Raises ValueError, which never quotes it, when it is not http or https, or has no host."""
    parts = urlsplit(text)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("not an http or https URL")
    if any(character <= " " or character == "\x7f" for character in text):
        raise ValueError("white space in a URL")
    host = parts.hostname
    host = host if host.isascii() else host.encode("idna").decode()
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    if port == 0:
        raise ValueError("nothing listens on port 0")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    basic = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        basic = f"Basic {base64.b64encode(user.encode()).decode()}"
    return Url(parts.scheme, host, port, quote(target, safe=punctuation), text, basic)


def same_origin(one: Url, other: Url) -> bool:
    """Tell whether two URLs share scheme, host and port (RFC 6454 §4)."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def joined(base: Url, reference: str) -> Url | None:
    """What a server's reference leads to from ``base``, or None where that is no URL of the same origin."""
    try:
        onward = parse_url(urljoin(base.text, reference))
    except ValueError:
        return None
    return onward if same_origin(onward, base) else None
