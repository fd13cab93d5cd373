"""The checked shape of the `auth:` section; it knows no files, no tokens and no HTTP."""

import re
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.addresses import is_loopback
from upstreams.config import Duration, Section, check_url

SecretAlgorithm = Literal["HS256", "HS384", "HS512"]
KeyAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Algorithm = Literal[SecretAlgorithm, KeyAlgorithm]

SECRET_ALGORITHMS: Final = frozenset(get_args(SecretAlgorithm))
SECRET_BYTES: Final = 32  # RFC 7518 §3.2: no shorter than the hash of HS256; a shorter one can be guessed
KEY_SOURCES: Final = ("jwks_url", "jwks_file", "public_key_file", "secret")
MAX_LEEWAY: Final = 30.0  # seconds; clocks that differ by more need mending, not patience

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3; also safe inside a quoted header value
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def _check_scope(value: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise ValueError('must be one scope, without spaces, quotes or backslashes; write several as ["a", "b"]')
    return value


ScopeName = Annotated[str, AfterValidator(_check_scope)]
Word = Annotated[str, Field(min_length=1)]


class KeyTools(Section):
    """Which tools an API key reaches; globs on canonical names, and exclude wins."""

    include: list[str] = Field(default=["*"])
    exclude: list[str] = Field(default=[])


class JwtConfig(Section):
    """One issuer of tokens, and where its keys come from."""

    issuer: Word
    audiences: Annotated[list[Word], Field(min_length=1)]
    jwks_url: str | None = Field(default=None, repr=False)
    jwks_file: Word | None = None
    public_key_file: Word | None = None
    secret: str | None = Field(default=None, repr=False)
    algorithms: list[Algorithm] = Field(default=[])
    leeway: Annotated[Duration, Field(ge=0, le=MAX_LEEWAY)] = 0.0

    @property
    def key_source(self) -> str:
        """The one key of `KEY_SOURCES` that is set."""
        return next(name for name in KEY_SOURCES if getattr(self, name) is not None)

    @property
    def effective_algorithms(self) -> frozenset[str]:
        """What this issuer's tokens may be signed with."""
        return frozenset(self.algorithms or ["HS256"])

    @field_validator("jwks_url")
    @classmethod
    def _check_jwks_url(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
            parts = urlsplit(value)
            if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
                raise ValueError("must be https; http is for loopback only")
            if parts.username is not None or parts.fragment:
                raise ValueError("must hold no user, password or fragment")
        return value

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: str | None) -> str | None:
        if value is not None and len(value.encode()) < SECRET_BYTES:
            raise ValueError(f"must have at least {SECRET_BYTES} bytes; make one with `openssl rand -base64 48`")
        if value is not None and "-----BEGIN" in value:
            raise ValueError("is a key of another kind; use public_key_file, and an algorithm that fits it")
        return value

    @model_validator(mode="after")
    def _check_keys(self) -> "JwtConfig":
        named = [name for name in KEY_SOURCES if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KEY_SOURCES)}; it has {' and '.join(named) or 'none'}")
        if not self.algorithms and self.secret is None:
            raise ValueError("needs algorithms, such as [RS256, ES256]: the ones that its tokens are signed with")
        unfit = [name for name in self.algorithms if (name in SECRET_ALGORITHMS) != (self.secret is not None)]
        if unfit:
            other = "a public key" if self.secret is not None else "secret"
            raise ValueError(f"{', '.join(unfit)} goes with {other}, not with {named[0]}; change one of them")
        return self


class ApiKeyConfig(Section):
    """One API key: what it hashes to, and whom it stands for."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
    sha256: str = Field(repr=False)
    claims: dict[str, Any] = Field(default={})
    tools: KeyTools = KeyTools()

    @field_validator("sha256")
    @classmethod
    def _check_sha256(cls, value: str) -> str:
        if not _SHA256.fullmatch(value.lower()):
            raise ValueError("must be the 64 hex digits of the key's SHA-256; `onegate key new NAME` makes both")
        return value.lower()

    @field_validator("claims")
    @classmethod
    def _check_claims(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_claims(value)


class StdioConfig(Section):
    """Who the one client of `onegate stdio` is."""

    claims: dict[str, Any] = Field(default={})

    @field_validator("claims")
    @classmethod
    def _check_claims(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_claims(value)


class AuthConfig(Section):
    """Who gets in. `scopes` is what every token must carry."""

    mode: Literal["strict", "optional", "none"] = "strict"
    scopes: list[ScopeName] = Field(default=[])
    jwt: list[JwtConfig] = Field(default=[])
    api_keys: list[ApiKeyConfig] = Field(default=[])
    stdio: StdioConfig | None = None

    @field_validator("jwt")
    @classmethod
    def _check_issuers(cls, value: list[JwtConfig]) -> list[JwtConfig]:
        _check_distinct([entry.issuer for entry in value], "issuer")
        return value

    @field_validator("api_keys")
    @classmethod
    def _check_api_keys(cls, value: list[ApiKeyConfig]) -> list[ApiKeyConfig]:
        _check_distinct([entry.name for entry in value], "name")
        _check_distinct([entry.sha256 for entry in value], "sha256")
        return value

    @model_validator(mode="after")
    def _check_anybody(self) -> "AuthConfig":
        if self.mode != "none" and not (self.jwt or self.api_keys or self.stdio):
            raise ValueError("nobody could get in; add jwt or api_keys, or say mode: none")
        return self


def check_claims(claims: dict[str, Any]) -> dict[str, Any]:
    """Raise ValueError unless `sub`, where it is given, is a text that can name somebody."""
    if "sub" in claims and not (isinstance(claims["sub"], str) and claims["sub"]):
        raise ValueError("sub must be text and not empty; put it in quotes")
    return claims


def _check_distinct(values: list[str], what: str) -> None:
    if len(set(values)) < len(values):
        raise ValueError(f"two entries have the same {what}; each needs its own")
