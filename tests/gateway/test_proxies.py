"""What is made of the headers of a proxy that is trusted, and of the headers of anybody else."""

from typing import Any

import pytest

from gateway.transports.proxies import Proxies

TRUSTED = Proxies(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


def seen(peer: str, *headers: tuple[bytes, bytes]) -> Any:
    scope = {"client": (peer, 5), "scheme": "http", "headers": [(b"host", b"inner:8080"), *headers]}
    return TRUSTED.seen_through(scope)


def source(peer: str, *values: bytes) -> str:
    found = seen(peer, *((b"x-forwarded-for", value) for value in values))
    return str(found["client"][0])


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(peer: str) -> None:
    assert source(peer, b"203.0.113.7") == "203.0.113.7"
    assert source(peer, b"1.1.1.1, 203.0.113.7") == "203.0.113.7"
    assert source(peer, b"1.1.1.1, 203.0.113.7 , 10.0.0.9") == "203.0.113.7"
    assert source(peer, b"1.1.1.1", b"203.0.113.7:4711,10.0.0.9:80") == "203.0.113.7"
    assert source(peer, b"10.0.0.8, 10.0.0.9") == "10.0.0.8"
    assert source(peer, b"::ffff:203.0.113.7") == "203.0.113.7"
    assert source(peer, b"[2001:db9::1]:443, 2001:db8::1") == "2001:db9::1"


@pytest.mark.parametrize("bad", [b"unknown", b"", b"203.0.113.7;", b"1.2.3.4.5", b"\xff", b"for=1.1.1.1", b"localhost"])
def test_what_stands_left_of_a_word_that_is_no_address_is_not_believed(bad: bytes) -> None:
    assert source("127.0.0.1", b"203.0.113.7, " + bad) == "127.0.0.1"
    assert source("127.0.0.1", b"203.0.113.7, " + bad + b", 10.0.0.9") == "10.0.0.9"
    assert source("127.0.0.1", b"203.0.113.7", bad) == "127.0.0.1"


@pytest.mark.parametrize("peer", ["127.0.0.2", "11.0.0.1", "::1", "::ffff:11.0.0.1", "2001:db9::1", ""])
def test_what_an_untrusted_peer_says_of_others_is_taken_out(peer: str) -> None:
    told = [(b"x-forwarded-for", b"127.0.0.1"), (b"forwarded", b"for=127.0.0.1"), (b"x-forwarded-user", b"root")]
    kept = [(b"x-forwarded", b"1"), (b"accept", b"*/*")]
    told += [(b"x-forwarded-host", b"evil"), (b"x-forwarded-proto", b"https")]
    found = seen(peer, *told, *kept)
    assert found["headers"] == [(b"host", b"inner:8080"), *kept]
    assert (found["client"], found["scheme"]) == ((peer, 5), "http")


def test_a_peer_without_an_address_is_not_trusted() -> None:
    scope = {"client": None, "scheme": "http", "headers": [(b"x-forwarded-for", b"127.0.0.1")]}
    assert TRUSTED.seen_through(scope) == {"client": None, "scheme": "http", "headers": []}


@pytest.mark.parametrize(
    ("values", "scheme"),
    [([b"https"], "https"), ([b"HTTPS"], "https"), ([b"https, http"], "http"), ([b"http", b"https"], "https"),
     ([b"javascript"], "http"), ([b""], "http"), ([b"https,"], "http"), ([], "http")],
)  # fmt: skip
def test_the_scheme_is_the_last_one_that_is_told(values: list[bytes], scheme: str) -> None:
    assert seen("127.0.0.1", *((b"x-forwarded-proto", one) for one in values))["scheme"] == scheme


def host(*values: bytes) -> bytes | None:
    found = seen("127.0.0.1", *((b"x-forwarded-host", one) for one in values))
    hosts = [value for name, value in found["headers"] if name == b"host"]
    assert len(hosts) < 2
    return hosts[0] if hosts else None


def test_the_host_is_the_last_one_that_is_told_and_one_that_is_none_leaves_none() -> None:
    assert host() == b"inner:8080"
    assert host(b"gw.example") == host(b"evil, gw.example") == host(b"evil", b"gw.example") == b"gw.example"
    for bad in (b"", b"a b", b"user@gw.example", b"gw.example/x", b"gw.example,", b"gw:99999999", b"\xe9", b"[::1"):
        assert host(bad) is None


def test_the_older_standard_is_not_read_as_a_proxy_may_pass_on_what_it_does_not_set() -> None:
    found = seen("127.0.0.1", (b"forwarded", b"for=203.0.113.7;host=evil;proto=https"))
    assert (found["client"][0], found["scheme"]) == ("127.0.0.1", "http")
    assert (b"host", b"inner:8080") in found["headers"]
