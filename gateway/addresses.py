"""Pure: what IP addresses and networks mean, however they are written; opens nothing and asks no name server."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAPPED: Final = "::ffff:"


def is_loopback(host: str) -> bool:
    """Whether a host, with the brackets of a URL or without, can only be this machine.

    Of names only localhost counts; in brackets there are no names (RFC 3986 §3.2.2).
    """
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        return ip_address(host[1:-1] if bracketed else host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def address_of(text: str) -> Address | None:
    """The address that a text is; an IPv4 address within IPv6 (RFC 4291 §2.5.5.2) is the IPv4 one. None for no address.

    A port beside it is left out: some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`.
    """
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv4Address):
        return found
    return found.ipv4_mapped or IPv6Address(int(found))  # without a zone, which means something on its own host only


def plain(text: str) -> str:
    """An address as a socket gives it, in the form that people write: IPv4 also on a listener for both families."""
    return text.removeprefix(MAPPED) if "." in text else text


def check_network(text: str) -> str:
    """Give back an address or a CIDR network as it is. Raises ValueError, with what to write instead."""
    try:
        network = ip_network(text)
    except ValueError:
        meant = _meant(text)
        if meant is None:
            raise ValueError("is no address and no network; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32") from None
        raise ValueError(f"has bits beyond its length; write {meant}, or {text.partition('/')[0]} alone") from None
    if network.prefixlen == 0:
        raise ValueError("names every address, so that any client could say who it is; name the proxies")
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError("is an IPv4 address within IPv6; write the IPv4 one, which means both")
    return text


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of checked texts."""
    return tuple(ip_network(text) for text in texts)


def within(address: Address | None, known: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks; no address lies in none."""
    return address is not None and any(address in network for network in known)


def _is_port(text: str) -> bool:
    return text[:1] == ":" and text[1:].isascii() and text[1:].isdigit() and len(text) <= len(":65535")


def _meant(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
