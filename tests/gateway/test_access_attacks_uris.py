"""Resources under another spelling of their URI, asked for over HTTP: one spelling is read, and rules hold for all."""

import json
from collections.abc import Iterator

import pytest

from gateway.uris import is_normal
from tests.fixtures.live_gateway import Answer, LiveGateway, Message, live_gateway, request
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream
from upstreams.headers import encode_value

E = "\u00e9"  # e with an acute accent, as an IRI holds it
LISTED = [f"raw://iri/{E}", "raw://lower/%c3%a9", "RAW://Upper/x", "raw://normal/%C3%A9", "raw://dotted/%2e%2e/x"]
RESPELLED = {
    f"raw://iri/{E}": ["raw://iri/%C3%A9", "raw://iri/%c3%a9", "raw://%69ri/%C3%A9", "RAW://iri/%C3%A9"],
    "raw://lower/%c3%a9": [f"raw://lower/{E}", "raw://lower/%C3%A9", "raw://lower/%C3%a9", "raw://low%65r/%c3%a9"],
    "RAW://Upper/x": ["raw://upper/x", "RAW://upper/x", "raw://Upper/x", "RAW://Upper/%78"],
    "raw://normal/%C3%A9": [f"raw://normal/{E}", "raw://normal/%c3%a9", "raw://normal/%C3%a9", "Raw://normal/%C3%A9"],
    "raw://dotted/%2e%2e/x": ["raw://dotted/../x", "raw://dotted/%2E%2E/x", "raw://dotted/.%2e/x"],
}
UNLISTED = [f"raw://free/{E}", "raw://free/%c3%a9", "raw://free/%C3%a9", "raw://free/%41", "raw://free/a|b",
            "raw://free/%", "raw://free/%2E", "raw://free?x=%2e", "RAW://free/x", "raw://free/a b"]  # fmt: skip
NAMES = ["raw://iri/%s", "raw://lower/%s", "raw://normal/%s", "raw://notes/%s", "raw://free/%s"]
DENIED = {
    "/as-iri": [name.replace("%s", E) for name in NAMES],
    "/as-uri": [name.replace("%s", "%C3%A9") for name in NAMES],
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        one.answers_to |= {
            "resources/list": {"resources": [{"uri": uri, "name": "r"} for uri in LISTED]},
            "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "raw://notes/{+id}", "name": "n"}]},
            "resources/read": lambda params: {"contents": [{"uri": params["uri"], "text": "x"}]},
        }
        yield one


@pytest.fixture(scope="module")
def gate(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    routes: Message = {
        path: {"upstreams": ["a"], "policy": {"deny": [f"mcp.resource.uri == {json.dumps(uri)}" for uri in uris]}}
        for path, uris in DENIED.items()
    }
    with raw_upstream("legacy") as other, live_gateway(
        tmp_path_factory.mktemp("gate"),
        {"mcpServers": {"a": {"url": upstream.url}, "b": {"url": other.url}}, "routes": routes},
    ) as live:  # fmt: skip
        yield live


def read(gate: LiveGateway, uri: str, path: str) -> Answer:
    return gate.post(request("resources/read", {"uri": uri}), path=path)


def refused(gate: LiveGateway, upstream: RawUpstream, uri: str, path: str) -> bool:
    """Whether a resource is one that never was, for reading, subscribing and every way of speaking."""
    before = len(upstream.seen)
    answer = read(gate, uri, path)
    if answer.code is None:
        return False
    assert answer.json["error"] == {"code": -32002, "message": f"Resource not found: {uri}", "data": {"uri": uri}}
    session = gate.session(path)
    for method in ("resources/read", "resources/subscribe"):
        assert gate.legacy(session, request(method, {"uri": uri}), path).code == -32002
    assert gate.modern("resources/read", {"uri": uri}, {"Mcp-Name": encode_value(uri)}, path).code == -32602
    assert len(upstream.seen) == before
    return True


@pytest.mark.parametrize("path", ["/mcp", "/mcp/a"])
@pytest.mark.parametrize("listed", LISTED)
def test_what_is_listed_is_read_as_it_is_listed_and_in_no_other_spelling(
    gate: LiveGateway, upstream: RawUpstream, listed: str, path: str
) -> None:
    answer = read(gate, listed, path)
    assert answer.json["result"]["contents"][0]["uri"] == listed
    assert json.loads(upstream.bodies("resources/read")[-1])["params"]["uri"] == listed
    assert all(refused(gate, upstream, other, path) for other in RESPELLED[listed])


@pytest.mark.parametrize("uri", UNLISTED)
def test_what_is_not_listed_goes_upstream_in_normal_form_only(
    gate: LiveGateway, upstream: RawUpstream, uri: str
) -> None:
    assert not is_normal(uri)
    assert refused(gate, upstream, uri, "/mcp/a")
    assert refused(gate, upstream, uri.replace("free", "notes"), "/mcp")
    for normal in ("raw://free/%C3%A9", "raw://free/A", "raw://notes/%C3%A9"):
        assert read(gate, normal, "/mcp/a").code is None


@pytest.mark.parametrize("path", DENIED)
def test_a_rule_that_denies_one_spelling_denies_all(gate: LiveGateway, upstream: RawUpstream, path: str) -> None:
    shown = gate.post(request("resources/list"), path=path).json["result"]["resources"]
    assert [one["uri"] for one in shown] == ["RAW://Upper/x", "raw://dotted/%2e%2e/x"]
    for name in NAMES:
        for spelling in (E, "%C3%A9", "%c3%a9", "%C3%a9", "%c3%A9"):
            assert refused(gate, upstream, name.replace("%s", spelling), path), (name, spelling)
    for other in ("raw://notes/e", "raw://notes/%C3%A8", "raw://free/e", "RAW://Upper/x"):
        assert read(gate, other, path).code is None


def test_completing_a_uri_in_another_spelling_asks_nobody(gate: LiveGateway, upstream: RawUpstream) -> None:
    before = len(upstream.seen)
    for uri in ("raw://notes/%41", f"raw://notes/{E}", "RAW://notes/x", "raw://notes/../x"):
        ref = {"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "id", "value": ""}}
        assert gate.post(request("completion/complete", ref), path="/mcp/a").code == -32002
    assert len(upstream.seen) == before
