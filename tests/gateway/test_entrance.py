"""The entrance: what of a request rules may know, and how one that does not get in is answered."""

from pathlib import Path
from typing import Any

import pytest

from gateway.access import Access
from gateway.auth import Authenticator
from gateway.auth_config import AuthConfig
from gateway.config import Config
from gateway.errors import McpError
from gateway.protected_resource import WELL_KNOWN, door_of
from gateway.transports.entrance import Entrance, NotAdmitted
from tests.fixtures.gate import CI, JWT, KEYS
from tests.fixtures.rules import policy_of

pytestmark = pytest.mark.anyio

TRUSTING = policy_of(allow=['request.headers["x-team"] == "core"'], trusted_headers=["x-team"])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def entrance(access: Access | None = None, auth: AuthConfig | None = None) -> Entrance:
    config = Config(source=Path("onegate.yaml"), folder=Path(), servers={}, auth=auth)
    authenticator = None if auth is None else Authenticator(auth, Path("onegate.yaml"))
    return Entrance(config, authenticator, access or Access())


def scope(*headers: tuple[bytes, bytes], client: Any = ("10.0.0.1", 5)) -> dict[str, Any]:
    return {"headers": list(headers), "scheme": "http", "client": client}


async def test_rules_know_path_host_address_and_trusted_headers_only() -> None:
    headers = {"host": "gw", "x-team": "core", "authorization": "Bearer x", "x-other": "1"}
    found = await entrance(Access(TRUSTING)).admit(scope(), headers, "/mcp")
    caller = found.caller
    assert (caller.path, caller.host, caller.address) == ("/mcp", "gw", "10.0.0.1")
    assert (dict(caller.headers), caller.identity.kind) == ({"x-team": "core"}, "anonymous")
    assert (found.filters, found.ends) == ((), None)
    assert (await entrance().admit(scope(client=None), headers, "/mcp")).caller.headers == {}


async def test_a_trusted_header_that_comes_twice_is_refused() -> None:
    twice = scope((b"x-team", b"core"), (b"x-team", b"core"))
    with pytest.raises(McpError) as refused:
        await entrance(Access(TRUSTING)).admit(twice, {"x-team": "core"}, "/mcp")
    assert refused.value.status == 400
    await entrance().admit(twice, {"x-team": "core"}, "/mcp")


async def test_a_key_brings_its_filters_and_a_wrong_one_keeps_out() -> None:
    door = entrance(auth=AuthConfig.model_validate({"jwt": [JWT], "api_keys": KEYS}))
    found = await door.admit(scope((b"x-api-key", CI.encode())), {}, "/mcp")
    assert [one.include for one in found.filters] == [("gh_*",)]
    with pytest.raises(NotAdmitted) as refused:
        await door.admit(scope((b"x-api-key", b"og_no")), {}, "/mcp")
    assert (refused.value.status, refused.value.code) == (401, -31401)
    assert refused.value.challenge.startswith("Bearer ")


def test_only_a_gateway_that_takes_tokens_says_where_to_get_them() -> None:
    keys_only = AuthConfig.model_validate({"api_keys": KEYS})
    assert entrance().metadata(WELL_KNOWN + "/mcp", {"/mcp"}, "gw", "http") is None
    assert entrance(auth=keys_only).metadata(WELL_KNOWN + "/mcp", {"/mcp"}, "gw", "http") is None
    found = entrance(auth=AuthConfig.model_validate({"jwt": [JWT]})).metadata(
        WELL_KNOWN + "/mcp", {"/mcp"}, "gw", "https"
    )
    assert found is not None
    assert found["resource"] == "https://gw/mcp"


@pytest.mark.parametrize(
    ("path", "public_url", "door"),
    [
        ("", None, "/"),
        ("/mcp", None, "/mcp"),
        ("/tools/mcp", None, None),
        ("/tools/mcp", "https://h/tools", "/mcp"),
        ("/mcp", "https://h/tools", "/mcp"),
        ("/tools", "https://h/tools/", "/"),
        ("/mcp/mcp", "https://h/mcp", "/mcp"),
        ("/none", "https://h", None),
    ],
)
def test_metadata_is_found_where_the_challenge_says_also_behind_a_proxy(
    path: str, public_url: str | None, door: str | None
) -> None:
    assert door_of(WELL_KNOWN + path, public_url, {"/", "/mcp"}) == door
