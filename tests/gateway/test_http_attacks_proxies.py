"""Forwarded headers, sent by a proxy that the config trusts and by one that it does not, against a real gateway."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.fixtures.gate import JWT
from tests.fixtures.live_gateway import JSON, LiveGateway, Message, live_gateway, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream

WHERE = "/.well-known/oauth-protected-resource"
CLIENT = "203.0.113.7"
EVERYTHING = {
    "X-Forwarded-For": CLIENT,
    "X-Forwarded-Host": "gw.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-User": "root",
    "Forwarded": f"for={CLIENT};host=gw.example;proto=https",
}
RULES = {
    "allow": [
        f'source.address == "{CLIENT}" && mcp.tool.name == "far"',
        'source.address == "127.0.0.1" && mcp.tool.name == "near"',
        'request.host == "gw.example" && mcp.tool.name == "named"',
        'request.headers["x-forwarded-user"] == "root" && mcp.tool.name == "root"',
    ],
    "trusted_headers": ["X-Forwarded-User"],
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("far", "near", "named", "root")]
        yield one


def settings(upstream: RawUpstream, proxies: list[str], **server: Any) -> Message:
    hosts = {"allowed_hosts": ["gw.example", "localhost"], "allowed_origins": []}
    return {
        "mcpServers": {"a": {"url": upstream.url}},
        "server": {"drain": "1s", "trusted_proxies": proxies, **hosts, **server},
        "auth": {"mode": "optional", "jwt": [JWT]},
        "policy": RULES,
    }


@pytest.fixture(scope="module")
def behind(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway whose peer, this test, is a trusted proxy."""
    with live_gateway(tmp_path_factory.mktemp("gate"), settings(upstream, ["127.0.0.0/30", "10.0.0.0/8"])) as live:
        yield live


@pytest.fixture(scope="module", params=[[], ["10.0.0.0/8", CLIENT, "::1"]], ids=["none", "others"])
def apart(
    request: pytest.FixtureRequest, upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveGateway]:
    """A gateway that trusts nobody, or only others."""
    with live_gateway(tmp_path_factory.mktemp("gate"), settings(upstream, request.param)) as live:
        yield live


def tools(live: LiveGateway, headers: Mapping[str, str]) -> set[str]:
    answer = live.post(request("tools/list"), headers)
    return {one["name"].removeprefix("a_") for one in answer.json["result"]["tools"]}


def told(live: LiveGateway, headers: Mapping[str, str]) -> str:
    """The metadata URL that a 401 names."""
    answer = live.post(request("ping"), {"Authorization": "Bearer x", **headers})
    assert answer.status == 401
    return answer.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]


def test_rules_see_the_client_of_a_trusted_proxy(behind: LiveGateway) -> None:
    assert tools(behind, {}) == {"near"}
    assert tools(behind, {"X-Forwarded-For": CLIENT}) == {"far"}
    assert tools(behind, EVERYTHING) == {"far", "named", "root"}
    for chain in (f"6.6.6.6, {CLIENT}", f"127.0.0.1, {CLIENT}, 10.0.0.1", f"junk, {CLIENT}:99, 10.0.0.1"):
        assert tools(behind, {"X-Forwarded-For": chain}) == {"far"}


@pytest.mark.parametrize("chain", [f"{CLIENT}, 6.6.6.6", f"{CLIENT}, 6.6.6.6, 10.0.0.1", f"{CLIENT}, junk, 10.0.0.1"])
def test_a_client_cannot_write_itself_another_address_through_the_proxy(behind: LiveGateway, chain: str) -> None:
    assert tools(behind, {"X-Forwarded-For": chain}) == set()


@pytest.mark.parametrize("chain", ["junk", "", f"{CLIENT},", f"{CLIENT}, unknown", f'{CLIENT}, "{CLIENT}"'])
def test_a_word_that_is_no_address_leaves_the_proxy_as_the_source(behind: LiveGateway, chain: str) -> None:
    assert tools(behind, {"X-Forwarded-For": chain}) == {"near"}


def test_the_metadata_is_named_by_the_hosts_and_scheme_of_a_trusted_proxy(behind: LiveGateway) -> None:
    assert told(behind, EVERYTHING) == f"https://gw.example{WHERE}/mcp"
    assert told(behind, {"X-Forwarded-Proto": "https", "Host": "localhost"}) == f"https://localhost{WHERE}/mcp"
    document = behind.http("GET", f"{WHERE}/mcp", EVERYTHING).json
    assert document["resource"] == "https://gw.example/mcp"
    assert behind.http("GET", f"{WHERE}/mcp", {"X-Forwarded-Host": "a b"}).status == 404


@pytest.mark.parametrize("host", ["evil.example", "gw.example, evil.example", "gw.example.", "a b", "", "gw.example:x"])
def test_a_forwarded_host_is_checked_as_strictly_as_host(behind: LiveGateway, host: str) -> None:
    for headers in ({"X-Forwarded-Host": host}, {"X-Forwarded-Host": host, "Host": "gw.example"}):
        answer = behind.post(request("ping"), headers)
        assert (answer.status, answer.json["error"]["message"]) == (403, "Host not allowed; see server.allowed_hosts")
    rebound = behind.post(request("ping"), {"X-Forwarded-Host": "gw.example", "Host": "evil.example"})
    assert rebound.status == 403
    own = {"X-Forwarded-Host": "gw.example", "Origin": "https://gw.example"}
    assert behind.post(request("ping"), own).status == 200
    assert behind.post(request("ping"), {**own, "Origin": "https://evil.example"}).status == 403


def test_what_an_untrusted_peer_says_of_others_changes_no_byte(apart: LiveGateway) -> None:
    trusts_nobody = not apart.gateway.config.server.trusted_proxies
    plain = {name: value for name, value in EVERYTHING.items() if name != "X-Forwarded-User"}
    for headers in ({}, plain, {**plain, "X-Forwarded-Host": "evil.example"}, {"X-Forwarded-For": "127.0.0.1"}):
        answer = apart.post(request("tools/list"), headers)
        assert answer.body == apart.post(request("tools/list")).body
        assert tools(apart, headers) == {"near"}
        assert told(apart, headers) == f"http://127.0.0.1:{apart.port}{WHERE}/mcp"
        resource = apart.http("GET", f"{WHERE}/mcp", headers).json["resource"]
        assert resource == f"http://127.0.0.1:{apart.port}/mcp"
        page = {**headers, "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
        assert apart.post(request("ping"), page).status == 403
    # Where no proxies are named a header that the config trusts counts from everybody, else from them alone.
    assert ("root" in tools(apart, EVERYTHING)) == trusts_nobody


def test_nothing_that_a_proxy_says_reaches_an_upstream(behind: LiveGateway, upstream: RawUpstream) -> None:
    call = request("tools/call", {"name": "a_far", "arguments": {}})
    assert behind.post(call, {**JSON, **EVERYTHING}).code is None
    headers, body = upstream.seen[-1]
    assert not [name for name in headers if "forward" in name]
    assert CLIENT.encode() not in body


def test_the_server_itself_reads_no_forwarded_header(
    upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # what uvicorn would trust
    with live_gateway(tmp_path_factory.mktemp("gate"), settings(upstream, [])) as live:
        assert tools(live, EVERYTHING) == {"near", "root"}
