"""Which hosts and origins may talk to a gateway, and how headers are read."""

from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.auth_config import ApiKeyConfig, AuthConfig
from gateway.config import Config, ServerConfig
from gateway.transports.guard import Guard, header_map, media_type, repeats


def guard(host: str = "127.0.0.1", **server: Any) -> Guard:
    return Guard(Config(Path("c"), Path(), {}, server=ServerConfig(**server)), host)


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1", "[::1]", "[::1]:443"])
@pytest.mark.parametrize("bound", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1"])
def test_loopback_names_are_allowed_where_nothing_else_is_configured(bound: str, host: str) -> None:
    assert guard(bound).allows_host(host)


@pytest.mark.parametrize(
    "host", [None, "", ":80", "evil.example", "localhost.evil.example", "127.0.0.2", "[::1", "2130706433"]
)
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_other_names_are_not(bound: str, host: str | None) -> None:
    assert not guard(bound).allows_host(host)


@pytest.mark.parametrize("host", ["gate.example", "GATE.example:8443", "other.example:9000", "[2001:db8::1]:80"])
def test_configured_hosts_are_allowed_in_any_case(host: str) -> None:
    allowed = ["Gate.Example", "other.example:9000", "[2001:db8::1]"]
    assert guard("0.0.0.0", allowed_hosts=allowed).allows_host(host)


def test_a_host_that_is_configured_with_a_port_is_allowed_with_that_port_only() -> None:
    assert not guard("0.0.0.0", allowed_hosts=["other.example:9000"]).allows_host("other.example:9001")


def test_configured_hosts_of_a_public_gateway_take_the_place_of_loopback_names() -> None:
    assert not guard("0.0.0.0", allowed_hosts=["gate.example"]).allows_host("localhost")
    assert guard("127.0.0.1", allowed_hosts=["gate.example"]).allows_host("localhost")


def test_a_star_allows_every_host_but_none() -> None:
    assert guard(allowed_hosts=["*"]).allows_host("anything")
    assert not guard(allowed_hosts=["*"]).allows_host(None)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:5", True),
        ("http://app.example", True),
        ("HTTP://APP.EXAMPLE/", True),
        ("https://app.example", False),
        ("http://app.example:81", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("http://", False),
        ("http://[::1", False),
        ("http://localhost@evil.example", False),
        ("ftp://localhost", False),
    ],
)
def test_origins_are_allowed_exactly(origin: str | None, allowed: bool) -> None:
    assert guard(allowed_origins=["http://app.example/"]).allows_origin(origin, "localhost:8080") is allowed


def test_pages_of_the_gateway_itself_may_call_it() -> None:
    public = guard("0.0.0.0", allowed_hosts=["gate.example"])
    assert public.allows_origin("https://gate.example:8443", "gate.example:8443")
    assert not public.allows_origin("https://gate.example:8444", "gate.example:8443")
    assert not public.allows_origin("http://localhost", "gate.example:8443")
    assert not public.allows_origin("file://gate.example:8443", "gate.example:8443")


def test_a_star_allows_every_origin() -> None:
    assert guard(allowed_origins=["*"]).allows_origin("null", None)


def test_only_the_white_space_of_headers_is_stripped() -> None:
    assert header_map([(b"a", b" \tx y\t "), (b"b", b"\xa0x\x85")]) == {"a": "x y", "b": "\xa0x\x85"}


def test_a_repeated_header_is_seen() -> None:
    assert repeats([(b"a", b"1"), (b"b", b""), (b"a", b"1")], b"a")
    assert not repeats([(b"a", b"1"), (b"b", b"")], b"a")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("application/json", "application/json"),
        ("Application/JSON ; charset=utf-8", "application/json"),
        ("text/plain;application/json", "text/plain"),
        ("", ""),
    ],
)
def test_the_media_type_has_no_parameters(value: str, kind: str) -> None:
    assert media_type({"content-type": value}) == kind
    assert media_type({}) == ""


@pytest.mark.parametrize(
    ("mode", "bound", "lets"),
    [("strict", "0.0.0.0", True), ("strict", "127.0.0.1", False), ("optional", "0.0.0.0", False)],
)
def test_where_others_reach_it_and_everybody_needs_a_credential_any_host_will_do(
    mode: Literal["strict", "optional"], bound: str, lets: bool
) -> None:
    auth = AuthConfig(mode=mode, api_keys=[ApiKeyConfig(name="ci", sha256="0" * 64)])
    gate = Guard(Config(Path("c"), Path(), {}, auth=auth), bound)
    assert gate.allows_host("tools.example.com:443") is lets
    assert gate.allows_host("[2001:db8::1]") is lets
    for hostile in (None, "", "a b", "a@b", "a/b", "<x>", "a,b"):
        assert not gate.allows_host(hostile)
    named = Config(Path("c"), Path(), {}, server=ServerConfig(allowed_hosts=["a.example"]), auth=auth)
    assert not Guard(named, bound).allows_host("b.example")
