from typing import Any

import pytest

from gateway.catalog import Door
from tests.fixtures.fakes import entry, tool
from tests.fixtures.listings import Doors, config, listing

HEADED = {"type": "object", "properties": {"org": {"type": "string", "x-mcp-header": "Org"}}}
BADLY_HEADED = {"type": "object", "properties": {"org": {"type": "object", "x-mcp-header": "Org"}}}


def one(settings: Any, path: str, **listings: Any) -> Door:
    doors = Doors(settings)
    for name, seen in listings.items():
        doors.see(name, seen, starting=True)
    return doors.catalog.doors[path]


def test_the_common_door_prefixes_and_a_servers_own_door_does_not() -> None:
    doors = Doors(config("a", entry("b", prefix="bee")))
    doors.see("a", listing("x", prompts=["p"]))
    doors.see("b", listing("x", prompts=["p"]))
    found = doors.catalog.doors
    assert list(found) == ["/mcp", "/mcp/a", "/mcp/b"]
    assert list(found["/mcp"].tools) == ["a_x", "bee_x"]
    assert list(found["/mcp"].prompts) == ["a_p", "bee_p"]
    assert (list(found["/mcp/a"].tools), list(found["/mcp/b"].tools)) == (["x"], ["x"])
    assert found["/mcp"].tools["bee_x"].own_name == "x"
    assert found["/mcp"].tools["bee_x"].shown["name"] == "bee_x"


@pytest.mark.parametrize(
    ("prefix", "upstreams", "names"),
    [
        ("auto", ["a"], ["x"]),
        ("auto", ["a", "b"], ["a_x", "b_y"]),
        ("never", ["a", "b"], ["x", "y"]),
        ("always", ["a"], ["a_x"]),
        ("auto", ["b", "a"], ["b_y", "a_x"]),
    ],
)
def test_a_route_prefixes_as_it_says(prefix: str, upstreams: list[str], names: list[str]) -> None:
    settings = config("a", "b", routes={"/r": {"upstreams": upstreams, "prefix": prefix}})
    assert list(one(settings, "/r", a=listing("x"), b=listing("y")).tools) == names


def test_doors_can_be_removed_redefined_and_need_their_names_encoded() -> None:
    assert list(Doors(config("a b/c", path=None)).catalog.doors) == ["/mcp/a%20b%2Fc"]
    assert list(Doors(config("a", path="/")).catalog.doors) == ["/", "/a"]
    assert list(Doors(config("a", per_server_doors=False)).catalog.doors) == ["/mcp"]
    settings = config("a", routes={"/mcp": {"upstreams": ["a"]}})
    assert list(one(settings, "/mcp", a=listing("x")).tools) == ["x"]


def test_globs_of_the_entry_and_of_the_route_are_on_the_servers_own_names() -> None:
    server = entry("a", tools={"include": ["list_*", "get_*"], "exclude": ["*_secret"]}, prefix="p")
    route = {"upstreams": ["a"], "prefix": "always", "tools": {"include": ["list_*"], "exclude": ["list_b"]}}
    settings = config(server, routes={"/r": route})
    seen = listing("list_a", "list_b", "get_a", "list_secret", "delete_a")
    assert list(one(settings, "/mcp", a=seen).tools) == ["p_list_a", "p_list_b", "p_get_a"]
    assert list(one(settings, "/r", a=seen).tools) == ["p_list_a"]


def test_an_override_changes_name_description_and_timeout_and_nothing_else() -> None:
    overrides = {"x": {"name": "new", "description": "better", "timeout": "120s"}}
    server = entry("a", tools={"overrides": overrides}, timeout="30s", max_timeout="100s")
    door = one(config(server), "/mcp", a=listing(tool("x", description="old", vendor=1), "y"))
    assert door.tools["a_new"].shown == tool("a_new", description="better", vendor=1)
    assert (door.tools["a_new"].own_name, door.tools["a_new"].limits) == ("x", (120.0, 120.0))
    assert door.tools["a_y"].limits == (30.0, 100.0)


def test_a_timeout_is_the_overrides_then_the_routes_then_the_servers() -> None:
    server = entry("a", tools={"overrides": {"x": {"timeout": "1s"}}}, timeout="3s")
    door = one(config(server, routes={"/r": {"upstreams": ["a"], "timeout": "2s"}}), "/r", a=listing("x", "y"))
    assert (door.tools["x"].limits[0], door.tools["y"].limits[0]) == (1.0, 2.0)


def test_arguments_that_are_set_are_not_shown_and_defaults_are_not_required() -> None:
    schema = {
        "type": "object",
        "properties": {"org": {"type": "string"}, "draft": {"type": "boolean"}, "title": {"type": "string"}},
        "required": ["org", "draft", "title"],
    }
    arguments = {"default": {"draft": True}, "set": {"org": "acme"}}
    server = entry("a", tools={"overrides": {"x": {"arguments": arguments}}})
    route = one(config(server), "/mcp", a=listing(tool("x", inputSchema=schema))).tools["a_x"]
    assert route.shown["inputSchema"] == {
        "type": "object",
        "properties": {"draft": {"type": "boolean", "default": True}, "title": {"type": "string"}},
        "required": ["title"],
    }
    assert route.schema == schema
    assert route.outgoing({"title": "t", "org": "mine"}) == {"draft": True, "title": "t", "org": "acme"}
    assert schema["required"] == ["org", "draft", "title"]


def test_an_argument_that_is_set_still_travels_in_its_header_though_callers_do_not_know_it() -> None:
    server = entry("a", tools={"overrides": {"x": {"arguments": {"set": {"org": "acme"}}}}})
    route = one(config(server), "/mcp", a=listing(tool("x", inputSchema=HEADED))).tools["a_x"]
    assert (dict(route.mirrored), dict(route.parameters)) == ({}, {("org",): ("Org", "string")})


def test_at_start_the_server_that_is_first_in_the_config_has_the_name(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors(config(entry("a", prefix="a"), entry("a_b", prefix="a_b")))
    doors.see("a_b", listing("c", prompts=["c"]), starting=True)
    doors.see("a", listing("b_c", prompts=["b_c"]), starting=True)
    door = doors.catalog.doors["/mcp"]
    assert (door.tools["a_b_c"].server, door.prompts["a_b_c"].server) == ("a", "a")
    assert "the tool name a_b_c is taken by a; a_b's is left out" in caplog.text
    assert "the prompt name a_b_c is taken by a; a_b's is left out" in caplog.text


def test_later_the_owner_keeps_a_name_and_a_newcomer_is_left_out_until_the_owner_gives_it_up() -> None:
    doors = Doors(config("a", "a_b"))
    doors.see("a_b", listing("c"))
    doors.see("a", listing("b_c"))
    assert doors.catalog.doors["/mcp"].tools["a_b_c"].server == "a_b"
    doors.see("a_b", listing("d", "c"))
    assert doors.catalog.doors["/mcp"].tools["a_b_c"].server == "a_b"
    doors.see("a_b", listing("d"))
    assert doors.catalog.doors["/mcp"].tools["a_b_c"].server == "a"
    doors.see("a_b", listing("c", "d"))
    assert doors.catalog.doors["/mcp"].tools["a_b_c"].server == "a"


def test_two_tools_of_one_server_that_meet_in_a_name_follow_the_same_rule(caplog: pytest.LogCaptureFixture) -> None:
    doors = Doors(config("a"))
    doors.see("a", listing("x.y"))
    doors.see("a", listing("x y", "x.y"))
    assert doors.catalog.doors["/mcp/a"].tools["x_y"].own_name == "x.y"
    doors.see("a", listing("x y", "x.y"))
    assert caplog.text.count("/mcp/a: the tool name x_y is taken") == 1


def test_a_uri_that_two_servers_list_is_marked_at_the_second() -> None:
    doors = Doors(config("a", "b c"))
    doors.see("a", listing(resources=["x://1"], templates=["x://{id}"]))
    doors.see("b c", listing(resources=["x://1", "x://2"], templates=["x://{id}", "y://{id}"]))
    door = doors.catalog.doors["/mcp"]
    assert list(door.resources) == ["x://1", "b-c+x://1", "x://2"]
    assert list(door.templates) == ["x://{id}", "b-c+x://{id}", "y://{id}"]
    assert door.resources["b-c+x://1"].shown["uri"] == "b-c+x://1"
    assert door.resource("b-c+x://1") == ("b c", "x://1")
    assert door.resource("b-c+x://77") == ("b c", "x://77")
    assert door.resource("x://77") == ("a", "x://77")
    assert (door.outward("b c", "x://1"), door.outward("a", "x://1")) == ("b-c+x://1", "x://1")
    assert list(doors.catalog.doors["/mcp/b%20c"].resources) == ["x://1", "x://2"]


def test_a_uri_stays_with_its_owner_when_an_earlier_server_comes_later() -> None:
    doors = Doors(config("a", "b"))
    doors.see("b", listing(resources=["x://1"]))
    doors.see("a", listing(resources=["x://1"]))
    door = doors.catalog.doors["/mcp"]
    assert (door.resource("x://1"), door.resource("a+x://1")) == (("b", "x://1"), ("a", "x://1"))
    assert list(door.resources) == ["a+x://1", "x://1"]
    doors.see("b", listing())
    assert doors.catalog.doors["/mcp"].resource("x://1") == ("a", "x://1")


def test_a_mark_never_takes_a_uri_that_another_server_lists() -> None:
    doors = Doors(config("a", "b", "c"))
    doors.see("c", listing(resources=["b+x://1"]))
    doors.see("a", listing(resources=["x://1"]))
    doors.see("b", listing(resources=["x://1"]))
    assert doors.catalog.doors["/mcp"].resource("b+x://1") == ("c", "b+x://1")


def test_an_invalid_header_annotation_drops_the_tool_of_a_url_and_only_itself_on_a_pipe(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = listing(tool("bad", inputSchema=BADLY_HEADED), tool("good", inputSchema=HEADED))
    door = one(config(entry("a", url="http://h/mcp"), "b"), "/mcp", a=seen, b=seen)
    assert list(door.tools) == ["a_good", "b_bad", "b_good"]
    assert "x-mcp-header" not in str(door.tools["b_bad"].shown)
    assert "x-mcp-header" in str(door.tools["b_good"].shown)
    assert caplog.text.count("a: left out the tool bad: x-mcp-header of 'org'") == 1


def test_a_door_is_used_again_when_another_server_changed() -> None:
    doors = Doors(config("a", "b"))
    doors.see("a", listing("x"))
    before = doors.catalog
    doors.see("b", listing("y"))
    assert doors.catalog.doors["/mcp/a"] is before.doors["/mcp/a"]
    assert doors.catalog.doors["/mcp"] is not before.doors["/mcp"]


def test_a_list_has_a_new_number_only_when_what_clients_see_of_it_changed() -> None:
    doors = Doors(config("a"))
    first = doors.see("a", listing("x", prompts=["p"])).doors["/mcp"]
    same = doors.see("a", listing("x", prompts=["p"])).doors["/mcp"]
    other = doors.see("a", listing(tool("x", description="new"), prompts=["p"])).doors["/mcp"]
    order = doors.see("a", listing(prompts=["q", "p"])).doors["/mcp"]
    assert first.generations == same.generations
    assert {kind for kind in other.generations if not other.same_list(same, kind)} == {"tools"}
    assert {kind for kind in order.generations if not order.same_list(other, kind)} == {"tools", "prompts"}


def test_a_merged_list_is_as_fresh_as_the_least_fresh_part() -> None:
    fresh = {"tools": 500, "prompts": 500}
    door = one(config("a", "b"), "/mcp", a=listing(ttl=fresh), b=listing(ttl={"tools": 300}))
    assert (door.ttl["tools"], door.ttl["prompts"]) == (300, 0)


def test_lists_come_in_the_order_of_the_config_whoever_was_first() -> None:
    doors = Doors(config("a", "b", "c"))
    for name in ("c", "a", "b"):
        doors.see(name, listing("z", "y"))
    assert list(doors.catalog.doors["/mcp"].tools) == ["a_z", "a_y", "b_z", "b_y", "c_z", "c_y"]
