"""Hostile request heads, sent to a real gateway: media types, Host and Origin, paths, methods."""

import json
from collections.abc import Iterator

import pytest

from tests.fixtures.live_gateway import (
    JSON,
    MODERN,
    LiveGateway,
    call,
    head,
    live_gateway,
    read_answer,
    request,
)
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream

PING = json.dumps(request("ping")).encode()


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern") as one:
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    servers = {name: {"url": upstream.url} for name in ("up", "a/b", "a%2Fb", "ü")}
    config = {"mcpServers": servers, "routes": {"/deep/door": {"upstreams": ["up"]}}}
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as live:
        yield live


def ping(gate: LiveGateway, path: str = "/mcp", **headers: str) -> int:
    """The status of a ping with these headers (None leaves one out)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gate.raw(head("POST", path, {"Content-Type": "application/json", **named}, PING)).status


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "text/json",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain, application/json",
        "",
    ],
)
def test_a_content_type_that_a_web_page_may_send_is_refused(gate: LiveGateway, kind: str) -> None:
    assert ping(gate, Content_Type=kind) == 415


def test_a_missing_content_type_is_refused(gate: LiveGateway) -> None:
    assert gate.raw(head("POST", "/mcp", {}, PING)).status == 415


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", " application/json ;q=1"])
def test_json_is_taken_with_parameters_and_in_any_case(gate: LiveGateway, kind: str) -> None:
    assert ping(gate, Content_Type=kind) == 200


def test_form_content_is_taken_only_beside_authorization_and_outside_sessions(gate: LiveGateway) -> None:
    form = "application/x-www-form-urlencoded"
    assert ping(gate, Content_Type=form, Authorization="Bearer x") == 200
    assert ping(gate, Content_Type="text/plain", Authorization="Bearer x") == 415
    session = gate.session()
    assert ping(gate, Content_Type=form, Authorization="Bearer x", Mcp_Session_Id=session) == 415


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "0.0.0.0",
        "[::2]",
    ],
)
def test_a_foreign_host_is_refused(gate: LiveGateway, upstream: RawUpstream, host: str) -> None:
    before = len(upstream.seen)
    assert gate.raw(head("POST", "/mcp", {**JSON, "Host": host}, json.dumps(call("up_echo")).encode())).status == 403
    assert len(upstream.seen) == before


@pytest.mark.parametrize("host", ["", "::1", "localhost@evil.example", "localhost/x", "localhost, evil", "loc alhost"])
def test_a_malformed_host_is_refused(gate: LiveGateway, host: str) -> None:
    assert ping(gate, Host=host) == 400


def test_a_missing_or_repeated_host_is_refused(gate: LiveGateway) -> None:
    start = b"POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 0\r\n"
    assert gate.raw(start + b"\r\n").status == 400
    assert gate.raw(start + b"Host: localhost\r\nHost: localhost\r\n\r\n").status == 400
    assert gate.raw(start.replace(b"1.1", b"1.0") + b"\r\n").status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"])
def test_loopback_names_are_served_with_any_port(gate: LiveGateway, host: str) -> None:
    assert ping(gate, Host=host) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost.evil.example",
        "http://localhost@evil.example",
        "http://evil.example#localhost",
        "file://localhost",
        "chrome-extension://localhost",
        "null",
        "",
        "localhost",
        "http://[::1",
        "http://[evil]",
        "http://localhost:0x50:1@evil",
        "//localhost",
    ],
)
def test_a_foreign_or_malformed_origin_is_refused(gate: LiveGateway, origin: str) -> None:
    assert ping(gate, Origin=origin) == 403


@pytest.mark.parametrize(
    "origin", ["http://localhost", "http://localhost:3000", "https://127.0.0.1:1", "http://[::1]:9"]
)
def test_pages_of_this_machine_may_call(gate: LiveGateway, origin: str) -> None:
    assert ping(gate, Origin=origin) == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_host_and_origin_are_checked_for_every_method(gate: LiveGateway, method: str) -> None:
    assert gate.raw(head(method, "/mcp", {"Host": "evil.example"})).status == 403
    assert gate.raw(head(method, "/mcp", {"Origin": "http://evil.example"})).status == 403


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer a\r\nauthorization: Bearer b",
        "Origin: http://evil.example\r\norigin: http://localhost",
        "Content-Type: text/plain\r\ncontent-type: application/json",
        "Mcp-Session-Id: a\r\nmcp-session-id: b",
    ],
)
def test_a_header_that_decides_something_and_comes_twice_is_refused(gate: LiveGateway, header: str) -> None:
    name, _, value = header.partition(": ")
    assert gate.raw(head("POST", "/mcp", {"Content-Type": JSON["Content-Type"], name: value}, PING)).status == 400


def test_other_headers_may_come_twice(gate: LiveGateway) -> None:
    assert ping(gate, Accept="application/json\r\nAccept: text/event-stream", Cookie="a=1\r\nCookie: b=2") == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//mcp",
        "/mcp/",
        "/mcp//up",
        "/mcp/up/",
        "/MCP",
        "/mc%70",
        "/mcp%2Fup",
        "/mcp%2fup",
        "/mcp/%75p",
        "/mcp/../mcp",
        "/mcp/up/../up",
        "/mcp/%2e%2e/mcp",
        "/./mcp",
        "/mcp;x",
        "/mcp/up%00",
        "/mcp/UP",
        "/mcp/a/b",
        "/mcp/a%252fb",
        "/deep%2Fdoor",
        "/deep/../mcp",
        "/healthz/../mcp",
        "/mcp\\up",
        "http://localhost/mcp",
        "*",
    ],
)
def test_odd_paths_reach_no_door(gate: LiveGateway, path: str) -> None:
    assert gate.raw(head("POST", path, JSON, PING)).status in (400, 404)


@pytest.mark.parametrize(
    "path", ["/mcp", "/mcp?x=/mcp/up", "/mcp/up", "/mcp/a%2Fb", "/mcp/a%252Fb", "/mcp/%C3%BC", "/deep/door"]
)
def test_doors_are_reached_by_their_own_spelling(gate: LiveGateway, path: str) -> None:
    assert gate.raw(head("POST", path, JSON, PING)).status == 200


def test_servers_whose_encoded_names_look_alike_have_their_own_doors(gate: LiveGateway) -> None:
    doors = gate.gateway.relay.catalog.doors
    assert doors["/mcp/a%2Fb"].servers == ("a/b",)
    assert doors["/mcp/a%252Fb"].servers == ("a%2Fb",)


@pytest.mark.parametrize("path", ["/%68ealthz", "/healthz/", "/HEALTHZ", "/readyz%2f", "//readyz"])
def test_odd_paths_reach_no_plain_route(gate: LiveGateway, path: str) -> None:
    assert gate.raw(head("GET", path, {}), "GET").status in (400, 404, 405)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_405_and_name_what_is_allowed(gate: LiveGateway, method: str) -> None:
    answer = gate.raw(head(method, "/mcp", JSON), method)
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_connect_is_refused(gate: LiveGateway) -> None:
    assert gate.raw(head("CONNECT", "/mcp", {})).status == 400


def test_get_and_delete_need_a_session_and_the_modern_era_has_neither(gate: LiveGateway) -> None:
    stream, version = {"Accept": "text/event-stream"}, {"MCP-Protocol-Version": MODERN}
    assert gate.http("GET", "/mcp", stream).status == 405
    assert gate.http("DELETE", "/mcp", {}).status == 400
    session = {"Mcp-Session-Id": gate.session()}
    assert gate.http("GET", "/mcp", {**stream, **version, **session}).status == 405
    assert gate.http("DELETE", "/mcp", {**version, **session}).status == 405
    assert gate.http("GET", "/mcp", {**session, "Accept": "application/json"}).status == 406


def test_pipelined_requests_are_answered_in_their_order(gate: LiveGateway) -> None:
    bodies = [json.dumps(request("ping", None, number)).encode() for number in range(8)]
    with gate.connect(b"".join(head("POST", "/mcp", JSON, body) for body in bodies)) as connection:
        data = b""
        while data.count(b'"result"') < len(bodies):
            chunk = connection.recv(65536)
            assert chunk, data
            data += chunk
    places = [data.index(b'"id":%d,' % number) for number in range(8)]
    assert places == sorted(places)


def test_a_request_hidden_in_the_body_of_another_is_not_served(gate: LiveGateway) -> None:
    hidden = head("POST", "/mcp", JSON, PING)
    both = {**JSON, "Transfer-Encoding": "chunked", "Content-Length": "5"}
    with gate.connect(head("POST", "/mcp", both, b"0\r\n\r\n" + hidden)) as connection:
        assert read_answer(connection).status == 400
