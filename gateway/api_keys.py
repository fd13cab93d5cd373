"""Pure module: API keys in, identities out; it holds hashes only, and a key itself is seen once, when it is made."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from gateway.auth_config import ApiKeyConfig, KeyTools
from policies.model import Identity

PREFIX: Final = "og_"  # lets people and secret scanners know one when they see it
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """The tools that an API key reaches, by canonical name; prompts and resources are not narrowed by it."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    @property
    def terms(self) -> tuple[tuple[str, ...], ...]:
        """See `gateway.narrowing.Filter`."""
        return (self.include, self.exclude)

    def lets(self, server: str, canonical: str) -> bool:
        """Whether the globs let a tool through; an exclude wins."""
        return any(fnmatchcase(canonical, glob) for glob in self.include) and not any(
            fnmatchcase(canonical, glob) for glob in self.exclude
        )

    def lets_others(self, server: str) -> bool:
        """Always: keys are narrowed to tools only."""
        return True


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Whom a key stands for, and what it is narrowed to (None: nothing)."""

    identity: Identity
    tools: ToolFilter | None


class ApiKeys:
    """The keys of a config, by the SHA-256 of each."""

    def __init__(self, entries: Iterable[ApiKeyConfig]) -> None:
        self._keys = [(bytes.fromhex(entry.sha256), _api_key(entry)) for entry in entries]

    def find(self, digest: bytes) -> ApiKey | None:
        """The key with this hash. Each is compared, in constant time: how long it takes tells nothing of any."""
        found = None
        for known, key in self._keys:
            if hmac.compare_digest(known, digest):
                found = key
        return found


def new_key(name: str) -> tuple[str, str]:
    """A new key (256 bits), and the entry of `auth.api_keys` that lets it in."""
    key = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, f'- {{name: {json.dumps(name, ensure_ascii=False)}, sha256: "{digest}"}}'


def _api_key(entry: ApiKeyConfig) -> ApiKey:
    claims = {"sub": entry.name, **entry.claims}
    return ApiKey(Identity("api_key", claims["sub"], scopes=scopes_of(claims), claims=claims), _filter(entry.tools))


def _filter(tools: KeyTools) -> ToolFilter | None:
    everything = "*" in tools.include and not tools.exclude
    return None if everything else ToolFilter(tuple(tools.include), tuple(tools.exclude))


def scopes_of(claims: dict[str, object]) -> tuple[str, ...]:
    """The scopes that claims carry: `scope` (RFC 8693 §4.2), or `scp` as other servers call it; text or a list."""
    found = claims.get("scope", claims.get("scp"))
    if isinstance(found, str):
        return tuple(found.split())
    return tuple(scope for scope in found if isinstance(scope, str)) if isinstance(found, list) else ()
