"""Pure module: JWKs, PEM files and secrets in, keys that verify signatures out; knows no token and does no I/O.

A key verifies only what the config allows and what its own kind and words (`alg`, `use`, `key_ops`) allow too.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

RSA_BITS: Final = 2048  # NIST SP 800-131A; shorter ones can be factored
MAX_KEYS: Final = 64  # a token that names no key is tried against each that fits

FROM_JWK: Final[dict[str, Callable[[Any], Any]]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """One key: `algorithms` it may verify, `material` for PyJWT, and a digest that knows it again in a later set."""

    kid: str | None
    algorithms: frozenset[str]
    material: Any
    digest: bytes


class KeySet:
    """The keys of one issuer at one time; immutable."""

    def __init__(self, keys: Iterable[VerifyKey] = ()) -> None:
        self.keys = tuple(itertools.islice(keys, MAX_KEYS))
        self.digests = frozenset(key.digest for key in self.keys)

    def candidates(self, algorithm: str, kid: str | None) -> list[VerifyKey]:
        """The keys that may have signed: of this name if there are any, else those without one (RFC 7515 §4.1.4)."""
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if kid is None:
            return fitting
        return [key for key in fitting if key.kid == kid] or [key for key in fitting if key.kid is None]


NO_KEYS: Final = KeySet()


def keys_of_jwks(document: Any, algorithms: frozenset[str]) -> KeySet | str:
    """The usable keys of a JWK Set (RFC 7517 §5), others left out; a text when it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return "is not a JWK Set: an object with a list of keys"
    found = (_key_of_jwk(jwk, algorithms) for jwk in listed)
    return KeySet(key for key in found if key is not None)


def keys_of_pem(data: bytes, algorithms: frozenset[str]) -> KeySet | str:
    """The one public key of a PEM file, bare or in a certificate; a text when there is none that fits."""
    if b"PRIVATE KEY" in data:
        return "holds a private key, which must not be here; export the public one"
    try:
        is_certificate = b"BEGIN CERTIFICATE" in data
        material = load_pem_x509_certificate(data).public_key() if is_certificate else load_pem_public_key(data)
    except Exception:  # whatever the library makes of a file that is no key
        return "is not a public key in PEM form"
    fitting = frozenset(name for name in algorithms if FITS[name](material))
    if not fitting:
        return f"holds a key that does not fit {', '.join(sorted(algorithms))}; change algorithms, or the key"
    return KeySet([_key(None, fitting, material)])


def keys_of_secret(secret: str, algorithms: frozenset[str]) -> KeySet:
    """The one key that a shared secret is."""
    return KeySet([_key(None, algorithms, secret.encode())])


def _key_of_jwk(jwk: Any, algorithms: frozenset[str]) -> VerifyKey | None:
    """None for a key that is not for signatures, not public (a private one that is published is no proof of
    anything), not well-formed, or of no configured algorithm."""
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid", ""), str):
        return None
    operations = jwk.get("key_ops", ["verify"])
    for_signatures = jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    kind = jwk.get("kty")
    if not for_signatures or "d" in jwk or not isinstance(kind, str) or kind not in FROM_JWK:
        return None
    try:
        material = FROM_JWK[kind](jwk)
    except Exception:  # whatever the library makes of a key that is none: the others still count
        return None
    fitting = frozenset(name for name in algorithms if FITS[name](material) and jwk.get("alg", name) == name)
    return _key(jwk.get("kid"), fitting, material) if fitting else None


def _key(kid: str | None, algorithms: frozenset[str], material: Any) -> VerifyKey:
    raw = material
    if not isinstance(material, bytes):
        raw = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    words = "\0".join([kid or "", *sorted(algorithms)])
    return VerifyKey(kid, algorithms, material, hashlib.sha256(words.encode("utf-8", "surrogatepass") + raw).digest())


def _is_secret(material: Any) -> bool:
    return isinstance(material, bytes)


def _is_rsa(material: Any) -> bool:
    return isinstance(material, RSAPublicKey) and material.key_size >= RSA_BITS


def _is_edwards(material: Any) -> bool:
    return isinstance(material, Ed25519PublicKey | Ed448PublicKey)


def _is_on(curve: str) -> Callable[[Any], bool]:
    return lambda material: isinstance(material, EllipticCurvePublicKey) and material.curve.name == curve


# Which key an algorithm takes (RFC 7518 §3.1, RFC 8037 §3.1).
FITS: Final[dict[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), _is_secret),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _is_rsa),
    "ES256": _is_on("secp256r1"),
    "ES384": _is_on("secp384r1"),
    "ES512": _is_on("secp521r1"),
    "EdDSA": _is_edwards,
}
