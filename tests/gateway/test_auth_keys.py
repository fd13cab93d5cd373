"""Which keys of a set count: public ones, for signatures, of a kind and length that fits the config."""

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from jwt.algorithms import ECAlgorithm

from gateway.auth_keys import MAX_KEYS, KeySet, keys_of_jwks, keys_of_pem, keys_of_secret
from tests.fixtures.tokens import SECRET, jwk, make_key, pem

ALL = frozenset({"RS256", "PS256", "ES256", "ES384", "EdDSA"})
EC = make_key("ES256")


def usable(*listed: Any, algorithms: frozenset[str] = ALL) -> KeySet:
    found = keys_of_jwks({"keys": list(listed)}, algorithms)
    assert isinstance(found, KeySet)
    return found


def test_a_key_verifies_the_configured_algorithms_that_fit_its_kind() -> None:
    kinds = {name: usable(jwk(make_key(name))).keys[0].algorithms for name in ("RS256", "ES256", "ES384", "EdDSA")}
    assert kinds == {
        "RS256": {"RS256", "PS256"},
        "ES256": {"ES256"},
        "ES384": {"ES384"},
        "EdDSA": {"EdDSA"},
    }


def test_a_key_that_names_its_algorithm_verifies_that_one_only() -> None:
    assert usable(jwk(make_key("RS256"), alg="PS256")).keys[0].algorithms == {"PS256"}
    assert usable(jwk(make_key("RS256"), alg="RS512")).keys == ()
    assert usable(jwk(make_key("RS256"), alg="none")).keys == ()
    assert usable(jwk(EC, alg=7)).keys == ()


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"kid": 7},
        {"kid": None},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC2"},
        {"kty": ["EC"]},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": "AAAA"},
        {"x": 7},
        {"x": "!!"},
        {"y": None},
        {"d": "AAAA"},
    ],
)
def test_a_key_of_another_use_kind_or_shape_is_left_out_and_harms_no_other(change: dict[str, Any]) -> None:
    found = usable({**jwk(EC, "bad"), **change}, jwk(EC, "good"))
    assert [key.kid for key in found.keys] == ["good"]


@pytest.mark.parametrize("rubbish", [None, 7, "key", [], {}, {"kty": "RSA"}, {"kty": "RSA", "n": "", "e": ""}])
def test_rubbish_among_the_keys_is_left_out(rubbish: Any) -> None:
    assert len(usable(rubbish, jwk(EC), {"kty": "OKP", "crv": "Ed25519", "x": "AA"}).keys) == 1


def test_a_key_for_signatures_may_say_so() -> None:
    assert len(usable(jwk(EC, use="sig", key_ops=["verify"])).keys) == 1


def test_a_private_key_that_is_published_counts_for_nothing_and_is_not_even_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.auth_keys.FROM_JWK", {"EC": lambda _: EC.public_key()})
    assert len(usable(jwk(EC)).keys) == 1
    assert usable(dict(ECAlgorithm.to_jwk(EC, as_dict=True))).keys == ()


def test_a_short_rsa_key_is_left_out() -> None:
    assert usable(jwk(make_key("RS256", "short", 1024))).keys == ()


def test_a_secret_in_a_key_set_is_left_out_also_where_secrets_are_configured() -> None:
    assert usable({"kty": "oct", "k": "c2VjcmV0" * 8}, algorithms=frozenset({"HS256"})).keys == ()


def test_a_set_of_very_many_keys_is_cut() -> None:
    assert len(usable(*[jwk(EC, str(number)) for number in range(MAX_KEYS + 10)]).keys) == MAX_KEYS


def test_candidates_are_those_of_the_name_or_else_those_without_one() -> None:
    other = make_key("ES256", "other")
    both = usable(jwk(EC, "a"), jwk(other, "b"))
    assert [key.kid for key in both.candidates("ES256", "b")] == ["b"]
    assert [key.kid for key in both.candidates("ES256", None)] == ["a", "b"]
    assert both.candidates("ES256", "c") == []
    assert both.candidates("RS256", "a") == []
    assert [key.kid for key in usable(jwk(EC), jwk(other, "b")).candidates("ES256", "c")] == [None]


def test_a_key_is_known_again_in_the_next_set_unless_anything_about_it_changed() -> None:
    first = usable(jwk(EC, "a")).keys[0].digest
    assert usable(jwk(make_key("ES256", "new"), "n"), jwk(EC, "a", x5t="more")).digests >= {first}
    assert first not in usable(jwk(EC, "b")).digests
    assert first not in usable(jwk(make_key("ES256", "new"), "a")).digests


def test_a_certificate_is_as_good_as_its_key() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, EC.public_key(), 7, day, day + datetime.timedelta(365))
    found = keys_of_pem(builder.sign(EC, hashes.SHA256()).public_bytes(Encoding.PEM), ALL)
    plain = keys_of_pem(pem(EC), ALL)
    assert isinstance(found, KeySet)
    assert isinstance(plain, KeySet)
    assert found.digests == plain.digests


def test_a_secret_verifies_what_is_configured() -> None:
    assert keys_of_secret(SECRET, frozenset({"HS256"})).candidates("HS256", "any")[0].material == SECRET.encode()
