"""Tokens in, identities or refusals out (RFC 7519, RFC 8725): which keys and claims count is what the config says.

What a token says of itself is used to find an entry of the config, never to reach anything else.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import jwt

from gateway.api_keys import scopes_of
from gateway.auth_config import JwtConfig
from gateway.auth_keys import KeySet, VerifyKey, keys_of_pem, keys_of_secret
from gateway.config_problems import Key
from gateway.jwks import MAX_BYTES, Clock, JwksUrl, KeySource, NotFetched, StaticKeys, fetch, read_jwks
from gateway.unauthorized import EXPIRED, UNAVAILABLE, Denial, bad_token
from policies.model import Identity
from upstreams import wire

MAX_DEPTH: Final = 64  # what rules are given is no deeper
TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})  # RFC 8725 §3.11, RFC 9068 §2.1

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


NO_KEY: Final = bad_token("no key of this name")


@dataclass(frozen=True, slots=True)
class Verified:
    """A good token. `exp` as it says; `ends` is when it is no longer taken; both in seconds since 1970."""

    identity: Identity
    exp: float
    ends: float
    source: KeySource
    key: VerifyKey

    def lasts(self, now: float) -> bool:
        """Whether it is as good now as when it was verified."""
        return now < self.exp and self.source.holds(self.key)


@dataclass(frozen=True, slots=True)
class Token:
    """The parts of a token of which nothing is verified yet."""

    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Issuer:
    """One entry of `auth.jwt`, with its keys."""

    config: JwtConfig
    source: KeySource


class Tokens:
    """What is known of tokens: their issuers, by name."""

    def __init__(self, issuers: dict[str, Issuer], wall: Clock) -> None:
        self.issuers = issuers
        self._wall = wall

    def inherit(self, former: "Tokens") -> None:
        """Take over the fetched keys of entries that are the same."""
        for name, issuer in self.issuers.items():
            before = former.issuers.get(name)
            if before is None or before.config != issuer.config:
                continue
            if isinstance(issuer.source, JwksUrl) and isinstance(before.source, JwksUrl):
                issuer.source.inherit(before.source)

    async def verify(self, text: str) -> Verified | Denial:
        """Check one token; waits only when its key is missing and its issuer may be asked for keys."""
        token = parse(text)
        if isinstance(token, Denial):
            return token
        name = token.claims.get("iss")
        issuer = self.issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            return bad_token("iss is not one of the config's")
        found = self._check(token, issuer)
        if found is NO_KEY or found is UNAVAILABLE:
            await issuer.source.wanted()
            found = self._check(token, issuer)
        return found

    def _check(self, token: Token, issuer: Issuer) -> Verified | Denial:
        config, source = issuer.config, issuer.source
        if token.algorithm not in config.effective_algorithms:
            return bad_token("alg is not one of the config's")
        if not source.available:
            return UNAVAILABLE
        key = signer(token, source.keys)
        if isinstance(key, Denial):
            return key
        refused = check_claims(token.claims, config, self._wall())
        if refused is not None:
            return refused
        claims, exp = token.claims, float(token.claims["exp"])
        identity = Identity("jwt", claims["sub"], claims["iss"], scopes=scopes_of(claims), claims=claims)
        return Verified(identity, exp, exp + config.leeway, source, key)


def read_issuers(
    entries: list[JwtConfig], folder: Path, steady: Clock
) -> tuple[dict[str, Issuer], list[tuple[Key, str]]]:
    """Give every entry its keys; files are relative to `folder`. Also (key path in `auth.jwt`, what is wrong)."""
    issuers, problems = dict[str, Issuer](), list[tuple[Key, str]]()
    for index, entry in enumerate(entries):
        source = SOURCES[entry.key_source](entry, folder, steady)
        if isinstance(source, str):
            problems.append(((index, entry.key_source), source))
        else:
            issuers[entry.issuer] = Issuer(entry, source)
    return issuers, problems


def parse(text: str) -> Token | Denial:
    """Take a compact JWS apart (RFC 7515 §7.1), strictly."""
    match = _COMPACT.fullmatch(text)
    parts = [_decoded(part) for part in match.groups()] if match else [None]
    if None in parts:
        return bad_token("not a signed JWT")
    header, claims, signature = parts
    head, body = _object(header), _object(claims)
    if head is None or body is None:
        return bad_token("header or claims are not a JSON object")
    algorithm, kid = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or ("kid" in head and kid is None):
        return bad_token("alg or kid is not text")
    if "crit" in head:  # RFC 7515 §4.1.11: none of the extensions is understood here
        return bad_token("crit")
    if str(head.get("typ", "jwt")).lower() not in TYPES:
        return bad_token("typ is that of something else than an access token")
    return Token(algorithm, kid, body, text.rpartition(".")[0].encode(), signature or b"")


def signer(token: Token, keys: KeySet) -> VerifyKey | Denial:
    """The key that signed the token."""
    candidates = keys.candidates(token.algorithm, token.kid)
    if not candidates:
        return NO_KEY
    algorithm = jwt.get_algorithm_by_name(token.algorithm)
    for key in candidates:
        if algorithm.verify(token.signed, key.material, token.signature):
            return key
    return bad_token("signature")


def check_claims(claims: dict[str, Any], config: JwtConfig, now: float) -> Denial | None:
    """What is wrong with the claims of a token whose signature is right (RFC 7519 §4.1); None if nothing."""
    sub, audience = claims.get("sub"), claims.get("aud")
    if not isinstance(sub, str) or not sub:
        return bad_token("sub")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in config.audiences for one in audiences):
        return bad_token("aud")
    exp, nbf = claims.get("exp"), claims.get("nbf", now)
    if not _is_time(exp) or not _is_time(nbf):
        return bad_token("exp or nbf is not a time")
    if now >= exp + config.leeway:
        return EXPIRED
    return bad_token("nbf") if now + config.leeway < nbf else None


def _is_time(value: Any) -> TypeGuard[int | float]:
    # What is beyond 64 bits is no time, and would overflow where it is reckoned with.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def _decoded(part: str) -> bytes | None:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return None
    # One token has one spelling: bits that the encoding leaves unused are zero.
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=") == part.encode() else None


def _object(raw: bytes | None) -> dict[str, Any] | None:
    if raw is None or b"\\u0000" in raw:  # rules take no NUL
        return None
    try:
        value = wire.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) and not wire.too_deep(raw, value, MAX_DEPTH) else None


def _from_url(entry: JwtConfig, folder: Path, steady: Clock) -> KeySource:
    url = entry.jwks_url or ""
    return JwksUrl(entry.issuer, entry.effective_algorithms, lambda: fetch(url), steady)


def _from_jwks_file(entry: JwtConfig, folder: Path, steady: Clock) -> KeySource | str:
    data = _read(folder, entry.jwks_file or "")
    keys = read_jwks(data, entry.effective_algorithms) if isinstance(data, bytes) else data
    if isinstance(keys, NotFetched):
        return keys.reason
    if isinstance(keys, KeySet) and not keys.keys:
        return f"holds no public key for {', '.join(sorted(entry.effective_algorithms))}"
    return keys if isinstance(keys, str) else StaticKeys(keys)


def _from_pem_file(entry: JwtConfig, folder: Path, steady: Clock) -> KeySource | str:
    data = _read(folder, entry.public_key_file or "")
    keys = keys_of_pem(data, entry.effective_algorithms) if isinstance(data, bytes) else data
    return keys if isinstance(keys, str) else StaticKeys(keys)


def _from_secret(entry: JwtConfig, folder: Path, steady: Clock) -> KeySource:
    return StaticKeys(keys_of_secret(entry.secret or "", entry.effective_algorithms))


def _read(folder: Path, name: str) -> bytes | str:
    try:
        with (folder / Path(name).expanduser()).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # the last two: a NUL, a home that nobody has
        return f"cannot be read ({getattr(error, 'strerror', None) or 'not a path'}); check the path"
    return data if len(data) <= MAX_BYTES else f"is over {MAX_BYTES} bytes"


SOURCES: Final[dict[str, Callable[[JwtConfig, Path, Clock], KeySource | str]]] = {
    "jwks_url": _from_url,
    "jwks_file": _from_jwks_file,
    "public_key_file": _from_pem_file,
    "secret": _from_secret,
}
