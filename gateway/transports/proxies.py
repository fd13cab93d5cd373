"""Pure: what a proxy in front says of a request, where the config trusts it. A scope in, the client's own scope out.

Only X-Forwarded-For, -Proto and -Host are read, never Forwarded (RFC 7239): a proxy passes on what it does not set
itself, so whoever reads both lets a client say in the one what its proxy says in the other. For the same reason the
last value of a header counts: a proxy adds its own at the end.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.addresses import Address, Network, address_of, networks, within
from gateway.transports.exchange import Scope
from gateway.transports.malformed import HOST

Headers = Sequence[tuple[bytes, bytes]]

FOR: Final = b"x-forwarded-for"
PROTO: Final = b"x-forwarded-proto"
FORWARDED_HOST: Final = b"x-forwarded-host"
SCHEMES: Final = {b"http": "http", b"https": "https"}
OWS: Final = b" \t"


class Proxies:
    """The proxies of one config: addresses and networks that were checked with it."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = networks(trusted)

    def seen_through(self, scope: Scope) -> Scope:
        """The request as its client made it: ``client``, ``scheme`` and the Host header are those that the proxy names.

        Of a peer that is no trusted proxy, what it says of others is taken out. A forwarded host that is none leaves
        the request without Host, which no door takes.
        """
        headers: Headers = scope["headers"]
        peer = address_of((scope.get("client") or ("",))[0])
        if peer is None or not within(peer, self._networks):
            return {**scope, "headers": [one for one in headers if not _is_forwarding(one[0])]}
        seen = {**scope, "client": (str(_client(headers, peer, self._networks)), 0)}
        if schemes := _values(headers, PROTO):
            seen["scheme"] = SCHEMES.get(schemes[-1].lower(), scope.get("scheme", "http"))
        if hosts := _values(headers, FORWARDED_HOST):
            others = [one for one in headers if one[0] != b"host"]
            seen["headers"] = [*others, (b"host", hosts[-1])] if HOST.fullmatch(hosts[-1]) else others
        return seen


def _client(headers: Headers, peer: Address, trusted: Sequence[Network]) -> Address:
    """From the right the first address that is no trusted proxy's, or the last one before a word that is none."""
    nearest = peer
    for value in reversed(_values(headers, FOR)):
        found = address_of(value.decode("latin-1"))
        if found is None:
            return nearest
        nearest = found
        if not within(found, trusted):
            return nearest
    return nearest


def _values(headers: Headers, name: bytes) -> list[bytes]:
    """The members of a list header, of all its lines (RFC 9110 §5.3)."""
    return [one.strip(OWS) for key, value in headers if key == name for one in value.split(b",")]


def _is_forwarding(name: bytes) -> bool:
    return name == b"forwarded" or name.startswith(b"x-forwarded-")
