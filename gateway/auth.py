"""Headers in, a caller out, or the answer that keeps it out; knows nothing of doors' contents, bodies or policy.

Whatever goes wrong in here keeps the caller out: nobody becomes anonymous by a failure.
"""

import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from gateway.api_keys import ApiKey, ApiKeys, ToolFilter, scopes_of
from gateway.auth_config import AuthConfig
from gateway.config_problems import ConfigError, Problem
from gateway.protected_resource import base_url, metadata_url, required_scopes
from gateway.unauthorized import (
    AMBIGUOUS,
    BAD_KEY,
    BAD_SCHEME,
    FAULT,
    MISSING,
    SCOPE,
    Denial,
    Unauthorized,
    answer,
    bad_token,
)
from policies.model import ANONYMOUS, LOCAL, Identity

if TYPE_CHECKING:
    from gateway.auth_tokens import Tokens, Verified

log = logging.getLogger("onegate.auth")

Headers = list[tuple[bytes, bytes]]

KEY_HEADERS: Final = frozenset({b"x-api-key", b"x-bf-vk"})
CREDENTIAL_HEADERS: Final = frozenset({b"authorization"}) | KEY_HEADERS
MAX_REMEMBERED: Final = 10_000  # tokens; some 30 MB when each holds 20 claims
OWS: Final = b" \t"

BEARER: Final = b"bearer "
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall` gives seconds since 1970, `steady` never jumps."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Door:
    """What a caller wants to enter: its path, and the scopes that it asks for beside the gateway's."""

    path: str
    scopes: tuple[str, ...] = ()


def for_ever(now: float) -> bool:
    """What lasts as long as the config."""
    return True


@dataclass(frozen=True, slots=True)
class Caller:
    """Who got in. Every filter must let a tool through; `ends`: when the credential does (since 1970), if ever."""

    identity: Identity
    tools: tuple[ToolFilter, ...] = ()
    ends: float | None = None
    lasts: Callable[[float], bool] = field(default=for_ever, compare=False)
    """Whether the same headers would get it in at another time (since 1970), under the same config."""


NOBODY: Final = Caller(ANONYMOUS)


class Authenticator:
    """The `auth:` section at work. `source` is the config's file, from which key files are found.

    Raises ConfigError for a key file that cannot be used.
    """

    def __init__(
        self, auth: AuthConfig, source: Path, public_url: str | None = None, clocks: Clocks | None = None
    ) -> None:
        self._auth = auth
        self._public_url = public_url
        self._clocks = clocks or Clocks()
        self._keys = ApiKeys(auth.api_keys)
        self._tokens = _tokens(auth, source, self._clocks) if auth.jwt and auth.mode != "none" else None
        self._remembered: OrderedDict[bytes, tuple[Verified, Caller]] = OrderedDict()

    @property
    def ready(self) -> bool:
        """Whether the keys of every issuer have come once."""
        return self._tokens is None or all(issuer.source.ready for issuer in self._tokens.issuers.values())

    def inherit(self, former: "Authenticator") -> None:
        """Take over the fetched keys of the config before; tokens are verified anew."""
        if self._tokens is not None and former._tokens is not None:
            self._tokens.inherit(former._tokens)

    async def run(self) -> None:
        """Keep every issuer's keys fresh until cancelled."""
        if self._tokens is not None:
            async with anyio.create_task_group() as group:
                for issuer in self._tokens.issuers.values():
                    group.start_soon(issuer.source.run)

    async def identify(self, headers: Headers, door: Door, scheme: str = "http") -> Caller | Unauthorized:
        """Who sends a request with these headers (names in lower case), or why it is not served.

        `scheme` is that of the request; it counts only for the metadata's URL, where the config has no `public_url`.
        """
        known = {}
        try:
            found = await self._identify(headers)
            if isinstance(found, Caller):
                if self._has_scopes(found.identity, door):
                    return found
                known = {} if found is NOBODY else {"identity": found.identity.sub}
                found = SCOPE if known else MISSING
        except Exception as exc:
            # Without its text, which may hold parts of a token.
            log.error("authentication failed", extra={"error": type(exc).__name__})
            found = FAULT
        # Of a token that is refused nothing is quoted: what it says of itself is anybody's word.
        log.info("not let in", extra={"status": found.status, "reason": found.reason or found.message, **known})
        return self._answer(found, headers, door, scheme)

    async def _identify(self, headers: Headers) -> Caller | Denial:
        sent = [(name, value) for name, value in headers if name in CREDENTIAL_HEADERS]
        if len(sent) > 1 and _ambiguous(sent):
            return AMBIGUOUS
        if self._auth.mode == "none":
            return NOBODY
        if not sent:
            return NOBODY if self._auth.mode == "optional" else MISSING
        token = key = None
        for name, value in sent:
            if name in KEY_HEADERS:
                key = value
            else:
                token = value
        if key is None:
            return await self._bearer(token or b"")
        beside = self._keys.find(_digest(key.strip(OWS)))
        if beside is None:
            return BAD_KEY
        if token is None:
            return _caller(beside)
        found = await self._bearer(token)
        return _narrowed(found, beside) if isinstance(found, Caller) else found

    async def _bearer(self, value: bytes) -> Caller | Denial:
        value = value.strip(OWS)
        if value[: len(BEARER)].lower() != BEARER:
            return BAD_SCHEME
        token = value[len(BEARER) :].lstrip(b" ")
        digest = _digest(token)
        remembered = self._remembered.get(digest)
        if remembered is not None:
            if remembered[0].lasts(self._clocks.wall()):
                self._remembered.move_to_end(digest)
                return remembered[1]
            del self._remembered[digest]
        if _TOKEN.fullmatch(token) is None:  # what is remembered was looked at before
            return BAD_SCHEME
        key = self._keys.find(digest)
        if key is not None:
            return _caller(key)
        if self._tokens is None:
            return bad_token("no issuers in the config")
        return await self._verify(self._tokens, token, digest)

    async def _verify(self, tokens: "Tokens", token: bytes, digest: bytes) -> Caller | Denial:
        found = await tokens.verify(token.decode("ascii"))
        if isinstance(found, Denial):
            return found
        caller = Caller(found.identity, ends=found.ends, lasts=found.lasts)
        if found.lasts(self._clocks.wall()):
            self._remembered[digest] = (found, caller)
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return caller

    def _has_scopes(self, identity: Identity, door: Door) -> bool:
        # The gateway's own are asked of tokens; a door's of whoever comes.
        if identity.kind == "jwt" and not all(scope in identity.scopes for scope in self._auth.scopes):
            return False
        return not door.scopes or all(scope in identity.scopes for scope in door.scopes)

    def _answer(self, denial: Denial, headers: Headers, door: Door, scheme: str) -> Unauthorized:
        host = next((value.strip(OWS).decode("latin-1") for name, value in headers if name == b"host"), None)
        base = base_url(self._public_url, host, scheme) if self._auth.jwt else None
        metadata = metadata_url(base, door.path) if base is not None else None
        # All scopes at once: a client that steps up asks for just what it is told.
        return answer(denial, required_scopes(self._auth.scopes, door.scopes), metadata)


def local_identity(auth: AuthConfig | None) -> Identity:
    """Who the client of `onegate stdio` is: the claims of the config, or the user who started it."""
    if auth is None or auth.stdio is None:
        return LOCAL
    claims = {"sub": LOCAL.sub, **auth.stdio.claims}
    return Identity("local", claims["sub"], scopes=scopes_of(claims), claims=claims)


def _tokens(auth: AuthConfig, source: Path, clocks: Clocks) -> "Tokens":
    from gateway.auth_tokens import Tokens, read_issuers  # brings the cryptography, which not every config needs

    issuers, problems = read_issuers(auth.jwt, source.absolute().parent, clocks.steady)
    if problems:
        raise ConfigError(Problem(str(source), ("auth", "jwt", *key), text) for key, text in problems)
    return Tokens(issuers, clocks.wall)


def _ambiguous(sent: Headers) -> bool:
    """Whether one header comes twice, or the two for API keys hold different ones."""
    names = [name for name, _ in sent]
    keys = {value for name, value in sent if name in KEY_HEADERS}
    return len(set(names)) < len(names) or len(keys) > 1


def _caller(key: ApiKey) -> Caller:
    return Caller(key.identity, () if key.tools is None else (key.tools,))


def _narrowed(caller: Caller, beside: ApiKey) -> Caller:
    return caller if beside.tools is None else replace(caller, tools=(*caller.tools, beside.tools))


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
