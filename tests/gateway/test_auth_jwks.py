"""Tokens against an issuer's keys on a real (loopback) server: rotation, outage, flood, and keys that leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from gateway.auth import Authenticator, Caller, Clocks, Door
from gateway.auth_config import AuthConfig
from gateway.jwks import MAX_AGE_SECONDS, UNKNOWN_SECONDS
from gateway.unauthorized import Unauthorized
from tests.fixtures.clock import real_time, until  # noqa: F401
from tests.fixtures.jwks_endpoint import Endpoint, answer, jwks_endpoint, redirect
from tests.fixtures.tokens import AUDIENCE, ISSUER, NOW, bearer, jwk, jwks, make_key, token

pytestmark = pytest.mark.anyio

OLD, NEW = make_key("RS256", "old"), make_key("RS256", "new")
OLD_SET, NEW_SET = answer(jwks(jwk(OLD, "old"))), answer(jwks(jwk(NEW, "new")))
OLD_TOKEN = token(OLD, "RS256", {"kid": "old"}, exp=NOW + 100_000)
NEW_TOKEN = token(NEW, "RS256", {"kid": "new"}, exp=NOW + 100_000)


class Gate:
    """An authenticator of one issuer; the test sets its clocks."""

    def __init__(self, url: str) -> None:
        self.now = NOW
        entry = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks_url": url, "algorithms": ["RS256"]}
        clocks = Clocks(lambda: self.now, lambda: self.now)
        self.authenticator = Authenticator(AuthConfig(mode="optional", jwt=[entry]), Path("onegate.yaml"), None, clocks)

    async def ask(self, text: str) -> Caller | Unauthorized:
        async with asyncio.timeout(20):
            return await self.authenticator.identify([(b"host", b"gw"), bearer(text)], Door("/mcp"))

    async def status(self, text: str) -> int:
        found = await self.ask(text)
        return found.status if isinstance(found, Unauthorized) else 200


@asynccontextmanager
async def gate_at(endpoint: Endpoint) -> AsyncIterator[Gate]:
    gate = Gate(endpoint.url)
    async with anyio.create_task_group() as group:
        group.start_soon(gate.authenticator.run)
        yield gate
        group.cancel_scope.cancel()


async def test_a_token_gets_in_once_the_keys_are_there_and_waits_for_them_at_the_start() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = OLD_SET
        endpoint.open.clear()
        async with gate_at(endpoint) as gate, anyio.create_task_group() as group:
            assert not gate.authenticator.ready
            seen: list[int] = []

            async def ask() -> None:
                seen.append(await gate.status(OLD_TOKEN))

            for _ in range(10):
                group.start_soon(ask)
            await until(endpoint.came.is_set)
            endpoint.open.set()
            await until(lambda: len(seen) == 10)
            assert seen == [200] * 10
            assert gate.authenticator.ready
            assert len(endpoint.seen) == 1


async def test_a_key_that_is_new_at_the_issuer_is_found_and_one_that_left_takes_its_remembered_tokens_along() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = OLD_SET
        async with gate_at(endpoint) as gate:
            first = await gate.ask(OLD_TOKEN)
            assert await gate.ask(OLD_TOKEN) is first
            endpoint.reply = NEW_SET
            assert await gate.ask(OLD_TOKEN) is first, "nobody has said yet that the key has left"
            gate.now += UNKNOWN_SECONDS
            assert await gate.status(NEW_TOKEN) == 200
            assert await gate.status(OLD_TOKEN) == 401


async def test_a_flood_of_unknown_keys_reaches_the_issuer_once_in_thirty_seconds() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = OLD_SET
        async with gate_at(endpoint) as gate:
            assert await gate.status(OLD_TOKEN) == 200
            before = len(endpoint.seen)
            gate.now += UNKNOWN_SECONDS
            for number in range(100):
                assert await gate.status(token(NEW, "RS256", {"kid": f"k{number}"})) == 401
            assert len(endpoint.seen) == before + 1
            assert await gate.status(OLD_TOKEN) == 200


@pytest.mark.parametrize(
    "reply",
    [answer(b"", "500 Internal Server Error"), answer(b"not json"), answer(b"{}"), answer(b" " * 2_000_000), b""],
)
async def test_an_issuer_that_goes_wrong_does_not_take_its_good_keys_along_until_they_are_too_old(reply: bytes) -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = OLD_SET
        async with gate_at(endpoint) as gate:
            assert await gate.status(OLD_TOKEN) == 200
            fetched = gate.now
            endpoint.reply = reply
            gate.now += UNKNOWN_SECONDS
            assert await gate.status(NEW_TOKEN) == 401
            gate.now = fetched + MAX_AGE_SECONDS - 1
            assert await gate.status(OLD_TOKEN) == 200
            assert await gate.status(token(OLD, "RS256", exp=NOW + 200_000)) == 200
            gate.now = fetched + MAX_AGE_SECONDS
            assert await gate.ask(OLD_TOKEN) == Unauthorized(503, "The token cannot be checked now")
            assert gate.authenticator.ready
            endpoint.reply = OLD_SET
            gate.now += UNKNOWN_SECONDS
            assert await gate.status(OLD_TOKEN) == 200


async def test_an_issuer_that_is_down_at_the_start_makes_tokens_503_and_the_gateway_unready() -> None:
    async with jwks_endpoint() as other:
        url = other.url
    gate = Gate(url)
    async with anyio.create_task_group() as group:
        group.start_soon(gate.authenticator.run)
        assert await gate.status(OLD_TOKEN) == 503
        assert not gate.authenticator.ready
        group.cancel_scope.cancel()


async def test_an_issuer_that_redirects_is_not_followed_and_its_tokens_do_not_get_in() -> None:
    async with jwks_endpoint() as endpoint, jwks_endpoint() as evil:
        endpoint.reply, evil.reply = redirect(evil.url), NEW_SET
        async with gate_at(endpoint) as gate:
            assert await gate.status(NEW_TOKEN) == 503
            assert evil.seen == []


async def test_a_token_that_names_another_place_for_its_key_sends_nobody_there() -> None:
    async with jwks_endpoint() as endpoint, jwks_endpoint() as evil:
        endpoint.reply, evil.reply = OLD_SET, NEW_SET
        async with gate_at(endpoint) as gate:
            assert await gate.status(OLD_TOKEN) == 200
            for header in ({"jku": evil.url}, {"x5u": evil.url}, {"jku": evil.url, "kid": evil.url}):
                assert await gate.status(token(NEW, "RS256", header)) == 401
            assert await gate.status(token(NEW, "RS256", {"jwk": jwk(NEW, "new"), "kid": "new"})) == 401
            assert evil.seen == []


async def test_a_reload_keeps_the_keys_of_an_issuer_that_did_not_change_and_no_token() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.reply = OLD_SET
        async with gate_at(endpoint) as before:
            first = await before.ask(OLD_TOKEN)
            after, moved = Gate(endpoint.url), Gate(endpoint.url + "?elsewhere")
            for later in (after, moved):
                later.authenticator.inherit(before.authenticator)
            fetches = len(endpoint.seen)
            second = await after.ask(OLD_TOKEN)
            assert isinstance(second, Caller)
            assert second is not first
            assert len(endpoint.seen) == fetches
            assert not moved.authenticator.ready
