"""Forged tokens, a broken authenticator, and requests that name an upstream, against a real gateway."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.gate import CI, JWT, KEYS
from tests.fixtures.live_gateway import JSON, LiveGateway, Message, live_gateway, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream
from tests.fixtures.tokens import SECRET, claims, forged, jwk, make_key, part, pem, token

RSA_ISSUER = "https://rsa.example.com"
HEAD = {"alg": "HS256", "typ": "JWT"}
KEY = make_key("RS256")
GOOD: Message = {"exp": time.time() + 600}
EVIL = make_key("RS256", "evil")


def rsa(key: Any = KEY, algorithm: str = "RS256", headers: Message | None = None, **changes: Any) -> str:
    return token(key, algorithm, headers, **{"iss": RSA_ISSUER, **GOOD, **changes})


FORGED = {
    "no algorithm": f"{part({'alg': 'none'})}.{part(claims(**GOOD))}.",
    "another secret": forged(HEAD, claims(**GOOD), b"another secret that is long enough to be one"),
    "the public key as a secret": forged(HEAD, claims(iss=RSA_ISSUER, **GOOD), pem(KEY)),
    "the key of another issuer": token(**GOOD, iss=RSA_ISSUER),
    "another algorithm of the same key": rsa(algorithm="PS256"),
    "a key of its own": rsa(EVIL, headers={"jwk": jwk(EVIL), "jku": "http://127.0.0.1:9/", "kid": "/dev/null"}),
    "no subject": token(**GOOD, sub=None),
    "an empty subject": token(**GOOD, sub=""),
    "no end": token(exp=None),
    "its end before": token(exp=time.time() - 1),
    "an end that is text": forged(HEAD, claims(exp="9999999999")),
    "its begin after": token(**GOOD, nbf=time.time() + 300),
    "no audience": token(**GOOD, aud=None),
    "another audience": token(**GOOD, aud="other"),
    "no issuer": token(**GOOD, iss=None),
    "another issuer": token(**GOOD, iss="https://idp.example.com/"),
    "something critical": forged({**HEAD, "crit": ["b64"], "b64": True}, claims(**GOOD)),
    "another purpose": forged({**HEAD, "typ": "logout+jwt"}, claims(**GOOD)),
    "a second spelling": token(**GOOD) + "=",
    "the key of nobody": "og_" + "A" * 43,
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("gate")
    (folder / "key.pem").write_bytes(pem(KEY))
    by_key = {"issuer": RSA_ISSUER, "audiences": ["onegate"], "algorithms": ["RS256"], "public_key_file": "key.pem"}
    config = {
        "mcpServers": {"a": {"url": upstream.url}},
        "auth": {"mode": "optional", "jwt": [JWT, by_key], "api_keys": KEYS},
    }
    with live_gateway(folder, config) as live:
        yield live


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("trick", FORGED)
def test_a_forged_token_gets_nobody_in_at_any_door_by_any_method(
    gate: LiveGateway, upstream: RawUpstream, trick: str
) -> None:
    who, before = bearer(FORGED[trick]), len(upstream.seen)
    for path in ("/mcp", "/mcp/a", "/none"):
        for method in ("POST", "GET", "DELETE"):
            body = json.dumps(request("tools/list")).encode() if method == "POST" else None
            answer = gate.http(method, path, {**JSON, **who, "X-Api-Key": CI}, body)
            assert (answer.status, answer.code) == (401, -31401)
            assert gate.http(method, path, {**JSON, **who}, body).status == 401
    assert gate.modern("tools/list", {}, who).status == 401
    assert len(upstream.seen) == before


def test_the_same_tokens_without_a_trick_get_in(gate: LiveGateway) -> None:
    for text in (token(**GOOD), rsa(), forged(HEAD, claims(**GOOD), SECRET.encode())):
        assert gate.post(request("tools/list"), bearer(text)).code is None


def test_who_meets_a_fault_of_the_authenticator_is_not_let_in(
    gate: LiveGateway, upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret words")

    before = len(upstream.seen)
    monkeypatch.setattr("gateway.auth._digest", fail)
    gate.hang_up()
    for who in (bearer(token(**GOOD)), bearer("x"), {"X-Api-Key": CI}):
        for path in ("/mcp", "/mcp/a", "/none"):
            answer = gate.post(request("tools/call", {"name": "a_echo"}), who, path)
            assert (answer.status, answer.json["error"]["message"]) == (503, "Authentication failed")
    assert len(upstream.seen) == before


UPSTREAM: Message = {"command": "touch", "args": ["hacked"], "env": {"A": "b"}, "url": "http://127.0.0.1:9/mcp"}
ROUTES = ["/", "/admin", "/config", "/reload", "/servers", "/upstreams", "/status", "/mcp/servers", "/mcp/a/config"]


def test_no_route_and_no_message_takes_an_upstream(gate: LiveGateway, upstream: RawUpstream) -> None:
    who, before = bearer(token(**GOOD)), set(gate.gateway.upstreams.items())
    for path in ROUTES:
        for method in ("POST", "PUT", "PATCH", "GET"):
            body = json.dumps({**request("tools/list"), **UPSTREAM, "mcpServers": {"b": UPSTREAM}}).encode()
            assert gate.http(method, path, {**JSON, **who}, body).status in (404, 405)
    mixed = {
        "name": "a_echo",
        "arguments": {},
        "mcpServers": {"b": UPSTREAM},
        "server": "b",
        "upstream": "b",
        **UPSTREAM,
    }
    assert gate.post(request("tools/call", mixed), who).code is None
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}, **mixed}
    assert gate.post(request("initialize", about), who).status == 200
    for method in ("servers/add", "config/set", "reload", "upstreams/connect", "roots/list"):
        assert gate.post(request(method, mixed), who).code is not None
    assert set(gate.gateway.upstreams.items()) == before
    headers, _ = upstream.seen[-1]
    assert headers["host"] == f"127.0.0.1:{upstream.port}"
