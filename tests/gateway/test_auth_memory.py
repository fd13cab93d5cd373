"""How long a token that was verified once is remembered, and how many are."""

import pytest

from gateway import auth as auth_module
from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.gate import JWT, Gate
from tests.fixtures.tokens import NOW, bearer, token

pytestmark = pytest.mark.anyio


async def test_a_remembered_token_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    text = token()
    first = await gate.caller(bearer(text))
    monkeypatch.setattr("gateway.auth_tokens.parse", None)
    assert await gate.caller(bearer(text)) is first


async def test_a_remembered_token_is_gone_at_its_exp() -> None:
    gate = Gate()
    text = token(exp=NOW + 10)
    for later, status in ((0, 200), (9.9, 200), (10, 401), (10.1, 401), (9, 200)):
        gate.now = NOW + later
        assert await gate.status(bearer(text)) == status
    gate.now = NOW + 11
    assert '"The token has expired"' in getattr(await gate.ask(bearer(text)), "challenge", "")


async def test_a_token_that_only_the_leeway_keeps_is_not_remembered() -> None:
    gate = Gate(jwt=[{**JWT, "leeway": "30s"}])
    text = token(exp=NOW + 10)
    for later, status in ((0, 200), (20, 200), (39, 200), (40, 401)):
        gate.now = NOW + later
        assert await gate.status(bearer(text)) == status
        assert len(gate.authenticator._remembered) == (1 if later == 0 else 0)


async def test_a_reload_forgets_every_token() -> None:
    before = Gate()
    await before.caller(bearer(token()))
    after = Gate(jwt=[{**JWT, "audiences": ["another"]}])
    after.authenticator.inherit(before.authenticator)
    assert await after.status(bearer(token())) == 401


async def test_only_so_many_tokens_are_remembered_and_the_longest_unused_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth_module, "MAX_REMEMBERED", 3)
    gate = Gate()
    texts = [token(sub=str(number)) for number in range(4)]
    kept = await gate.caller(bearer(texts[0]))
    for text in texts[1:3]:
        await gate.caller(bearer(text))
    dropped = await gate.caller(bearer(texts[1]))
    assert await gate.caller(bearer(texts[0])) is kept
    await gate.caller(bearer(texts[2]))
    await gate.caller(bearer(texts[3]))
    assert len(gate.authenticator._remembered) == 3
    assert await gate.caller(bearer(texts[0])) is kept
    assert await gate.caller(bearer(texts[1])) is not dropped


async def test_bad_tokens_are_not_remembered() -> None:
    gate = Gate()
    for number in range(50):
        await gate.ask(bearer(token(sub=str(number), exp=NOW - 1)))
    assert len(gate.authenticator._remembered) == 0
