from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.catalog import Door
from tests.fixtures.fakes import tool
from tests.fixtures.listings import Doors, config, listing


def as_it_is(item: dict[str, Any]) -> dict[str, Any]:
    return item


def door(count: int, size: int = 100) -> Door:
    tools = [tool(f"t{at}", description="x" * (size + at % 7)) for at in range(count)]
    return Doors(config("a")).see("a", listing(*tools)).doors["/mcp/a"]


@pytest.mark.parametrize("limit", [1, 150, 151, 500, 1000, 4999, 10**9])
def test_pages_are_complete_in_order_and_under_the_limit(limit: int) -> None:
    found, names, start = door(40), list[str](), 0
    while start is not None:
        page, start = found.page("tools", as_it_is, start, limit)
        raw = orjson.dumps(page)
        items = orjson.loads(raw)
        assert items
        assert len(items) == 1 or len(raw) <= limit + 2
        names += [item["name"] for item in items]
    assert names == [f"t{at}" for at in range(40)]


def test_without_a_limit_there_is_one_page() -> None:
    page, following = door(40).page("tools", as_it_is, 0, None)
    assert (len(orjson.loads(orjson.dumps(page))), following) == (40, None)


def test_an_empty_list_is_one_empty_page() -> None:
    page, following = door(0).page("tools", as_it_is, 0, 10)
    assert (orjson.dumps(page), following) == (b"[]", None)


def test_a_list_is_encoded_once_for_each_shape() -> None:
    found, shaped = door(3), list[str]()

    def shape(item: dict[str, Any]) -> dict[str, Any]:
        shaped.append(item["name"])
        return {"name": item["name"].upper()}

    for _ in range(5):
        page, _ = found.page("tools", shape, 0, None)
    assert orjson.loads(orjson.dumps(page)) == [{"name": "T0"}, {"name": "T1"}, {"name": "T2"}]
    assert len(shaped) == 3
    assert b'"t0"' in orjson.dumps(found.page("tools", as_it_is, 0, None)[0])


def test_a_view_encodes_only_what_it_shows_and_the_door_only_the_rest() -> None:
    found, shaped = door(4), list[str]()

    def shape(item: dict[str, Any]) -> dict[str, Any]:
        shaped.append(item["name"])
        return item

    view = replace(found, tools={name: found.tools[name] for name in ("t2", "t1")}, view="v", whole=found)
    assert [one["name"] for one in orjson.loads(orjson.dumps(view.page("tools", shape, 0, None)[0]))] == ["t2", "t1"]
    assert shaped == ["t2", "t1"]
    assert len(orjson.loads(orjson.dumps(found.page("tools", shape, 0, None)[0]))) == 4
    assert shaped == ["t2", "t1", "t0", "t3"]


def test_a_listed_uri_comes_before_a_template_and_an_earlier_template_before_a_later() -> None:
    doors = Doors(config("a", "b"))
    doors.see("a", listing(templates=["x://{id}"]))
    doors.see("b", listing(resources=["x://1"], templates=["x://{+all}"]))
    found = doors.catalog.doors["/mcp"]
    assert found.resource("x://1") == ("b", "x://1")
    assert found.resource("x://2") == ("a", "x://2")
    assert found.resource("x://2/3") == ("b", "x://2/3")
    assert found.resource("y://1") is None
