"""Prints what it costs to tell who is calling, per request: a remembered token, fresh ones, an API key, a bad one.

`PYTHONPATH=. python tests/bench/auth.py`. The median of the rounds counts.
Tokens have 12 claims, requests 20 headers.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shown import show

from gateway.api_keys import new_key
from gateway.auth import Authenticator, Caller, Door
from gateway.auth_config import AuthConfig
from tests.fixtures.tokens import AUDIENCE, bearer, jwk, jwks, make_key, token

ALGORITHMS = ("RS256", "ES256", "EdDSA")
FRESH = 300  # tokens per round, each seen once
REMEMBERED = 20_000
ROUNDS = 5
DOOR = Door("/mcp")
OTHER_HEADERS = [(f"x-header-{number}".encode(), b"value") for number in range(18)]
CLAIMS = {f"claim_{number}": "some text of a usual length" for number in range(7)}

Header = tuple[bytes, bytes]


def figures() -> dict[str, float]:
    """What is measured, with its unit, and the median of the rounds."""
    key, text = new_key("ci")
    keys = [{"name": f"key{number}", "sha256": f"{number:064x}"} for number in range(9)]
    keys.append({"name": "ci", "sha256": text.split('"')[3]})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "keys.json").write_bytes(jwks(*(jwk(make_key(name), name) for name in ALGORITHMS)))
        issuers = [
            {"issuer": name, "audiences": [AUDIENCE], "jwks_file": "keys.json", "algorithms": [name]}
            for name in ALGORITHMS
        ]
        gate = Authenticator(AuthConfig(jwt=issuers, api_keys=keys), Path(folder) / "onegate.yaml")
    same = list(tokens("RS256", 1)) * REMEMBERED
    found = {"remembered token, us": median(lambda: measure(gate, same))}
    for name in ALGORITHMS:
        found[f"fresh {name} token, us"] = median(lambda name=name: measure(gate, list(tokens(name, FRESH))))
    by_key = [(b"x-api-key", key.encode())] * REMEMBERED
    found[f"API key (1 of {len(keys)}), us"] = median(lambda: measure(gate, by_key))
    bad = [bearer(str(number) + "x" * 800) for number in range(FRESH)]
    found["rubbish in place of a token, us"] = median(lambda: measure(gate, bad, lets_in=False))
    return found


def median(round_: Callable[[], float]) -> float:
    return statistics.median(round_() for _ in range(ROUNDS))


def tokens(algorithm: str, count: int) -> Iterator[Header]:
    """Good tokens, all different."""
    for number in range(count):
        changes: dict[str, Any] = {
            **CLAIMS,
            "iss": algorithm,
            "exp": time.time() + 3600,
            "jti": f"{time.time_ns()}{number}",
        }
        yield bearer(token(make_key(algorithm), algorithm, {"kid": algorithm}, **changes))


def measure(gate: Authenticator, credentials: list[Header], *, lets_in: bool = True) -> float:
    """Microseconds per request."""

    async def run() -> float:
        requests = [[(b"host", b"127.0.0.1:8080"), *OTHER_HEADERS, credential] for credential in credentials]
        began = time.perf_counter()
        found = [await gate.identify(headers, DOOR) for headers in requests]
        took = time.perf_counter() - began
        assert all(isinstance(one, Caller) == lets_in for one in found)
        return took / len(found) * 1e6

    return asyncio.run(run())


if __name__ == "__main__":
    show(figures())
