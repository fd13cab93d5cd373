"""What the guarded rows of the benchmark run with: an issuer, a token of it, ten rules of which the last allows."""

import json
import secrets
import time
from collections.abc import Mapping

ISSUER, AUDIENCE = "https://idp.example.com", "bench"
HOUR = 3600

FILLER = [f'jwt.role == "role-{number}" && mcp.tool.name.startsWith("nothing-")' for number in range(8)]
RULES: Mapping[str, Mapping[str, list[str]]] = {
    "JWT + 10 rules": {"allow": [*FILLER, 'jwt.role == "bench"'], "require": ["has(jwt.sub)"]},
    "one of them on arguments": {
        "allow": [*FILLER, 'jwt.role == "bench"'],
        "deny": ["has(mcp.tool.arguments.force) && mcp.tool.arguments.force == true"],
    },
}


def config(upstream: str, secret: str, rules: Mapping[str, list[str]]) -> str:
    """An onegate config (JSON, which is YAML) whose callers need a token of `token`."""
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "secret": secret}
    return json.dumps({"mcpServers": {"fast": {"url": upstream}}, "auth": {"jwt": [issuer]}, "policy": rules})


def token(secret: str) -> str:
    """A token that lasts for the whole benchmark."""
    import jwt

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "wrk", "role": "bench", "exp": int(time.time()) + HOUR}
    return jwt.encode(claims, secret, algorithm="HS256")


def new_secret() -> str:
    """A secret that no other run knows."""
    return secrets.token_urlsafe(48)
