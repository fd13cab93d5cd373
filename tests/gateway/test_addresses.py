"""Addresses and networks, however they are written."""

import pytest

from gateway.addresses import address_of, is_loopback, networks, plain, within


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "[127.0.0.1]", "localhost", "LOCALHOST"])
def test_loopback_is_known_by_address_or_by_its_one_name(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "0.0.0.0", "[localhost]", "[::1", "::1]", "[[::1]]", "gw.example"])
def test_nothing_else_is_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_found_with_and_without_port_and_brackets(text: str, address: str) -> None:
    assert str(address_of(text)) == address


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:123456", "192.0.2.256", "010.0.0.1", "1", "[",
     "[2001:db8::1", "[2001:db8::1]443", "[2001:db8::1]:", '"192.0.2.1"', "for=192.0.2.1", "192.0.2.1 ", "192.0.2.0/24",
     "192.0.2.1:\xb2", "\u0661.2.3.4"],
)  # fmt: skip
def test_what_is_no_address_is_none(text: str) -> None:
    assert address_of(text) is None


def test_an_address_lies_within_networks_of_its_own_family() -> None:
    known = networks(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])
    for inside in ("10.255.0.1", "192.0.2.1", "2001:db8:ffff::1", "::ffff:10.0.0.1"):
        assert within(address_of(inside), known)
    for outside in ("11.0.0.1", "192.0.2.2", "2001:db9::1", "::ffff:11.0.0.1", "::a00:1", "x"):
        assert not within(address_of(outside), known)


@pytest.mark.parametrize(
    ("given", "written"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.1"), ("::ffff:abcd", "::ffff:abcd"), ("", "")],
)
def test_an_ipv4_peer_of_a_listener_for_both_families_is_written_as_ipv4(given: str, written: str) -> None:
    assert plain(given) == written
