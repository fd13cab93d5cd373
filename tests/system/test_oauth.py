"""The SDK's OAuth client gets in with nothing but a door's URL; who gives the tokens is a certified library."""

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
import pytest
from mcp.client import Client
from mcp.shared.auth import OAuthToken

from tests.fixtures.gateways import ANSWER_SECONDS, raw_entry, reserved_port, serving
from tests.fixtures.oauth import LoggingIn, Storage, authorization_server, machine_token
from tests.fixtures.sdk_client import tool_names

SECONDS = 20.0  # a bound for one whole conversation
MODERN = "2026-07-28"
MODES = ("legacy", MODERN, "auto")

METADATA = "/.well-known/oauth-protected-resource"
AS_METADATA = "/.well-known/oauth-authorization-server"
MAIN, DESK = "/mcp", "/mcp/front%20desk"
WRITE = "/mcp/write"  # asks for a scope beside the gateway's

POLICY: dict[str, Any] = {
    "allow": [
        'jwt.role == "developer" && mcp.tool.name == "echo"',
        'jwt.role == "developer" && mcp.tool.name == "pid" && "tools.write" in identity.scopes',
    ]
}


@dataclass(frozen=True)
class Place:
    """A gateway and the authorization server that it trusts."""

    root: str
    issuer: str

    def client(self, door: str, storage: Storage | None = None) -> LoggingIn:
        """A client that was told a door's URL and nothing else."""
        return LoggingIn(self.root + door, storage)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port = reserved_port()  # each door's URL is an audience
    root = f"http://127.0.0.1:{port}"
    with authorization_server() as issuer:
        keys = {"jwks_url": f"{issuer}/jwks", "algorithms": ["ES256"]}
        trusted = {"issuer": issuer, "audiences": [root + door for door in (MAIN, DESK, WRITE)], **keys}
        sections = {
            "auth": {"mode": "strict", "scopes": ["tools.read"], "jwt": [trusted]},
            "policy": POLICY,
            "routes": {WRITE: {"upstreams": ["front desk"], "scopes": ["tools.write"]}},
        }
        with serving(tmp_path_factory.mktemp("oauth"), {"front desk": raw_entry()}, port, **sections):
            yield Place(root, issuer)


def bounded(work: Coroutine[Any, Any, Any]) -> Any:
    """Run one conversation."""

    async def run() -> Any:
        async with asyncio.timeout(SECONDS):
            return await work

    return asyncio.run(run())


def said(client: LoggingIn, door: str, mode: str = MODERN) -> tuple[list[str], str]:
    """What the door lists, and what the first of it answers to `{"a": 1}`."""

    async def use(connected: Client) -> tuple[list[str], str]:
        names = await tool_names(connected)
        return names, await echoed(connected, names[0])

    found: tuple[list[str], str] = bounded(client.use(door, mode, use))
    return found


async def echoed(connected: Client, name: str) -> str:
    (block,) = (await connected.call_tool(name, {"a": 1})).content
    return str(block.text)


def claims(token: str) -> dict[str, Any]:
    """What a token says; unverified, which is the gateway's part."""
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def answered(url: str, token: str) -> tuple[int, str]:
    """The status of a list asked for with this token, and the challenge."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    request = Request(url, body, {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status, ""
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers.get("WWW-Authenticate", "")


@pytest.mark.parametrize("mode", MODES)
def test_a_client_of_either_era_logs_in_and_sees_just_what_policy_grants(place: Place, mode: str) -> None:
    assert said(place.client(MAIN), MAIN, mode) == (["front_desk_echo"], '{"a": 1}')


def test_every_step_of_the_way_in_leads_to_the_next(place: Place) -> None:
    client = place.client(MAIN)
    said(client, MAIN)
    assert client.asked == [
        ("POST", MAIN, 401),
        ("GET", METADATA + MAIN, 200),
        ("GET", AS_METADATA, 200),
        ("POST", "/reg", 201),
        ("POST", "/token", 200),
        ("POST", MAIN, 200),
        ("POST", MAIN, 200),
    ]
    (login,), (grant,) = client.logins, client.grants
    assert login["scope"].split()[0] == "tools.read"  # told by the challenge
    assert login["resource"] == grant["resource"] == place.root + MAIN
    assert login["code_challenge_method"] == "S256"
    assert "code_verifier" in grant


def test_each_door_is_a_resource_that_a_client_logs_in_to(place: Place) -> None:
    client = place.client(DESK)
    assert said(client, DESK) == (["echo"], '{"a": 1}')
    assert ("GET", METADATA + DESK, 200) in client.asked
    assert claims(client.token)["aud"] == place.root + DESK


def test_a_login_to_a_door_with_scopes_asks_for_all_of_them_at_once(place: Place) -> None:
    client = place.client(WRITE)
    assert said(client, WRITE) == (["echo", "pid"], '{"a": 1}')
    (login,) = client.logins
    assert login["scope"].split()[:2] == ["tools.read", "tools.write"]


@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_a_client_steps_up_by_itself_where_a_door_asks_for_another_scope(place: Place, mode: str) -> None:
    client = place.client(MAIN)
    said(client, MAIN, mode)
    assert claims(client.token)["scope"] == "tools.read"
    before = len(client.asked)
    assert said(client, WRITE, mode)[0] == ["echo", "pid"]
    assert client.asked[before : before + 3] == [("POST", WRITE, 403), ("POST", "/token", 200), ("POST", WRITE, 200)]
    assert claims(client.token)["scope"] == "tools.read tools.write"
    # The new login keeps what was granted: the other door goes on, and lists what the scope adds.
    assert said(client, MAIN, mode)[0] == ["front_desk_echo", "front_desk_pid"]
    assert len(client.logins) == 2


def test_a_client_that_only_remembers_its_token_steps_up_too(place: Place) -> None:
    former = place.client(MAIN)
    said(former, MAIN)
    client = place.client(WRITE, former.storage)  # knows no metadata yet
    assert said(client, WRITE)[0] == ["echo", "pid"]
    assert client.asked[:4] == [
        ("POST", WRITE, 403),
        ("GET", METADATA + WRITE, 200),
        ("GET", AS_METADATA, 200),
        ("POST", "/token", 200),
    ]
    assert claims(client.token)["aud"] == place.root + WRITE


@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_a_refreshed_token_goes_on_where_the_former_one_was(place: Place, mode: str) -> None:
    client = place.client(MAIN)

    async def use(connected: Client) -> tuple[str, str, str]:
        (name,) = await tool_names(connected)
        former = client.token
        client.provider.context.token_expiry_time = time.time() - 1  # as if its time had passed
        return former, await echoed(connected, name), client.token

    former, text, token = bounded(client.use(MAIN, mode, use))
    assert text == '{"a": 1}'
    assert token != former
    assert [grant["grant_type"] for grant in client.grants] == ["authorization_code", "refresh_token"]
    assert len(client.logins) == 1
    assert [step for step in client.asked if step[2] >= 400] == [("POST", MAIN, 401)]  # the first of all


def test_a_token_for_another_resource_is_refused(place: Place) -> None:
    own, others = (
        machine_token(place.issuer, url, "tools.read") for url in (place.root + MAIN, "http://127.0.0.1/mcp")
    )
    assert answered(place.root + MAIN, own) == (200, "")
    status, challenge = answered(place.root + MAIN, others)
    assert status == 401
    assert 'error="invalid_token"' in challenge
    assert f'resource_metadata="{place.root}{METADATA}{MAIN}"' in challenge


def test_a_client_whose_token_is_refused_logs_in_again(place: Place) -> None:
    storage = Storage()
    storage.tokens = OAuthToken(access_token=machine_token(place.issuer, "http://127.0.0.1/mcp", "tools.read"))
    client = place.client(MAIN, storage)
    assert said(client, MAIN) == (["front_desk_echo"], '{"a": 1}')
    assert len(client.logins) == 1
