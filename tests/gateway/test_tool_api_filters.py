"""Headers and keys that narrow, at the tool API and MCP alike: what they let through is listed and callable."""

import time
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from tests.fixtures.guarded import BUILD, NARROW, TOOLS, Guarded, guarded, signed
from tests.fixtures.live_gateway import Message, request
from tests.fixtures.matrix import clients, differences
from tests.fixtures.tool_api import FORMATS, error, execute, item, listed

ADMIN, VIEWER = signed("admin"), signed("viewer")
CLIENTS_HEADER, TOOLS_HEADER = "X-Mcp-Include-Clients", "X-Mcp-Include-Tools"
BIFROST = {CLIENTS_HEADER: "X-Bf-Mcp-Include-Clients", TOOLS_HEADER: "X-Bf-Mcp-Include-Tools"}
EVERYTHING = [f"{server}_{own}" for server, owns in TOOLS.items() for own in owns]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("gate"), policy="allow_all") as one:
        yield one


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("strict")) as one:
        yield one


FILTERS: dict[str, tuple[Message, str, tuple[str, ...]]] = {
    # headers; a glob on the tools that are left; the servers whose prompts and resources are
    "absent": ({}, "*", ("alpha", "beta")),
    "empty clients": ({CLIENTS_HEADER: ""}, "", ()),
    "empty tools": ({TOOLS_HEADER: ""}, "", ()),
    "any client": ({CLIENTS_HEADER: "*"}, "*", ("alpha", "beta")),
    "any tool": ({TOOLS_HEADER: "*"}, "*", ("alpha", "beta")),
    "one client": ({CLIENTS_HEADER: "beta"}, "beta_*", ("beta",)),
    "unknown client": ({CLIENTS_HEADER: "gamma,BETA, bet*"}, "", ()),
    "client_*": ({TOOLS_HEADER: "alpha_*"}, "alpha_*", ("alpha",)),
    "client_tool": ({TOOLS_HEADER: "nobody_x, alpha_get-00"}, "alpha_get-00", ("alpha",)),
    "a glob": ({TOOLS_HEADER: "*_drop-*"}, "*_drop-*", ()),
    "both": ({CLIENTS_HEADER: "beta", TOOLS_HEADER: "*_drop-*,beta_run-00,alpha_*"}, "beta_[dr][ru][on]*", ("beta",)),
    "nothing in common": ({CLIENTS_HEADER: "beta", TOOLS_HEADER: "alpha_*"}, "", ()),
    "both spellings": (
        {TOOLS_HEADER: "alpha_*", BIFROST[TOOLS_HEADER]: "*_get-*,beta_*"},
        "alpha_get-*",
        (),
    ),
}


@pytest.mark.parametrize("bifrost", [False, True])
@pytest.mark.parametrize("name", FILTERS)
def test_what_headers_let_through_is_listed_and_callable_in_every_way_of_speaking(
    gate: Guarded, name: str, bifrost: bool
) -> None:
    headers, tools, servers = FILTERS[name]
    if bifrost:
        others = {value: key for key, value in BIFROST.items()}
        headers = {BIFROST.get(key, others.get(key, key)): value for key, value in headers.items()}

    def sees(kind: str, server: str, own: str) -> bool:
        return fnmatchcase(f"{server}_{own}", tools) if kind == "tools" else server in servers

    found = {way: differences(client, sees) for way, client in clients(gate.live.port, headers, "/mcp")}
    assert found == {way: [] for way in found}


def test_a_header_that_comes_twice_narrows_twice(gate: Guarded) -> None:
    twice = f"{TOOLS_HEADER}: alpha_*\r\n{TOOLS_HEADER}: *_get-00\r\n"
    data = f"GET /v1/mcp/tools?format=mcp HTTP/1.1\r\nHost: localhost\r\n{twice}\r\n".encode()
    answer = gate.live.raw(data, "GET")
    assert [one["name"] for one in answer.json["tools"]] == ["alpha_get-00"]


def test_a_filter_never_widens_what_policy_grants(strict: Guarded) -> None:
    viewer = listed(strict.live, headers=VIEWER)
    assert viewer == [name for name in EVERYTHING if "_list-" in name]
    for headers in ({TOOLS_HEADER: "*"}, {TOOLS_HEADER: "*_drop-*"}, {CLIENTS_HEADER: "*"}):
        assert set(listed(strict.live, headers={**VIEWER, **headers})) <= set(viewer)
        assert execute(strict.live, item("alpha_drop-00"), headers={**VIEWER, **headers}).status == 403


def test_what_is_filtered_out_answers_like_what_never_was(strict: Guarded) -> None:
    headers = {**ADMIN, TOOLS_HEADER: "beta_*"}
    for form in FORMATS:
        out, never = (
            execute(strict.live, item(name, form=form), f"format={form}", headers)
            for name in ("alpha_drop-00", "alpha_drop-zz")
        )
        assert (out.status, error(out)["type"]) == (403, "tool_execution_error")
        assert out.body.replace(b"drop-00", b"drop-zz") == never.body


def test_a_filter_without_end_is_refused_at_every_door(gate: Guarded) -> None:
    headers = {TOOLS_HEADER: ",".join(f"t{at}" for at in range(257))}
    answer = execute(gate.live, item("alpha_get-00"), headers=headers)
    assert (answer.status, error(answer)["type"]) == (400, "invalid_request_error")
    assert gate.live.post(request("tools/list"), headers).status == 400


@pytest.mark.parametrize("glob", ["a*" * 25_000, "[" * 50_000, "?*" * 25_000, "*" * 50_000])
def test_a_hostile_glob_holds_nobody_up(gate: Guarded, glob: str) -> None:
    started = time.perf_counter()
    names = listed(gate.live, headers={TOOLS_HEADER: glob})
    assert names == (EVERYTHING if set(glob) == {"*"} else [])
    assert time.perf_counter() - started < 2  # compiled, one of these takes longer


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "x-bf-vk"])
def test_a_key_is_taken_from_any_of_its_headers(strict: Guarded, header: str) -> None:
    key = {header: f"Bearer {NARROW}" if header == "Authorization" else NARROW}
    assert listed(strict.live, headers=key) == []  # the policy grants it nothing
    build = {header: f"Bearer {BUILD}" if header == "Authorization" else BUILD}
    expected = [f"alpha_{own}" for own in TOOLS["alpha"] if not own.startswith("drop-")] + ["beta_run-00"]
    assert listed(strict.live, headers=build) == expected
    assert execute(strict.live, item("beta_run-00", {"env": "dev"}), headers=build).status == 200
    assert execute(strict.live, item("beta_run-00", {"env": "prod"}), headers=build).status == 403


@pytest.mark.parametrize("header", ["x-api-key", "x-bf-vk"])
def test_a_key_beside_a_token_only_narrows(strict: Guarded, header: str) -> None:
    both = {**ADMIN, header: NARROW}
    assert listed(strict.live, headers=both) == [f"alpha_{own}" for own in TOOLS["alpha"] if own.startswith("get-")]
    assert execute(strict.live, item("alpha_get-00"), headers=both).status == 200
    assert execute(strict.live, item("alpha_list-00"), headers=both).status == 403
    less = {**both, TOOLS_HEADER: "alpha_get-01,beta_*"}
    assert listed(strict.live, headers=less) == ["alpha_get-01"]
    viewer = {**VIEWER, header: BUILD}  # a key that reaches more gives nothing to the token
    assert listed(strict.live, headers=viewer) == listed(strict.live, headers=VIEWER)


def test_the_main_door_as_a_route_has_it_is_the_tool_apis_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    route = {"upstreams": ["alpha", "beta"], "scopes": ["tools.read"], "policy": {"deny": ['mcp.target == "beta"']}}
    with guarded(tmp_path_factory.mktemp("gate"), routes={"/mcp": route}) as gate:
        for who in (ADMIN, signed("viewer", scope="other")):
            answer = execute(gate.live, item("alpha_list-00"), headers=who)
            assert (answer.status, error(answer)["type"]) == (403, "authentication_error")
            assert 'scope="tools.read"' in answer.headers["www-authenticate"]
        assert execute(gate.live, item("alpha_list-00")).status == 401
        scoped = signed("admin", scope="tools.read")
        assert execute(gate.live, item("alpha_list-00"), headers=scoped).status == 200
        assert execute(gate.live, item("beta_list-00"), headers=scoped).status == 403
        assert listed(gate.live, headers=scoped) == [name for name in EVERYTHING if name.startswith("alpha_")]
