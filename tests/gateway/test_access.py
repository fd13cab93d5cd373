"""Views of doors: what they leave out, for whom they are made, how often, and how long that holds the event loop."""

import asyncio
import gc
import tracemalloc
import weakref
from typing import Any

import pytest

from gateway import access as module
from gateway.access import Access
from gateway.api_keys import ToolFilter
from gateway.catalog import Catalog, Door
from gateway.changes import Changes
from gateway.errors import RateLimited
from policies.config import RateLimitConfig
from policies.limits import RateLimits
from policies.model import ANONYMOUS, Caller, Identity
from policies.rules import Policy
from tests.fixtures.fakes import tool
from tests.fixtures.listings import Doors, config, listing
from tests.fixtures.rules import policy_of

pytestmark = pytest.mark.anyio

READ_ONLY = policy_of(allow=['jwt.role == "admin"', 'mcp.tool.name.startsWith("list-")'])
LISTS = policy_of(allow=['mcp.tool.name.startsWith("list-")'])
LISTS_ONLY = ToolFilter(("*list-*",), ())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def caller(role: Any, sub: str = "ada", **request: Any) -> Caller:
    return Caller(Identity("jwt", sub, "issuer", {"role": role}), path="/mcp", **request)


def door(*tools: Any, path: str = "/mcp", **kinds: Any) -> Door:
    doors = Doors(config("a"))
    return doors.see("a", listing(*tools, **kinds)).doors[path]


class Counted:
    """Counts the decisions that a view takes."""

    def __init__(self, access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
        self.standings = 0
        policies = access.policies("/mcp")
        judged = policies.standing

        def standing(one: Caller, target: Any) -> Any:
            self.standings += 1
            return judged(one, target)

        monkeypatch.setattr(policies, "standing", standing)


async def test_without_rules_and_filters_a_view_is_the_door_itself() -> None:
    whole = door("x")
    assert await Access().view(whole, caller("viewer")) is whole


async def test_a_view_holds_what_the_caller_reaches_in_the_order_of_the_list() -> None:
    whole = door("list-b", "drop", "list-a")
    viewer = await Access(READ_ONLY).view(whole, caller("viewer"))
    assert list(viewer.tools) == ["a_list-b", "a_list-a"]
    assert list((await Access(READ_ONLY).view(whole, caller("admin"))).tools) == list(whole.tools)
    assert viewer.view


async def test_every_kind_of_target_is_judged_under_the_servers_own_name() -> None:
    policy = policy_of(
        allow=['mcp.prompt.name == "p"', 'mcp.resource.uri.startsWith("x://open")', 'mcp.tool.name == "t"']
    )
    whole = door(
        "t", "u", prompts=["p", "q"], resources=["x://open", "x://shut"], templates=["x://open/{id}", "y://{id}"]
    )
    seen = await Access(policy).view(whole, caller("any"))
    assert (list(seen.tools), list(seen.prompts)) == (["a_t"], ["a_p"])
    assert (list(seen.resources), list(seen.templates)) == (["x://open"], ["x://open/{id}"])


async def test_every_filter_must_let_a_tool_through_by_its_canonical_name_at_every_door() -> None:
    for path in ("/mcp", "/mcp/a"):
        whole = door("list-a", "list-b", "drop", path=path)
        seen = await Access().view(whole, caller("x"), (LISTS_ONLY, ToolFilter(("a_*",), ("a_list-b",))))
        assert [route.own_name for route in seen.tools.values()] == ["list-a"]


async def test_a_view_is_made_once_for_all_of_whom_the_rules_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    access, whole = Access(READ_ONLY), door("list-a", "drop")
    counted = Counted(access, monkeypatch)
    first = await access.view(whole, caller("viewer", "ada"))
    assert await access.view(whole, caller("viewer", "bob", host="h", address="1.2.3.4")) is first
    assert counted.standings == 2


async def test_callers_that_come_together_share_one_making(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.0)
    access, whole = Access(READ_ONLY), door(*(f"list-{at}" for at in range(200)))
    counted = Counted(access, monkeypatch)
    views = await asyncio.gather(*(access.view(whole, caller("viewer", f"sub{at}")) for at in range(20)))
    assert all(view is views[0] for view in views)
    assert counted.standings == 200


async def test_who_waits_for_a_view_gets_one_when_its_maker_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.0)
    access, whole = Access(READ_ONLY), door(*(f"list-{at}" for at in range(200)))
    async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:
        maker = group.create_task(access.view(whole, caller("viewer")))
        waiter = group.create_task(access.view(whole, caller("viewer")))
        await asyncio.sleep(0)
        maker.cancel()
    assert maker.cancelled()
    assert len(waiter.result().tools) == 200


async def test_the_loop_gets_its_turn_while_a_view_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.0)
    access, whole = Access(READ_ONLY), door(*(f"list-{at}" for at in range(1000)))
    making = asyncio.ensure_future(access.view(whole, caller("viewer")))
    turns = 0
    while not making.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 1000 // module.CHECK_EVERY


@pytest.mark.parametrize("other", [1, 1.0, "1", "true", None, [True], {"a": 1}])
async def test_views_are_remembered_with_the_types_of_claims(other: Any) -> None:
    access, whole = Access(policy_of(allow=["type(jwt.role) == bool && jwt.role == true"])), door("t")
    assert list((await access.view(whole, caller(True))).tools) == ["a_t"]
    assert list((await access.view(whole, caller(other))).tools) == []
    assert list((await access.view(whole, caller(True))).tools) == ["a_t"]


async def test_filters_doors_and_lists_have_views_of_their_own() -> None:
    doors, access = Doors(config("a")), Access(READ_ONLY)
    before = doors.see("a", listing("list-a", "drop"))
    admin = caller("admin")
    first = await access.view(before.doors["/mcp"], admin)
    assert list((await access.view(before.doors["/mcp"], admin, (LISTS_ONLY,))).tools) == ["a_list-a"]
    assert list((await access.view(before.doors["/mcp/a"], admin)).tools) == ["list-a", "drop"]
    after = doors.see("a", listing("list-a", "drop", "more"))
    assert len((await access.view(after.doors["/mcp"], admin)).tools) == 3
    assert await access.view(before.doors["/mcp"], admin) is first


async def test_a_route_asks_its_own_policy_too() -> None:
    route = policy_of(deny=['mcp.tool.name == "list-b"'])
    access = Access(READ_ONLY, {"/mcp": route})
    seen = await access.view(door("list-a", "list-b", "drop"), caller("viewer"))
    assert list(seen.tools) == ["a_list-a"]
    assert list((await Access(routes={"/mcp": route}).view(door("list-b", "drop"), caller("x"))).tools) == ["a_drop"]


async def test_views_are_bounded_and_the_one_not_asked_for_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VIEWS", 3)
    access, whole = Access(READ_ONLY), door("list-a")
    views = [await access.view(whole, caller(role)) for role in range(3)]
    assert await access.view(whole, caller(0)) is views[0]
    await access.view(whole, caller(3))
    assert await access.view(whole, caller(0)) is views[0]
    assert await access.view(whole, caller(1)) is not views[1]


async def test_views_are_bounded_by_their_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    access, whole = Access(READ_ONLY), door(*(f"list-{at}" for at in range(1000)))
    views = [await access.view(whole, caller(role)) for role in range(3)]
    monkeypatch.setattr(module, "MAX_VIEW_BYTES", 3 * views[0].own_bytes)
    assert await access.view(whole, caller(0)) is views[0]
    await access.view(whole, caller(3))
    assert await access.view(whole, caller(0)) is views[0]
    assert await access.view(whole, caller(1)) is not views[1]


async def test_a_view_over_the_bound_is_made_once_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VIEW_BYTES", 1)
    access, whole = Access(READ_ONLY), door("list-a")
    first = await access.view(whole, caller("viewer"))
    assert await access.view(whole, caller("viewer")) is first
    await access.view(whole, caller("other"))
    assert await access.view(whole, caller("viewer")) is not first


async def test_a_view_shares_what_the_door_has_encoded_and_takes_little_of_its_own() -> None:
    access, whole = Access(), door(*(tool(f"list-{at}", description="x" * 2_000) for at in range(1_000)))
    first = await access.view(whole, caller("x"), (LISTS_ONLY,))
    first.page("tools", dict, 0, None)
    tracemalloc.start()
    try:
        views = [await access.view(whole, caller("x"), (ToolFilter(("*",), (str(at),)),)) for at in range(8)]
        assert [view.page("tools", dict, 0, 1)[1] for view in views] == [1] * 8
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = sum(view.own_bytes for view in views)
    assert counted < 500_000  # eight lists of their own would take 16 MB
    assert 0.5 * counted < held < 1.5 * counted


async def test_views_of_former_lists_are_dropped_once_the_change_is_told() -> None:
    doors, access = Doors(config("a")), Access(READ_ONLY)
    before = doors.see("a", listing("list-a"))
    kept = await access.view(before.doors["/mcp/a"], caller("viewer"))
    gone = weakref.ref(await access.view(before.doors["/mcp"], caller("viewer")))
    after = doors.see("a", listing("list-a", "list-b"))
    mixed = Catalog({**after.doors, "/mcp/a": before.doors["/mcp/a"]})
    new = await access.view(mixed.doors["/mcp"], caller("viewer"))
    await Changes().announce(before, mixed, access)
    gc.collect()
    assert gone() is None
    assert await access.view(mixed.doors["/mcp"], caller("viewer")) is new
    assert await access.view(before.doors["/mcp/a"], caller("viewer")) is kept


async def test_what_depends_on_arguments_is_shown_and_the_call_decides() -> None:
    access = Access(policy_of(deny=["has(mcp.tool.arguments.force) && mcp.tool.arguments.force == true"]))
    seen = await access.view(door("t"), caller("x"))
    route = seen.tools["a_t"]
    assert access.may_call(seen, route, caller("x"), {"force": False}).allowed
    assert not access.may_call(seen, route, caller("x"), {"force": True}).allowed


FORBID = policy_of(allow=['jwt.role == "admin"'], on_deny="forbid")
HIDE = policy_of(allow=['jwt.role == "admin"'])


@pytest.mark.parametrize(("policy", "hidden"), [(FORBID, False), (HIDE, True)])
def test_what_is_refused_is_hidden_unless_the_policy_says_otherwise(policy: Policy, hidden: bool) -> None:
    access, whole = Access(policy), door("t", prompts=["p"], resources=["x://1"])
    for kind, name in (("tools", "a_t"), ("prompts", "a_p"), ("resources", "x://1")):
        route = whole.routes(kind)[name]
        refused = access.standing(whole, kind, route, caller("viewer"))
        assert (refused.allowed, refused.hidden) == (False, hidden)
        assert access.standing(whole, kind, route, caller("admin")).allowed


def test_a_tool_that_a_key_does_not_reach_is_hidden_whatever_the_policy_says() -> None:
    access, whole = Access(FORBID), door("t", "list-a")
    narrowed = access.standing(whole, "tools", whole.tools["a_t"], caller("viewer"), (LISTS_ONLY,))
    assert (narrowed.allowed, narrowed.hidden) == (False, True)
    assert not access.standing(whole, "tools", whole.tools["a_list-a"], caller("viewer"), (LISTS_ONLY,)).hidden


def test_calls_are_counted_per_identity_and_by_the_canonical_name() -> None:
    limit = RateLimitConfig.model_validate({"per": "identity_tool", "rate": "1/m", "tools": ["a_t"]})
    access, route = Access(limits=RateLimits([limit])), door("t", path="/mcp/a").tools["t"]
    access.take(caller("x", "ada"), route, 0.0)
    access.take(caller("x", "bob"), route, 0.0)
    access.take(Caller(ANONYMOUS), route, 0.0)
    with pytest.raises(RateLimited) as refused:
        access.take(caller("other claims", "ada"), route, 1.0)
    assert (refused.value.status, refused.value.data) == (429, {"retry_after": 59})


async def test_a_name_that_leads_elsewhere_is_judged_anew_though_the_list_looks_the_same() -> None:
    settings = config("a", "b", routes={"/r": {"upstreams": ["a", "b"], "prefix": "never"}})
    doors, access = Doors(settings), Access(policy_of(deny=['mcp.target == "b"']))
    doors.see("a", listing("x"))
    before = doors.see("b", listing("x")).doors["/r"]
    assert (await access.view(before, caller("any"))).tools["x"].server == "a"
    after = doors.see("a", listing()).doors["/r"]
    assert after.tools["x"].server == "b"
    assert (await access.view(after, caller("any"))).tools == {}


def test_paths_that_nobody_serves_are_not_remembered() -> None:
    access = Access(READ_ONLY, {"/mcp/route": LISTS})
    everywhere = access.policies("/mcp")
    assert all(access.policies(f"/nowhere/{number}") is everywhere for number in range(100))
    assert access.policies("/mcp/route") is not everywhere
