import logging
from typing import Any

import pytest

from tests.fixtures.clock import fake_time  # noqa: F401
from tests.fixtures.fakes import CAPABILITIES, OWN_INFO, FakeConnection, tool
from upstreams import listing
from upstreams.errors import ConnectionLost, ErrorReply
from upstreams.listing import Listing, clean, read_kind, read_listing
from upstreams.negotiation import Peer

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "onegate")


class Pages:
    """Answers one page after the other; the last one again and again."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(params)
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]


async def names(kind: str, *pages: dict[str, Any]) -> list[str]:
    items, _ = await read_kind("one", kind, Pages(*pages))
    return [item[listing.KINDS[kind].name] for item in items]


async def test_pages_are_read_to_the_end_in_order() -> None:
    pages = Pages({"tools": [tool("b")], "nextCursor": "1"}, {"tools": [tool("a")], "nextCursor": ""}, {"tools": []})
    items, _ = await read_kind("one", "tools", pages)
    assert [item["name"] for item in items] == ["b", "a"]
    assert pages.asked == [{}, {"cursor": "1"}, {"cursor": ""}]


async def test_a_cursor_that_comes_again_ends_the_paging(caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages({"tools": [tool("a")], "nextCursor": "1"}, {"tools": [tool("b")], "nextCursor": "1"})
    items, _ = await read_kind("one", "tools", pages)
    assert [item["name"] for item in items] == ["a", "b"]
    assert len(pages.asked) == 2
    assert "cursor came a second time" in caplog.text


@pytest.mark.parametrize("cursor", [None, 1, True, ["x"], {}])
async def test_a_cursor_that_is_no_text_is_none(cursor: Any) -> None:
    assert await names("tools", {"tools": [tool("a")], "nextCursor": cursor}) == ["a"]


async def test_entries_over_the_cap_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listing, "MAX_ITEMS", 3)
    page = {"tools": [tool(str(at)) for at in range(5)], "nextCursor": "1"}
    assert await names("tools", page) == ["0", "1", "2"]
    assert "more than 3 entries" in caplog.text


async def test_pages_over_the_cap_are_not_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listing, "MAX_PAGES", 3)
    asked = list[Any]()

    async def endless(method: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append(params)
        return {"tools": [tool(str(len(asked)))], "nextCursor": str(len(asked))}

    items, _ = await read_kind("one", "tools", endless)
    assert (len(items), len(asked)) == (3, 3)
    assert "more than 3 pages" in caplog.text


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "tool",
        [],
        {},
        {"inputSchema": {}},
        tool(""),
        tool("x" * 1025),
        {"name": 3, "inputSchema": {}},
        {"name": ["x"], "inputSchema": {}},
        {"name": "x"},
        {"name": "x", "inputSchema": []},
        {"name": "x", "inputSchema": True},
        tool("x", description=3),
        tool("x", title=[]),
        tool("x", _meta=[]),
        tool("x\u200b"),
        tool("x\u202e"),
        tool("x\x00"),
        tool("x\n"),
        tool("x\ty"),
        tool("x\u2028y"),
        tool("x\U000e0041"),
        tool("good"),
    ],
    ids=repr,
)
async def test_a_malformed_entry_costs_only_itself_and_is_named(bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert await names("tools", {"tools": [tool("good"), bad, tool("better")]}) == ["good", "better"]
    assert caplog.text.count("left out a malformed entry") == 1


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("prompts", {"prompts": [{"name": "a"}, {}, {"name": "b"}]}),
        ("resources", {"resources": [{"uri": "a"}, {"name": "x"}, {"uri": "b"}]}),
        ("templates", {"resourceTemplates": [{"uriTemplate": "a"}, {"uri": "x"}, {"uriTemplate": "b"}]}),
    ],
)
async def test_each_kind_is_known_by_its_own_key(kind: str, page: dict[str, Any]) -> None:
    assert await names(kind, page) == ["a", "b"]


@pytest.mark.parametrize("page", [{}, {"tools": None}, {"tools": {}}, {"tools": "x"}])
async def test_a_page_without_a_list_is_empty(page: dict[str, Any]) -> None:
    assert await names("tools", page) == []


async def test_what_the_gateway_does_not_know_is_kept() -> None:
    item = tool("a", vendor={"x": [1]}, execution={"y": 1}, _meta={"z": 1}, icons=[{}])
    items, _ = await read_kind("one", "tools", Pages({"tools": [item]}))
    assert items == (item,)


async def test_invisible_characters_are_taken_out_of_texts() -> None:
    dirty = tool("a", title="T\u2066x\u2069", description="hel\u200blo\U000e0041\tw\norld\x07\xad")
    items, _ = await read_kind("one", "tools", Pages({"tools": [dirty]}))
    assert (items[0]["title"], items[0]["description"]) == ("Tx", "hello\tw\norld")


async def test_invisible_characters_are_taken_out_of_what_parameters_say() -> None:
    schema = {"type": "object", "properties": {"x": {"description": "a\u200bb", "default": "c\u200bd"}}}
    dirty = tool("a", inputSchema=schema, annotations={"title": "T\U000e0101"})
    items, _ = await read_kind("one", "tools", Pages({"tools": [dirty]}))
    assert items[0]["inputSchema"]["properties"]["x"] == {"description": "ab", "default": "c\u200bd"}
    assert items[0]["annotations"] == {"title": "T"}


def test_clean_keeps_what_people_write() -> None:
    text = "naïve\t日本語\r\n👍 “x”"
    assert clean(text) == text


@pytest.mark.parametrize(
    ("pages", "ttl"),
    [
        ([{"ttlMs": 500}], 500),
        ([{"ttlMs": 500, "nextCursor": "1"}, {"ttlMs": 300}], 300),
        ([{"ttlMs": 500, "nextCursor": "1"}, {}], 0),
        ([{}], 0),
        ([{"ttlMs": True}], 0),
        ([{"ttlMs": -1}], 0),
        ([{"ttlMs": "5"}], 0),
    ],
)
async def test_a_list_is_as_fresh_as_its_least_fresh_page(pages: list[dict[str, Any]], ttl: int) -> None:
    assert (await read_kind("one", "tools", Pages(*pages)))[1] == ttl


def peer(connection: FakeConnection, capabilities: Any = CAPABILITIES) -> Peer:
    return Peer("legacy", "v", connection, capabilities, "read\u200b me", {}, OWN_INFO)


FULL = {
    "tools__list": {"tools": [tool("t")]},
    "prompts__list": {"prompts": [{"name": "p"}]},
    "resources__list": {"resources": [{"uri": "r"}]},
    "resources__templates__list": {"resourceTemplates": [{"uriTemplate": "u"}]},
}


async def test_everything_is_listed_that_the_server_declares() -> None:
    found = await read_listing("one", peer(FakeConnection(**FULL)), Listing())
    assert {kind: len(found.of(kind)) for kind in listing.KINDS} == dict.fromkeys(listing.KINDS, 1)
    assert found.instructions == "read me"
    assert found.capabilities is CAPABILITIES


async def test_a_server_is_not_asked_for_what_it_does_not_declare() -> None:
    connection = FakeConnection(**FULL)
    found = await read_listing("one", peer(connection, {"prompts": {}}), Listing())
    assert connection.methods == ["prompts/list"]
    assert found.of("tools") == ()


async def test_only_the_kinds_asked_for_are_read_and_the_others_kept() -> None:
    known = await read_listing("one", peer(FakeConnection(**FULL)), Listing())
    connection = FakeConnection(tools__list={"tools": [tool("new")]})
    found = await read_listing("one", peer(connection), known, frozenset({"tools"}))
    assert connection.methods == ["tools/list"]
    assert [item["name"] for item in found.of("tools")] == ["new"]
    assert found.of("prompts") == known.of("prompts")


async def test_a_kind_that_cannot_be_read_keeps_what_was_known(caplog: pytest.LogCaptureFixture) -> None:
    known = await read_listing("one", peer(FakeConnection(**FULL)), Listing())
    broken = FakeConnection(**{**FULL, "tools__list": ErrorReply(-32603, "out of order")})
    found = await read_listing("one", peer(broken), known)
    assert found.of("tools") == known.of("tools")
    assert "out of order" in caplog.text


async def test_an_error_on_a_later_page_loses_nothing_that_was_known() -> None:
    known = await read_listing("one", peer(FakeConnection(**FULL)), Listing())
    second = FakeConnection(
        **{
            **FULL,
            "tools__list": lambda call: (
                ErrorReply(-32603, "no") if call.params.get("cursor") else {"tools": [tool("x")], "nextCursor": "1"}
            ),
        }
    )
    assert (await read_listing("one", peer(second), known)).of("tools") == known.of("tools")


async def test_a_server_without_templates_is_no_reason_for_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    without = {key: value for key, value in FULL.items() if "templates" not in key}
    found = await read_listing("one", peer(FakeConnection(**without)), Listing())
    assert (found.of("templates"), len(found.of("resources"))) == ((), 1)
    assert caplog.text == ""


async def test_a_lost_connection_ends_the_reading() -> None:
    with pytest.raises(ConnectionLost):
        await read_listing("one", peer(FakeConnection(tools__list=ConnectionLost("gone"))), Listing())
