"""Claims as people write them to try what a caller would see: JSON in, an identity out. It checks no signature."""

from typing import Any, Final

from gateway.api_keys import scopes_of
from gateway.auth_config import check_claims
from policies.model import Identity
from upstreams import wire

EXAMPLE: Final = '{"sub": "ann", "role": "developer"}'


def identity_of(text: str) -> Identity:
    """Who a token with these claims would be. Raises ValueError for claims that no token could carry."""
    try:
        claims = wire.loads(text)
    except ValueError as exc:
        raise ValueError(f"the claims are not valid JSON: {exc}\nwrite them like {EXAMPLE}") from exc
    if not isinstance(claims, dict):
        raise ValueError(f"the claims must be a JSON object, like {EXAMPLE}")
    check_claims(claims)
    if not isinstance(claims.get("iss", ""), str):
        raise ValueError("iss must be text; put it in quotes")
    return as_token(claims)


def as_token(claims: dict[str, Any]) -> Identity:
    """Who a token with these claims would be."""
    return Identity("jwt", claims.get("sub", ""), issuer=claims.get("iss", ""), claims=claims, scopes=scopes_of(claims))
