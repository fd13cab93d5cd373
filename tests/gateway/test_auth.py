"""Who gets in by which header, with what answer for who does not; and how long somebody who got in is remembered."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import auth as auth_module
from gateway.api_keys import ToolFilter, new_key
from gateway.auth import Authenticator, Caller, Clocks, Door, local_identity
from gateway.auth_config import AuthConfig
from gateway.config_problems import ConfigError
from gateway.unauthorized import Unauthorized
from policies.model import ANONYMOUS, LOCAL
from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.tokens import AUDIENCE, ISSUER, NOW, SECRET, bearer, token

pytestmark = pytest.mark.anyio

MCP = Door("/mcp")
HOST = (b"host", b"gw.example.com")
JWT = {"issuer": ISSUER, "audiences": [AUDIENCE], "secret": SECRET}
METADATA = 'resource_metadata="http://gw.example.com/.well-known/oauth-protected-resource/mcp"'

CI, _CI_ENTRY = new_key("ci")
OPS, _OPS_ENTRY = new_key("ops")

Header = tuple[bytes, bytes]


def entry(text: str) -> dict[str, Any]:
    """The config entry that goes with a new key."""
    return {"name": text.split('"')[1], "sha256": text.split('"')[3]}


KEYS = [
    {**entry(_CI_ENTRY), "claims": {"role": "developer"}, "tools": {"include": ["gh_*"], "exclude": ["gh_delete"]}},
    {**entry(_OPS_ENTRY), "claims": {"sub": "operator", "scope": "tools.read"}},
]


class Gate:
    """An authenticator whose time the test sets."""

    def __init__(self, **section: Any) -> None:
        self.now = NOW
        section = {"jwt": [JWT], "api_keys": KEYS, **section}
        clocks = Clocks(lambda: self.now, lambda: self.now)
        public_url = section.pop("public_url", None)
        self.authenticator = Authenticator(AuthConfig(**section), Path("onegate.yaml"), public_url, clocks)

    async def ask(self, *headers: Header, door: Door = MCP, scheme: str = "http") -> Caller | Unauthorized:
        return await self.authenticator.identify([HOST, *headers], door, scheme)

    async def caller(self, *headers: Header, door: Door = MCP) -> Caller:
        found = await self.ask(*headers, door=door)
        assert isinstance(found, Caller), found
        return found

    async def status(self, *headers: Header, door: Door = MCP) -> int:
        found = await self.ask(*headers, door=door)
        return found.status if isinstance(found, Unauthorized) else 200


def api_key(key: str, header: bytes = b"x-api-key") -> Header:
    return (header, key.encode())


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
    narrow = {"name": "narrow", "sha256": entry(_OPS_ENTRY)["sha256"], "tools": {"include": ["gh_a*"]}}
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
