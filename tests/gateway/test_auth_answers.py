"""What who does not get in is told: where to log in, which scopes to bring, and nothing that helps to guess."""

from typing import Any

import pytest

from gateway import auth as auth_module
from gateway.auth import Caller, Door
from gateway.unauthorized import Unauthorized
from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.gate import CI, MCP, METADATA, OPS, Gate, api_key
from tests.fixtures.tokens import NOW, bearer, token

pytestmark = pytest.mark.anyio


async def test_without_credentials_the_challenge_says_where_to_log_in_and_nothing_of_an_error() -> None:
    found = await Gate(scopes=["mcp"]).ask(door=Door("/mcp", ("tools.read",)))
    assert found == Unauthorized(401, "Authentication is required", f'Bearer {METADATA}, scope="mcp tools.read"')


async def test_the_config_knows_the_public_address_better_than_the_host_header() -> None:
    found = await Gate(public_url="https://tools.example.com/gate/").ask()
    where = 'resource_metadata="https://tools.example.com/.well-known/oauth-protected-resource/gate/mcp"'
    assert found == Unauthorized(401, "Authentication is required", f"Bearer {where}")


async def test_the_scheme_of_the_request_is_that_of_the_metadata() -> None:
    found = await Gate().ask(scheme="https")
    assert METADATA.replace("http:", "https:") in getattr(found, "challenge", "")


@pytest.mark.parametrize("host", [b'x", error="', b"x y", b"x\r\ny", b"", b"x/y", b"a@b", b"\xff"])
async def test_a_strange_host_does_not_get_into_the_challenge(host: bytes) -> None:
    found = await Gate().authenticator.identify([(b"host", host)], MCP)
    assert isinstance(found, Unauthorized)
    assert found.challenge == "Bearer"


async def test_without_issuers_there_is_no_metadata_to_point_at() -> None:
    assert await Gate(jwt=[]).ask() == Unauthorized(401, "Authentication is required", "Bearer")


async def test_a_missing_scope_is_403_and_names_all_scopes_at_once() -> None:
    gate = Gate(scopes=["mcp", "basic"])
    door = Door("/mcp", ("tools.read", "mcp"))
    for scope in ("", "mcp", "mcp basic", "tools.read", "mcp tools.read", "MCP BASIC TOOLS.READ"):
        found = await gate.ask(bearer(token(scope=scope)), door=door)
        assert isinstance(found, Unauthorized)
        assert found.status == 403
        assert found.challenge == (
            'Bearer error="insufficient_scope", error_description="The credential lacks a scope", '
            f'{METADATA}, scope="mcp basic tools.read"'
        )
    assert await gate.status(bearer(token(scope="tools.read basic mcp more")), door=door) == 200


async def test_a_remembered_token_is_held_to_the_scopes_of_each_door() -> None:
    gate = Gate()
    text = token(scope="a")
    assert await gate.status(bearer(text)) == 200
    assert await gate.status(bearer(text), door=Door("/mcp/x", ("b",))) == 403
    assert await gate.status(bearer(text), door=Door("/mcp/y", ("a",))) == 200


async def test_the_scopes_of_the_gateway_are_asked_of_tokens_and_those_of_a_door_of_everybody() -> None:
    gate = Gate(mode="optional", scopes=["mcp"])
    door = Door("/mcp/read", ("tools.read",))
    assert await gate.status() == 200
    assert await gate.status(api_key(CI)) == 200
    assert await gate.status(bearer(token())) == 403
    assert await gate.status(door=door) == 401
    assert await gate.status(api_key(CI), door=door) == 403
    assert await gate.status(api_key(OPS), door=door) == 200


@pytest.mark.parametrize("mode", ["strict", "optional"])
async def test_a_failure_inside_is_503_and_never_anonymous(
    mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret words")

    gate = Gate(mode=mode)
    monkeypatch.setattr("gateway.auth_tokens.signer", fail)
    assert await gate.ask(bearer(token())) == Unauthorized(503, "Authentication failed")
    assert "secret words" not in caplog.text
    monkeypatch.setattr(auth_module, "_digest", fail)
    for header in (bearer(token()), api_key(CI)):
        assert await gate.ask(header) == Unauthorized(503, "Authentication failed")


async def test_no_log_line_and_no_answer_holds_a_credential(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    gate = Gate()
    texts = [token(), token(exp=NOW - 1), token(aud="x"), CI, "og_wrongwrongwrong", token()[:-4]]
    for text in texts:
        for header in (bearer(text), api_key(text)):
            found = await gate.ask(header)
            said = "" if isinstance(found, Caller) else repr(found)
            assert text not in said
    logged = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "not let in" in logged
    for text in texts:
        assert all(part not in logged for part in text.split(".") if len(part) > 10)
