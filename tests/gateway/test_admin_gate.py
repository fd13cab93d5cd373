"""The admin listener's gate by itself: which headers open it, and which config it does not take."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.admin_gate import AMBIGUOUS, BAD_HOST, BAD_ORIGIN, NO_TOKEN, Gate, Headers, Refusal
from gateway.config import Config, ServerConfig
from gateway.config_problems import ConfigError
from gateway.config_telemetry import AdminConfig

TOKEN = "correct horse bättery"
OPEN = Config(source=Path("x"), folder=Path(), servers={})
GUARDED = replace(OPEN, admin=AdminConfig(token=TOKEN))


def headers(**values: str) -> Headers:
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in values.items()]


def bearer(token: str) -> Headers:
    return [(b"authorization", b"Bearer " + token.encode())]


def basic(user: str, password: str) -> Headers:
    return [(b"authorization", b"Basic " + base64.b64encode(f"{user}:{password}".encode()))]


@pytest.mark.parametrize("given", [bearer(TOKEN), basic("", TOKEN), basic("anybody", TOKEN)])
def test_the_token_opens_as_bearer_and_as_the_password_of_any_user(given: Headers) -> None:
    assert Gate(GUARDED, "127.0.0.1").unauthorized(given) is None


@pytest.mark.parametrize(
    "given",
    [
        [],
        headers(authorization=""),
        headers(authorization="Bearer"),
        headers(authorization=TOKEN),
        bearer(""),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "x"),
        basic(TOKEN, ""),
        basic("x", "y"),
        headers(authorization="Basic %%%"),
        headers(authorization="Basic é"),
        headers(authorization="Digest " + "x" * 20),
    ],
)
def test_everything_else_is_refused_with_a_challenge_that_browsers_know(given: Headers) -> None:
    assert Gate(GUARDED, "127.0.0.1").unauthorized(given) == NO_TOKEN
    assert NO_TOKEN.status == 401
    assert NO_TOKEN.challenge is not None
    assert NO_TOKEN.challenge.startswith("Basic ")


def test_two_credentials_are_refused_even_if_one_is_right() -> None:
    assert Gate(GUARDED, "127.0.0.1").unauthorized([*bearer("x"), *bearer(TOKEN)]) == AMBIGUOUS


def test_without_a_token_none_is_asked_for_on_loopback() -> None:
    assert Gate(OPEN, "127.0.0.1").unauthorized([]) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example.com", ""])
def test_off_loopback_there_is_no_gate_without_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match=r"lets other machines in; add admin\.token"):
        Gate(OPEN, host)


def test_a_reload_changes_the_token_at_once() -> None:
    gate = Gate(OPEN, "127.0.0.1")
    assert gate.renew(GUARDED)
    assert gate.unauthorized([]) == NO_TOKEN
    assert gate.renew(OPEN)
    assert gate.unauthorized([]) is None


def test_a_reload_that_takes_the_token_away_opens_nothing_off_loopback() -> None:
    gate = Gate(GUARDED, "0.0.0.0")
    assert not gate.renew(OPEN)
    assert gate.unauthorized([]) == NO_TOKEN
    assert gate.unauthorized(bearer(TOKEN)) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9464", "[::1]:9464", "LOCALHOST:1"])
def test_on_loopback_its_names_are_heard(host: str) -> None:
    assert Gate(OPEN, "127.0.0.1").misdirected(headers(host=host)) is None


@pytest.mark.parametrize(
    "host", ["evil.example.com", "127.0.0.1.evil.example.com", "localhost.", "mcp.example.com", ""]
)
def test_on_loopback_no_other_name_is_heard_whatever_the_doors_allow(host: str) -> None:
    config = replace(OPEN, server=ServerConfig(allowed_hosts=["mcp.example.com", "*"]))
    assert Gate(config, "127.0.0.1").misdirected(headers(host=host)) == BAD_HOST


def test_a_request_without_a_host_or_with_two_is_not_heard() -> None:
    gate = Gate(OPEN, "127.0.0.1")
    assert gate.misdirected([]) == BAD_HOST
    assert gate.misdirected(headers(host="evil.example.com") + headers(host="localhost")) == BAD_HOST


def test_off_loopback_any_name_is_heard_since_the_token_guards_it() -> None:
    assert Gate(GUARDED, "0.0.0.0").misdirected(headers(host="onegate:9464")) is None


@pytest.mark.parametrize(
    ("site", "mode", "refusal"),
    [
        ("cross-site", "no-cors", BAD_ORIGIN),
        ("cross-site", "cors", BAD_ORIGIN),
        ("same-site", "no-cors", BAD_ORIGIN),  # another port of this machine
        ("cross-site", "navigate", None),
        ("same-origin", "cors", None),
        ("none", "navigate", None),
    ],
)
def test_pages_of_others_may_link_here_and_embed_nothing(site: str, mode: str, refusal: Refusal | None) -> None:
    given = headers(host="localhost", sec_fetch_site=site, sec_fetch_mode=mode)
    assert Gate(OPEN, "127.0.0.1").misdirected(given) == refusal
