"""Who a command of the terminal stands for: the claims after `--as`, else the local identity of the config."""

import argparse
from typing import Any, Final

from gateway.api_keys import scopes_of
from gateway.auth_config import check_claims
from gateway.cli_output import Mistake
from gateway.config import Config
from policies.model import Identity
from upstreams import wire

EXAMPLE: Final = '\'{"sub": "ann", "role": "developer"}\''


def identity(args: argparse.Namespace, config: Config) -> Identity:
    """Whom the command stands for. Raises `Mistake` for claims that no token could carry."""
    text = args.as_claims
    return config.local if text is None else as_token(_claims(text))


def as_token(claims: dict[str, Any]) -> Identity:
    """Who a token with these claims would be."""
    return Identity("jwt", claims.get("sub", ""), issuer=claims.get("iss", ""), claims=claims, scopes=scopes_of(claims))


def _claims(text: str) -> dict[str, Any]:
    try:
        claims = wire.loads(text)
    except ValueError as exc:
        raise Mistake(f"--as: the claims are not valid JSON: {exc}\nwrite them like {EXAMPLE}") from exc
    if not isinstance(claims, dict):
        raise Mistake(f"--as: the claims must be a JSON object, like {EXAMPLE}")
    try:
        check_claims(claims)
    except ValueError as exc:
        raise Mistake(f"--as: {exc}") from exc
    if not isinstance(claims.get("iss", ""), str):
        raise Mistake("--as: iss must be text; put it in quotes")
    return claims
