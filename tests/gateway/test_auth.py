"""Who gets in by which header, as whom, and what else a config may say of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.api_keys import ToolFilter
from gateway.auth import Authenticator, Caller, Door, local_identity
from gateway.auth_config import AuthConfig
from gateway.config_problems import ConfigError
from gateway.unauthorized import Unauthorized
from policies.model import ANONYMOUS, LOCAL
from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.gate import CI, KEYS, OPS, OPS_ENTRY, Gate, api_key, entry
from tests.fixtures.tokens import ISSUER, NOW, SECRET, bearer, token

pytestmark = pytest.mark.anyio


async def test_a_token_gets_in_as_who_its_claims_say() -> None:
    found = await Gate().caller(bearer(token(scope="a b")))
    assert (found.identity.kind, found.identity.issuer, found.identity.sub) == ("jwt", ISSUER, "alice")
    assert found.identity.scopes == ("a", "b")
    assert found.identity.claims["role"] == "developer"
    assert (found.tools, found.ends) == ((), NOW + 600)


@pytest.mark.parametrize("form", [b"bearer %s", b"BEARER %s", b"Bearer   %s", b" Bearer %s\t"])
async def test_the_scheme_is_known_in_any_case_and_with_any_space(form: bytes) -> None:
    assert await Gate().status((b"authorization", form % token().encode())) == 200


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Bearer a b", b"Bearer \xff\xfe", b"Bearer a,b", b"Bearer a\nb", b"x"],
)
@pytest.mark.parametrize("mode", ["strict", "optional"])
async def test_an_authorization_header_that_holds_no_token_is_401_and_never_anonymous(mode: str, value: bytes) -> None:
    found = await Gate(mode=mode).ask((b"authorization", value))
    assert isinstance(found, Unauthorized)
    assert found.status == 401
    assert found.challenge.startswith('Bearer error="invalid_token"')


@pytest.mark.parametrize("header", [b"authorization", b"x-api-key", b"x-bf-vk"])
@pytest.mark.parametrize("mode", ["strict", "optional"])
async def test_a_bad_credential_is_401_and_never_anonymous(mode: str, header: bytes) -> None:
    gate = Gate(mode=mode)
    prefix = b"Bearer " if header == b"authorization" else b""
    for value in (b"og_" + b"A" * 43, b"nonsense", token(SECRET[::-1] + "x").encode(), CI[:-1].encode()):
        assert await gate.status((header, prefix + value)) == 401


async def test_an_empty_key_is_a_bad_one() -> None:
    assert await Gate(mode="optional").status(api_key("")) == 401


async def test_without_a_credential_each_mode_does_what_it_says() -> None:
    assert await Gate(mode="strict").status() == 401
    assert (await Gate(mode="optional").caller()).identity is ANONYMOUS
    assert (await Gate(mode="none").caller()).identity is ANONYMOUS


async def test_mode_none_looks_at_no_credential() -> None:
    found = await Gate(mode="none").caller(bearer(token()), api_key("nonsense"))
    assert found == Caller(ANONYMOUS)


@pytest.mark.parametrize("mode", ["strict", "optional", "none"])
async def test_two_authorization_headers_are_400_even_if_they_are_equal(mode: str) -> None:
    gate = Gate(mode=mode)
    for second in (token(), token(sub="bob"), CI):
        found = await gate.ask(bearer(token()), bearer(second))
        assert isinstance(found, Unauthorized)
        assert (found.status, found.challenge[:30]) == (400, 'Bearer error="invalid_request"')


async def test_two_api_keys_in_one_request_are_400() -> None:
    gate = Gate()
    assert await gate.status(api_key(CI), api_key(OPS)) == 400
    assert await gate.status(api_key(CI), api_key(CI)) == 400
    assert await gate.status(api_key(CI), api_key(OPS, b"x-bf-vk")) == 400
    assert await gate.status(api_key(CI), api_key(CI, b"x-bf-vk")) == 200


async def test_a_token_anywhere_but_in_the_header_is_not_seen() -> None:
    gate = Gate(mode="optional")
    elsewhere = [
        (b"cookie", b"access_token=" + token().encode()),
        (b"x-access-token", token().encode()),
        (b"proxy-authorization", b"Bearer " + token().encode()),
        (b"referer", b"http://x/?access_token=" + token().encode()),
        (b"x-forwarded-authorization", b"Bearer " + token().encode()),
    ]
    for header in elsewhere:
        assert (await gate.caller(header)).identity is ANONYMOUS
    assert await gate.status(bearer(token()), door=Door("/mcp?access_token=" + token())) == 200
    assert "query" not in Authenticator.identify.__code__.co_varnames


@pytest.mark.parametrize("header", [b"x-api-key", b"x-bf-vk"])
async def test_an_api_key_gets_in_as_what_the_config_says_of_it(header: bytes) -> None:
    found = await Gate().caller(api_key(CI, header))
    assert (found.identity.kind, found.identity.sub, found.identity.issuer) == ("api_key", "ci", "")
    assert found.identity.claims == {"sub": "ci", "role": "developer"}
    assert found.tools == (ToolFilter(("gh_*",), ("gh_delete",)),)
    assert found.ends is None


async def test_an_api_key_may_come_as_a_bearer_token() -> None:
    gate = Gate()
    assert await gate.caller(bearer(CI)) == await gate.caller(api_key(CI))
    operator = await gate.caller(bearer(OPS))
    assert (operator.identity.sub, operator.identity.scopes, operator.tools) == ("operator", ("tools.read",), ())


async def test_an_api_key_beside_a_token_narrows_it_and_changes_nothing_else() -> None:
    gate = Gate()
    alone = await gate.caller(bearer(token()))
    beside = await gate.caller(bearer(token()), api_key(CI))
    assert beside.identity is alone.identity
    assert (beside.ends, beside.tools) == (alone.ends, (ToolFilter(("gh_*",), ("gh_delete",)),))
    assert (await gate.caller(bearer(token()), api_key(OPS))).identity is alone.identity
    assert (await gate.caller(bearer(token()))).tools == ()


async def test_two_narrowing_keys_both_count() -> None:
    narrow = {"name": "narrow", "sha256": entry(OPS_ENTRY)["sha256"], "tools": {"include": ["gh_a*"]}}
    found = await Gate(api_keys=[KEYS[0], narrow]).caller(bearer(CI), api_key(OPS))
    assert (found.identity.sub, len(found.tools)) == ("ci", 2)


@pytest.mark.parametrize("mode", ["strict", "optional"])
async def test_a_bad_api_key_beside_a_good_token_is_401_and_so_is_a_bad_token_beside_a_good_key(mode: str) -> None:
    gate = Gate(mode=mode)
    assert await gate.status(bearer(token()), api_key("og_nonsense")) == 401
    assert await gate.status(bearer("nonsense"), api_key(CI)) == 401
    assert await gate.status(bearer(token(exp=NOW - 1)), api_key(CI)) == 401


async def test_without_issuers_every_token_is_refused() -> None:
    assert await Gate(jwt=[]).status(bearer(token())) == 401
    assert await Gate(jwt=[]).status(bearer(CI)) == 200


def test_a_bad_key_file_is_a_mistake_in_the_config_with_file_and_key(tmp_path: Path) -> None:
    section = AuthConfig(
        jwt=[
            {"issuer": "a", "audiences": ["a"], "jwks_file": "no.json", "algorithms": ["ES256"]},
            {"issuer": "b", "audiences": ["a"], "public_key_file": "no.pem", "algorithms": ["ES256"]},
        ]
    )
    with pytest.raises(ConfigError) as caught:
        Authenticator(section, tmp_path / "onegate.yaml")
    first, second = str(caught.value).splitlines()
    assert "onegate.yaml: auth.jwt[0].jwks_file: cannot be read (No such file or directory)" in first
    assert "onegate.yaml: auth.jwt[1].public_key_file: cannot be read" in second


def test_the_client_of_stdio_is_who_the_config_says_or_the_user() -> None:
    assert local_identity(None) is LOCAL
    assert local_identity(AuthConfig(mode="none")) is LOCAL
    found = local_identity(AuthConfig(stdio={"claims": {"role": "admin"}}))
    assert (found.kind, found.sub, found.claims) == ("local", "local", {"sub": "local", "role": "admin"})
    named = local_identity(AuthConfig(stdio={"claims": {"sub": "me", "scope": "a"}}))
    assert (named.sub, named.scopes) == ("me", ("a",))


def test_without_issuers_no_cryptography_is_loaded() -> None:
    program = (
        "import json, sys, pathlib\n"
        "from gateway.auth import Authenticator, AuthConfig\n"
        "Authenticator(AuthConfig(api_keys=[{'name': 'a', 'sha256': '0' * 64}]), pathlib.Path('x'))\n"
        "print(json.dumps([name for name in ('jwt', 'cryptography', 'aiohttp') if name in sys.modules]))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout) == []


async def test_a_refusal_is_told_with_status_and_reason_and_nothing_of_what_was_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "onegate.auth")
    gate = Gate()
    for header in (bearer(token(sub=7)), bearer(token(iss="https://hostile.example.com")), api_key("og_guessed")):
        await gate.ask(header)
    await gate.ask(bearer(token()), door=Door("/mcp", ("tools.write",)))
    told = [{name: vars(one)[name] for name in ("status", "reason")} for one in caplog.records]
    assert told == [
        {"status": 401, "reason": "sub"},
        {"status": 401, "reason": "iss is not one of the config's"},
        {"status": 401, "reason": "The API key is not valid"},
        {"status": 403, "reason": "The credential lacks a scope"},
    ]
    assert vars(caplog.records[3])["identity"] == "alice"  # whose token is good, though not for this
    assert not any("identity" in vars(one) for one in caplog.records[:3])
    said = " ".join(str(vars(one)) for one in caplog.records)
    assert "hostile" not in said
    assert "guessed" not in said
