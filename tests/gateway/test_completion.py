"""Completed values: those that name what the caller may not read are left out, however a template writes them."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.access import Access
from gateway.completion import MAX_COMPLETIONS
from gateway.relay import Relay
from gateway.request import Dialect, Request
from policies.model import Caller, Identity
from tests.fixtures.fakes import FakeChannel
from tests.fixtures.listings import Doors, config, listing
from tests.fixtures.rules import policy_of

pytestmark = pytest.mark.anyio

DIALECT = Dialect("test", lambda item: item, None)
ADA = Caller(Identity("jwt", "ada", "issuer"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Server:
    """An upstream that completes everything with the same values."""

    def __init__(self, values: list[Any]) -> None:
        self.peer = SimpleNamespace(capabilities={"completions": {}, "resources": {}})
        self.values = values

    async def request(self, *asked: Any) -> dict[str, Any]:
        return {"completion": {"values": self.values, "total": 500, "hasMore": True}, "_meta": {"k": 1}}


async def completed(template: str, values: list[Any], *deny: str, name: str = "id", **context: str) -> dict[str, Any]:
    """The completion of one variable of a template, under rules that deny these URIs."""
    doors = Doors(config("a"))
    access = Access(policy_of(deny=[f'mcp.resource.uri == "{uri}"' for uri in deny]))
    upstreams: Any = {"a": Server(values)}
    relay = Relay(doors.see("a", listing(templates=[template])), upstreams, access)
    ref = {"type": "ref/resource", "uri": template}
    params = {"ref": ref, "argument": {"name": name, "value": ""}, "context": {"arguments": context}}
    answer = await relay.handle(Request("completion/complete", params, ADA, "/mcp", DIALECT, FakeChannel()))
    found: dict[str, Any] = answer["completion"]
    return found


@pytest.mark.parametrize(
    ("template", "denied"),
    [
        ("x://{id}", "x://no"),
        ("x://{+id}", "x://no"),
        ("x://a{/id}", "x://a/no"),
        ("x://a{.id}", "x://a.no"),
        ("x://a{#id}", "x://a#no"),
        ("x://a{?id}", "x://a?id=no"),
        ("x://a?b=c{&id}", "x://a?b=c&id=no"),
        ("x://a{;id}", "x://a;id=no"),
        ("x://{id}/{id}", "x://no/no"),
    ],
)
async def test_a_value_is_judged_by_the_uri_that_it_makes(template: str, denied: str) -> None:
    assert await completed(template, ["yes", "no"], denied) == {"values": ["yes"], "hasMore": False}


@pytest.mark.parametrize("denied", ["x://a%20b", "x://a b", "x://a%2Fb", "x://a/b", "x://%7Bid%7D", "x://{id}x"])
async def test_a_value_is_judged_encoded_and_as_it_is(denied: str) -> None:
    found = await completed("x://{id}", ["a b", "a/b", "{id}", "{id}x"], denied)
    assert len(found["values"]) == 3


async def test_what_the_client_has_filled_in_before_counts() -> None:
    template, denied = "x://{area}/{id}", "x://shut/1"
    assert (await completed(template, ["1", "2"], denied, area="shut"))["values"] == ["2"]
    assert (await completed(template, ["1", "2"], denied, area="open"))["values"] == ["1", "2"]
    assert (await completed(template, ["1", "2"], denied))["values"] == ["1", "2"]


async def test_an_answer_of_which_nothing_is_left_out_stays_as_it_is_and_a_long_one_is_cut() -> None:
    assert await completed("x://{id}", ["1"]) == {"values": ["1"], "total": 500, "hasMore": True}
    long = await completed("x://{id}", [str(at) for at in range(MAX_COMPLETIONS + 2)], "x://0")
    assert (len(long["values"]), long["values"][0], "total" in long) == (MAX_COMPLETIONS, "1", False)
