"""Who is calling, what is asked for, and what was decided; pure data, the same for every transport and version."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from policies.fingerprint import fingerprint

IDENTITY_KINDS: Final = ("jwt", "api_key", "local", "anonymous")
TARGET_KINDS: Final = ("tool", "prompt", "resource")
METHODS: Final = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read"}

_MAX_VIEWS = 8  # sets of claims that rules of different doors and reloads read; more start anew
_MAX_PLAIN = 128  # characters; longer parts of keys are kept as fingerprints

Verdict = Literal["allow", "deny", "require", "no_allow", "error", "depends", "narrowed"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One caller. ``kind``: ``jwt``, ``api_key``, ``local`` (who started the program) or ``anonymous``.

    ``claims`` are plain JSON values, and never changed once the identity is made.
    """

    kind: str
    sub: str = ""
    issuer: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)
    scopes: tuple[str, ...] = field(default=(), compare=False)
    _views: dict[frozenset[str] | None, bytes] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def key(self) -> Hashable:
        """What makes two callers the same one: kind, issuer and subject; nothing else about them."""
        return (self.kind, self.issuer, self.sub)

    def claims_key(self, names: frozenset[str] | None) -> bytes:
        """A key of the named claims (None: of all) in which values keep their type."""
        known = self._views.get(names)
        if known is None:
            if len(self._views) >= _MAX_VIEWS:
                self._views.clear()
            read = self.claims if names is None else {name: self.claims[name] for name in names if name in self.claims}
            known = self._views[names] = fingerprint(read)
        return known


ANONYMOUS: Final = Identity("anonymous")
LOCAL: Final = Identity("local", "local")


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One tool, prompt or resource: ``name`` is the server's own name of it, or its URI."""

    kind: str
    server: str
    name: str
    annotations: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    key: tuple[str, str, str, str, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        method = self.method or METHODS[self.kind]
        object.__setattr__(self, "method", method)
        marks = fingerprint(self.annotations) if self.annotations else b""
        object.__setattr__(self, "key", (self.kind, self.server, self.name, method, marks))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Caller:
    """What rules may know of a request besides its target. ``headers``: trusted ones only, names in lower case."""

    identity: Identity
    path: str = ""
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What others have found out for this caller, and keep no longer than it."""

    def key(self, reads: tuple[str, ...], claims: frozenset[str] | None) -> Hashable:
        """Every input that rules with these reads can see, with its type."""
        known = self.memo.get((reads, claims))
        if known is None:
            if len(self.memo) >= _MAX_VIEWS:
                self.memo.clear()
            known = self.memo[reads, claims] = self._key(reads, claims)
        return known

    def _key(self, reads: tuple[str, ...], claims: frozenset[str] | None) -> Hashable:
        parts: list[Hashable] = []
        for read in reads:
            if read == "jwt":
                parts.append(self.identity.claims_key(claims))
            elif read == "identity":
                identity = self.identity
                parts.append((identity.kind, identity.sub, identity.issuer, identity.scopes))
            elif read == "request.headers":
                parts.append(fingerprint(self.headers))
            elif read.startswith("request.headers."):
                parts.append(_short(self.headers.get(read.removeprefix("request.headers."))))
            elif read in _REQUEST:
                parts.append(_short(getattr(self, _REQUEST[read])))
        return tuple(parts)


def _short(text: str | None) -> str | bytes | None:
    """What a client sent, in a key that is kept: of bounded length."""
    return text if text is None or len(text) <= _MAX_PLAIN else fingerprint(text)


_REQUEST = {"request.path": "path", "request.host": "host", "source.address": "address"}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call may go ahead, and the rule and section that said so.

    ``hidden``: the refused target answers like one that does not exist.
    """

    allowed: bool
    rule: str | None = None
    verdict: Verdict = "allow"
    hidden: bool = False
