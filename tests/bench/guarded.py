"""What the guarded rows of the benchmark run with: an issuer, a token of it, ten rules of which the last allows."""

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

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


TRACES, AUDIT = "  and traces at 1 %", "  and an audit file"


def configs(upstream: str, secret: str, scratch: Path, receiver: str) -> dict[str, str]:
    """The configs of the guarded rows (JSON, which is YAML) by their names; callers need a token of `token`."""
    rows = {name: config(upstream, secret, rules) for name, rules in RULES.items()}
    ten = RULES["JWT + 10 rules"]
    rows[TRACES] = config(upstream, secret, ten, otlp={"endpoint": receiver, "sample": 0.01})
    rows[AUDIT] = config(upstream, secret, ten, audit={"file": str(scratch / "audit.jsonl")})
    return rows


def config(upstream: str, secret: str, rules: Mapping[str, list[str]], **telemetry: Mapping[str, object]) -> str:
    """An onegate config of one row."""
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "secret": secret}
    sections = {"auth": {"jwt": [issuer]}, "policy": rules, "telemetry": telemetry, "admin": {"listen": None}}
    return json.dumps({"mcpServers": {"fast": {"url": upstream}}, **sections})


def token(secret: str) -> str:
    """A token that lasts for the whole benchmark."""
    import jwt

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "wrk", "role": "bench", "exp": int(time.time()) + HOUR}
    return jwt.encode(claims, secret, algorithm="HS256")


def new_secret() -> str:
    """A secret that no other run knows."""
    return secrets.token_urlsafe(48)
