"""No trick of a token helps it: its algorithm, its names for keys, its spelling, or what it says is critical."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.auth_tokens import NO_KEY, Verified
from tests.fixtures.checkers import HEAD, of_jwks, of_secret, reason
from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.tokens import claims, forged, jwk, make_key, part, pem, token

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_without_signature_is_refused(tmp_path: Path, name: str) -> None:
    tokens = of_jwks(tmp_path, ["RS256"], jwk(make_key("RS256"), "k"))
    bare = f"{part({'alg': name})}.{part(claims())}."
    for text in (bare, bare + "AA", forged({"alg": name}, claims()), bare.rstrip(".")):
        reason(await tokens.verify(text))
        reason(await of_secret().verify(text))


async def test_the_public_key_is_no_shared_secret(tmp_path: Path) -> None:
    key = make_key("RS256")
    tokens = of_jwks(tmp_path, ["RS256"], jwk(key, "k"))
    secrets = [pem(key), pem(key).strip(), json.dumps(jwk(key, "k")).encode(), jwk(key)["n"].encode()]
    for secret in secrets:
        assert reason(await tokens.verify(forged(HEAD, claims(), secret))) == "alg is not one of the config's"


async def test_an_algorithm_that_the_config_does_not_name_is_refused_also_with_the_right_key(tmp_path: Path) -> None:
    key = make_key("RS256")
    tokens = of_jwks(tmp_path, ["RS256"], jwk(key, "k"))
    for other in ("PS256", "RS512", "RS384"):
        assert reason(await tokens.verify(token(key, other))) == "alg is not one of the config's"


async def test_a_key_that_names_its_algorithm_serves_no_other(tmp_path: Path) -> None:
    key = make_key("RS256")
    tokens = of_jwks(tmp_path, ["RS256", "PS256"], jwk(key, "k", alg="PS256"))
    assert isinstance(await tokens.verify(token(key, "PS256")), Verified)
    assert await tokens.verify(token(key, "RS256")) == NO_KEY


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "/dev/null", "https://evil/k", "' OR 1=1 --", "", "k\0", "K", "k ", "x" * 10_000]
)
async def test_a_kid_is_a_name_to_compare_and_nothing_else(tmp_path: Path, kid: str) -> None:
    key = make_key("ES256")
    tokens = of_jwks(tmp_path, ["ES256"], jwk(key, "k"))
    reason(await tokens.verify(token(key, "ES256", {"kid": kid})))


@pytest.mark.parametrize("kid", [7, None, ["k"], {"k": 1}, True])
async def test_a_kid_that_is_no_text_is_refused(kid: Any) -> None:
    assert reason(await of_secret().verify(forged({**HEAD, "kid": kid}, claims()))) == "alg or kid is not text"


async def test_a_token_brings_neither_its_own_key_nor_a_place_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a token caused I/O")

    tokens = of_jwks(tmp_path, ["ES256"], jwk(make_key("ES256"), "k"))
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    evil = make_key("ES256", "evil")
    for header in (
        {"jwk": jwk(evil)},
        {"jwk": jwk(evil, "k"), "kid": "k"},
        {"jku": "http://127.0.0.1:9/jwks.json"},
        {"x5u": "http://127.0.0.1:9/cert.pem"},
        {"x5c": ["MIIB"]},
        {"jku": "file:///etc/passwd", "kid": "/etc/passwd"},
    ):
        text = token(evil, "ES256", header)
        reason(await tokens.verify(text))


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", None, ["http://example.com/x"], {}])
async def test_a_token_that_is_critical_about_anything_is_refused(crit: Any) -> None:
    head = {**HEAD, "crit": crit, "exp": 1, "b64": True, "http://example.com/x": 1}
    assert reason(await of_secret().verify(forged(head, claims()))) == "crit"


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", 7, None])
async def test_a_token_made_for_something_else_is_refused(kind: Any) -> None:
    reason(await of_secret().verify(forged({"alg": "HS256", "typ": kind}, claims())))


@pytest.mark.parametrize("head", [{"alg": "HS256"}, {"alg": "HS256", "typ": "at+JWT"}, {**HEAD, "typ": "jwt"}])
async def test_an_access_token_may_say_that_it_is_one_or_nothing(head: dict[str, str]) -> None:
    assert isinstance(await of_secret().verify(forged(head, claims())), Verified)


def _longer(text: str) -> str:
    return text + "="


def _other_spelling(text: str) -> str:
    # The last character of a 32-byte signature holds two bits that mean nothing.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


@pytest.mark.parametrize(
    "change",
    [
        _longer,
        _other_spelling,
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + ".",
        lambda text: text + ".e30",
        lambda text: "." + text,
        lambda text: text.replace(".", "..", 1),
        lambda text: text.rpartition(".")[0],
        lambda text: text.replace("e", "é", 1),
        lambda text: text[:-2] + "+/",
        lambda text: "",
        lambda text: "..",
    ],
)
async def test_a_token_has_one_spelling(change: Callable[[str], str]) -> None:
    assert reason(await of_secret().verify(change(token()))) == "not a signed JWT"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"not json",
        b"\xff\xfe",
        json.dumps(claims()).encode()[:-1],
        json.dumps({**claims(), "x": float("nan")}).encode(),
        json.dumps({**claims(), "x": "\0"}).encode(),
        json.dumps({**claims(), "x": "\ud800"}).encode(),
        json.dumps({**claims(), "x": 0}).encode()[:-2] + b"[" * 64 + b"]" * 64 + b"}",
        b"[" * 100_000,
    ],
)
async def test_claims_that_are_not_plain_json_are_refused_whoever_signed_them(body: bytes) -> None:
    reason(await of_secret().verify(forged(HEAD, body)))
    reason(await of_secret().verify(forged(body, claims())))
