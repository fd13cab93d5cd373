"""`/openapi.json`: what it says of a gateway, and to whom. Whether that is true is asked in `tests/system`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from gateway.api_keys import new_key
from gateway.openapi import PATH, document
from gateway.transports.tool_api import PATHS, TYPES
from tests.fixtures.gate import entry
from tests.fixtures.live_gateway import Answer, live_gateway

SERVERS = {"canary": {"command": "canary-program", "disabled": True}}
KEYS = [entry(new_key("ci")[1])]


def told(folder: Path, headers: dict[str, str] | None = None, **config: Any) -> Answer:
    """What a gateway with this config answers to somebody without a credential."""
    with live_gateway(folder, {"mcpServers": SERVERS, **config}) as live:
        return live.http("GET", PATH, headers or {})


def references(part: Any) -> Iterator[str]:
    """Every `$ref` within."""
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)


def test_it_describes_the_paths_of_the_tool_api_and_points_to_nothing_that_is_not_there() -> None:
    whole = document(None, "none")
    assert set(whole["paths"]) == PATHS
    named = set(references(whole))
    for reference in named:
        at: Any = whole
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]
    parts = {f"#/components/{kind}/{name}" for kind in whole["components"] for name in whole["components"][kind]}
    assert parts - named == {"#/components/securitySchemes/bearer", "#/components/securitySchemes/apiKey"}


def test_it_knows_every_type_of_error() -> None:
    said = document(None, "none")["components"]["schemas"]["Error"]["properties"]["type"]["enum"]
    assert set(said) == {*TYPES.values(), "invalid_request_error"}


@pytest.mark.parametrize(
    ("url", "said"),
    [(None, "/"), ("https://gw.example.com/", "https://gw.example.com"), ("https://a/b", "https://a/b")],
)
def test_it_says_where_callers_reach_the_gateway(url: str | None, said: str) -> None:
    assert document(url, "none")["servers"] == [{"url": said}]


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ({}, []),
        ({"auth": {"mode": "none"}}, []),
        ({"auth": {"mode": "optional", "api_keys": KEYS}}, [{}, {"bearer": []}, {"apiKey": []}]),
        ({"auth": {"mode": "strict", "api_keys": KEYS}}, [{"bearer": []}, {"apiKey": []}]),
    ],
)
def test_anybody_is_told_what_it_takes_to_get_in(tmp_path: Path, auth: dict[str, Any], said: list[Any]) -> None:
    answer = told(tmp_path, **auth)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["security"] == said
    assert answer.json["info"]["version"] == __version__


def test_it_says_nothing_of_what_is_behind_the_gateway(tmp_path: Path) -> None:
    assert b"canary" not in told(tmp_path, name="canary-name").body


def test_it_is_not_there_where_the_tool_api_is_not(tmp_path: Path) -> None:
    assert told(tmp_path, tool_api={"enabled": False}).status == 404


def test_a_page_that_points_its_own_name_at_the_gateway_is_refused(tmp_path: Path) -> None:
    answer = told(tmp_path, {"Host": "evil.example.com"})
    assert answer.status == 403
    assert answer.json["error"]["type"] == "invalid_request_error"


def test_a_proxy_must_have_been_asked_for_this_gateway_too(tmp_path: Path) -> None:
    answer = told(tmp_path, {"X-Forwarded-Host": "evil.example.com"}, server={"trusted_proxies": ["127.0.0.1"]})
    assert answer.status == 403


def test_another_method_is_not_allowed(tmp_path: Path) -> None:
    with live_gateway(tmp_path, {"mcpServers": SERVERS}) as live:
        assert live.http("POST", PATH, {"Content-Type": "application/json"}, json.dumps({}).encode()).status == 405
        head = live.http("HEAD", PATH, {})
        assert (head.status, head.body) == (200, b"")
