"""Which tokens get in: who signed them, how, and with which claims; and where the keys for them are read."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.auth_config import JwtConfig
from gateway.auth_tokens import Verified, read_issuers
from gateway.unauthorized import EXPIRED
from tests.fixtures.checkers import HEAD, checker, of_jwks, of_secret, reason
from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.tokens import AUDIENCE, ISSUER, NOW, SECRET, claims, forged, jwk, jwks, make_key, part, pem, token

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_token_signed_with_a_key_of_the_set_gets_in(tmp_path: Path, algorithm: str) -> None:
    key = make_key(algorithm)
    tokens = of_jwks(tmp_path, [algorithm], jwk(key, "k"))
    found = await tokens.verify(token(key, algorithm, {"kid": "k"}, scope="a b"))
    assert isinstance(found, Verified)
    assert found.identity.key == ("jwt", ISSUER, "alice")
    assert found.identity.scopes == ("a", "b")
    assert found.identity.claims == claims(scope="a b")
    assert (found.exp, found.ends) == (NOW + 600, NOW + 600)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_token_signed_with_another_key_of_the_same_kind_is_refused(tmp_path: Path, algorithm: str) -> None:
    tokens = of_jwks(tmp_path, [algorithm], jwk(make_key(algorithm), "k"))
    stranger = make_key(algorithm, "stranger")
    assert reason(await tokens.verify(token(stranger, algorithm, {"kid": "k"}))) == "signature"
    assert reason(await tokens.verify(token(stranger, algorithm))) == "signature"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_file_is_enough(tmp_path: Path, algorithm: str) -> None:
    key = make_key(algorithm)
    (tmp_path / "idp.pem").write_bytes(pem(key))
    tokens = checker(tmp_path, {"public_key_file": "idp.pem", "algorithms": [algorithm]})
    assert isinstance(await tokens.verify(token(key, algorithm, {"kid": "whatever"})), Verified)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_shared_secret_is_enough(algorithm: str) -> None:
    tokens = of_secret(algorithms=[algorithm])
    assert isinstance(await tokens.verify(token(SECRET, algorithm)), Verified)


async def test_the_tests_own_forgeries_are_good_tokens_but_for_what_they_forge() -> None:
    assert isinstance(await of_secret().verify(forged(HEAD, claims())), Verified)


async def test_the_right_signature_over_other_claims_is_refused(tmp_path: Path) -> None:
    head, _, signature = token().split(".")
    text = f"{head}.{part(claims(role='admin'))}.{signature}"
    assert reason(await of_secret().verify(text)) == "signature"


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "sub"])
async def test_a_token_without_a_claim_that_must_be_there_is_refused(claim: str) -> None:
    reason(await of_secret().verify(token(**{claim: None})))
    reason(await of_secret().verify(forged(HEAD, {**claims(), claim: None})))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", "https://idp.example.com/"),
        ("iss", "https://IDP.example.com"),
        ("iss", [ISSUER]),
        ("iss", {"a": 1}),
        ("aud", "Onegate"),
        ("aud", "onegate2"),
        ("aud", []),
        ("aud", ["other"]),
        ("aud", [[AUDIENCE]]),
        ("aud", {AUDIENCE: 1}),
        ("aud", True),
        ("aud", ""),
        ("sub", ""),
        ("sub", 7),
        ("sub", ["alice"]),
        ("exp", "2000000000"),
        ("exp", True),
        ("exp", 10**30),
        ("exp", 1e300),
        ("exp", [NOW + 1]),
        ("exp", -1),
        ("nbf", "0"),
        ("nbf", True),
        ("nbf", None),
        ("nbf", 10**30),
    ],
)
async def test_a_claim_of_another_value_or_kind_is_refused(claim: str, value: Any) -> None:
    reason(await of_secret().verify(forged(HEAD, {**claims(), claim: value})))


async def test_one_audience_of_several_is_enough() -> None:
    tokens = of_secret(audiences=["a", AUDIENCE])
    for audience in (AUDIENCE, "a", ["x", AUDIENCE], [7, "a"]):
        assert isinstance(await tokens.verify(forged(HEAD, claims(aud=audience))), Verified)


@pytest.mark.parametrize(
    ("leeway", "changes", "lets_in"),
    [
        ("0s", {"exp": NOW + 0.5}, True),
        ("0s", {"exp": NOW}, False),
        ("0s", {"exp": NOW - 1}, False),
        ("0s", {"nbf": NOW}, True),
        ("0s", {"nbf": NOW + 1}, False),
        ("30s", {"exp": NOW - 29}, True),
        ("30s", {"exp": NOW - 30}, False),
        ("30s", {"nbf": NOW + 30}, True),
        ("30s", {"nbf": NOW + 31}, False),
    ],
)
async def test_a_token_counts_from_nbf_to_exp_give_or_take_the_leeway(
    leeway: str, changes: dict[str, float], lets_in: bool
) -> None:
    found = await of_secret(leeway=leeway).verify(token(**changes))
    assert isinstance(found, Verified) == lets_in


async def test_a_token_ends_with_its_leeway() -> None:
    found = await of_secret(leeway="30s").verify(token())
    assert isinstance(found, Verified)
    assert (found.exp, found.ends) == (NOW + 600, NOW + 630)


async def test_claims_may_nest_as_deep_as_rules_take_them() -> None:
    body = json.dumps({**claims(), "x": 0}).encode()[:-2] + b"[" * 63 + b"]" * 63 + b"}"
    assert isinstance(await of_secret().verify(forged(HEAD, body)), Verified)


async def test_only_a_genuine_token_is_told_that_it_has_expired() -> None:
    assert await of_secret().verify(token(exp=NOW - 1)) == EXPIRED
    assert reason(await of_secret().verify(forged(HEAD, claims(exp=NOW - 1), b"x" * 32))) == "signature"


async def test_the_key_of_one_issuer_vouches_for_no_other(tmp_path: Path) -> None:
    mine, theirs = make_key("ES256", "mine"), make_key("ES256", "theirs")
    (tmp_path / "mine.json").write_bytes(jwks(jwk(mine, "k")))
    (tmp_path / "theirs.json").write_bytes(jwks(jwk(theirs, "k")))
    tokens = checker(
        tmp_path,
        {"jwks_file": "mine.json", "algorithms": ["ES256"]},
        {"issuer": "https://other", "audiences": ["theirs"], "jwks_file": "theirs.json", "algorithms": ["ES256"]},
    )
    assert isinstance(await tokens.verify(token(mine, "ES256")), Verified)
    assert isinstance(await tokens.verify(token(theirs, "ES256", iss="https://other", aud="theirs")), Verified)
    assert reason(await tokens.verify(token(theirs, "ES256"))) == "signature"
    assert reason(await tokens.verify(token(mine, "ES256", iss="https://other", aud="theirs"))) == "signature"
    assert reason(await tokens.verify(token(theirs, "ES256", iss="https://other"))) == "aud"
    assert reason(await tokens.verify(token(theirs, "ES256", iss="https://evil"))) == "iss is not one of the config's"


async def test_a_large_number_in_a_claim_stays_what_it_is() -> None:
    found = await of_secret().verify(token(account=2**70 + 1))
    assert isinstance(found, Verified)
    assert found.identity.claims["account"] == 2**70 + 1


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "a  b"}, ("a", "b")),
        ({"scp": ["a", "b", 7]}, ("a", "b")),
        ({"scp": "a b"}, ("a", "b")),
        ({"scope": ["a", "b"]}, ("a", "b")),
        ({"scope": "a", "scp": ["b"]}, ("a",)),
        ({"scope": 7}, ()),
        ({"scope": {"a": 1}}, ()),
        ({}, ()),
    ],
)
async def test_scopes_are_read_as_servers_write_them(changes: dict[str, Any], scopes: tuple[str, ...]) -> None:
    found = await of_secret().verify(token(**changes))
    assert isinstance(found, Verified)
    assert found.identity.scopes == scopes


@pytest.mark.parametrize(
    ("key", "data", "said"),
    [
        ("jwks_file", None, "cannot be read"),
        ("jwks_file", b"{", "is not JSON"),
        ("jwks_file", b"{}", "is not a JWK Set"),
        ("jwks_file", b'{"keys": []}', "holds no public key for ES256"),
        ("public_key_file", None, "cannot be read"),
        ("public_key_file", b"rubbish", "is not a public key in PEM form"),
        ("public_key_file", b"-----BEGIN PRIVATE KEY-----", "holds a private key"),
        ("public_key_file", b" " * 2_000_000, "is over"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, key: str, data: bytes | None, said: str
) -> None:
    if data is not None:
        (tmp_path / "keys").write_bytes(data)
    good = JwtConfig(issuer="a", audiences=["a"], secret=SECRET)
    bad = JwtConfig(issuer="b", audiences=["a"], algorithms=["ES256"], **{key: "keys"})
    issuers, [(path, text)] = read_issuers([good, bad], tmp_path, lambda: 0.0)
    assert list(issuers) == ["a"]
    assert path == (1, key)
    assert said in text


def test_a_key_file_of_another_kind_than_the_algorithms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "idp.pem").write_bytes(pem(make_key("ES384")))
    entry = JwtConfig(issuer="a", audiences=["a"], algorithms=["ES256", "RS256"], public_key_file="idp.pem")
    _, [(_, text)] = read_issuers([entry], tmp_path, lambda: 0.0)
    assert text == "holds a key that does not fit ES256, RS256; change algorithms, or the key"
