"""What the guarded rows of the benchmark run with: an issuer, a token of it, ten rules of which the last allows."""

import json
import re
import secrets
import time
import urllib.request
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
TEN, ARGUMENTS = RULES
SUBJECT = f"onegate, {TEN}, metrics"
"""The row whose ratios to the peers count."""
UNCOUNTED = "onegate, the same, nothing counted"
TRACES, AUDIT = "onegate, the same, traces at 1 %", "onegate, the same, audit file"
ON_ARGUMENTS = "onegate, one rule on arguments"
CALLS = re.compile(r'^onegate_mcp_tool_calls_total\{[^}]*status="success"[^}]*\} (\S+)', re.MULTILINE)


def configs(upstream: str, secret: str, scratch: Path, addresses: Mapping[str, str]) -> dict[str, str]:
    """The configs of the guarded rows (JSON, which is YAML) by their names; callers need a token of `token`.

    `addresses`: `traces`, the URL that takes them, and `admin`, host and port where the subject shows its metrics.
    """
    ten = RULES[TEN]
    shown = {**json.loads(config(upstream, secret, ten)), "admin": {"listen": addresses["admin"]}}
    rows = {SUBJECT: json.dumps(shown), UNCOUNTED: config(upstream, secret, ten)}
    rows[TRACES] = config(upstream, secret, ten, otlp={"endpoint": addresses["traces"], "sample": 0.01})
    rows[AUDIT] = config(upstream, secret, ten, audit={"file": str(scratch / "audit.jsonl")})
    rows[ON_ARGUMENTS] = config(upstream, secret, RULES[ARGUMENTS])
    return rows


def config(upstream: str, secret: str, rules: Mapping[str, list[str]], **telemetry: Mapping[str, object]) -> str:
    """An onegate config of one row."""
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "secret": secret}
    sections = {"auth": {"jwt": [issuer]}, "policy": rules, "telemetry": telemetry, "admin": {"listen": None}}
    return json.dumps({"mcpServers": {"fast": {"url": upstream}}, **sections})


def counted(admin: str) -> int:
    """How many successful calls the metrics tell that are shown at this address."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{admin}/metrics", timeout=10) as answer:
        return successful(answer.read().decode())


def successful(metrics: str) -> int:
    """The successful calls of all tools in a scrape."""
    return sum(int(float(number)) for number in CALLS.findall(metrics))


def token(secret: str) -> str:
    """A token that lasts for the whole benchmark."""
    import jwt

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "wrk", "role": "bench", "exp": int(time.time()) + HOUR}
    return jwt.encode(claims, secret, algorithm="HS256")


def new_secret() -> str:
    """A secret that no other run knows."""
    return secrets.token_urlsafe(48)
