"""Pure module: why a request is not let in, and the HTTP answer that says so (RFC 6750 §3, RFC 9728 §5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """The answer to who does not get in: HTTP status, text, and WWW-Authenticate ("" where there is none)."""

    status: int
    message: str
    challenge: str = ""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why: `message` is for the client, `reason` for the log; `error` is that of RFC 6750 §3.1."""

    status: int
    message: str
    error: str = ""
    reason: str = ""


MISSING: Final = Denial(401, "Authentication is required")  # no error: RFC 6750 §3.1, last paragraph
AMBIGUOUS: Final = Denial(400, "More than one credential of one kind", "invalid_request")
BAD_SCHEME: Final = Denial(401, "The Authorization header holds no bearer token", "invalid_token")
BAD_KEY: Final = Denial(401, "The API key is not valid", "invalid_token")
EXPIRED: Final = Denial(401, "The token has expired", "invalid_token", "exp")
SCOPE: Final = Denial(403, "The credential lacks a scope", "insufficient_scope")
UNAVAILABLE: Final = Denial(503, "The token cannot be checked now", reason="no keys to check it with")
FAULT: Final = Denial(503, "Authentication failed")


def bad_token(reason: str) -> Denial:
    """A token that is none, or none of ours: its bearer is not told more."""
    return Denial(401, "The token is not valid", "invalid_token", reason)


def answer(denial: Denial, scopes: Sequence[str], metadata: str | None) -> Unauthorized:
    """What the client gets: `scopes` are all that are needed here, `metadata` the URL that says where to log in."""
    if denial.status == 503:  # no other credential would help
        return Unauthorized(denial.status, denial.message)
    parts = []
    if denial.error:
        parts += [f'error="{denial.error}"', f'error_description="{denial.message}"']
    if metadata is not None:
        parts.append(f'resource_metadata="{metadata}"')
    if scopes:
        parts.append(f'scope="{" ".join(scopes)}"')
    return Unauthorized(denial.status, denial.message, f"Bearer {', '.join(parts)}".rstrip())
