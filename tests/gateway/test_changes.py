import asyncio
from dataclasses import dataclass, field

from gateway.access import Access
from gateway.catalog import Catalog
from gateway.changes import Changes, ResourceListener
from gateway.request import Entrant
from policies.model import ANONYMOUS, Caller, Identity
from tests.fixtures.fakes import tool
from tests.fixtures.listings import Doors, config, listing
from tests.fixtures.rules import policy_of

TOOLS, PROMPTS, RESOURCES = (f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources"))


NOBODY = Entrant(Caller(ANONYMOUS))


@dataclass(eq=False)
class Client:
    door: str
    entrant: Entrant = NOBODY
    heard: list[str] = field(default_factory=list)

    def list_changed(self, method: str) -> None:
        self.heard.append(method)

    def part(self) -> None:
        self.heard.append("parted")


def announce(changes: Changes, before: Catalog, after: Catalog, access: Access | None = None) -> None:
    asyncio.run(changes.announce(before, after, access or Access()))


def test_clients_hear_of_the_lists_that_changed_at_their_own_door() -> None:
    doors, changes = Doors(config("a", "b")), Changes()
    clients = {path: Client(path) for path in doors.catalog.doors}
    for client in clients.values():
        changes.add(client)
    before = doors.catalog
    announce(changes, before, doors.see("a", listing("x", prompts=["p"])))
    heard = {path: client.heard for path, client in clients.items()}
    assert heard == {"/mcp": [TOOLS, PROMPTS], "/mcp/a": [TOOLS, PROMPTS], "/mcp/b": []}


def test_resources_and_templates_that_change_together_are_told_once() -> None:
    doors, changes, client = Doors(config("a")), Changes(), Client("/mcp")
    changes.add(client)
    announce(changes, doors.empty, doors.see("a", listing(resources=["x://1"], templates=["x://{id}"])))
    assert client.heard == [RESOURCES]


def test_a_refresh_that_changes_nothing_is_not_told() -> None:
    doors, changes, client = Doors(config("a")), Changes(), Client("/mcp")
    changes.add(client)
    before = doors.see("a", listing("x"))
    announce(changes, before, doors.see("a", listing("x")))
    assert client.heard == []


def test_who_has_left_hears_nothing_and_may_leave_twice_or_while_being_told() -> None:
    doors, changes, stays = Doors(config("a")), Changes(), Client("/mcp")

    class Leaves(Client):
        def list_changed(self, method: str) -> None:
            super().list_changed(method)
            leave()

    leaving = Leaves("/mcp")
    leave = changes.add(leaving)
    changes.add(stays)
    announce(changes, doors.empty, doors.see("a", listing("x")))
    leave()
    announce(changes, doors.empty, doors.catalog)
    assert (leaving.heard, stays.heard) == ([TOOLS], [TOOLS, TOOLS])


def test_a_resource_is_told_under_the_uri_that_the_client_knows() -> None:
    heard = list[str]()
    listener = ResourceListener(heard.append, "b+x://1", "x://1")
    listener("x://1")
    listener("x://1/under")
    assert heard == ["b+x://1", "x://1/under"]
    assert listener == ResourceListener(listener.send, "b+x://1", "x://1")


READ_ONLY = policy_of(allow=['jwt.role == "admin"', 'mcp.tool.name.startsWith("list-")'])


def of_role(role: str) -> Client:
    return Client("/mcp", Entrant(Caller(Identity("jwt", role, "issuer", {"role": role}))))


def test_a_client_hears_only_of_what_changed_in_its_own_view() -> None:
    doors, changes, access = Doors(config("a")), Changes(), Access(READ_ONLY)
    admin, viewer = of_role("admin"), of_role("viewer")
    for client in (admin, viewer):
        changes.add(client)
    before = doors.see("a", listing("list-a", "drop"))
    announce(changes, before, doors.see("a", listing("list-a", "drop", "drop-all", prompts=["p"])), access)
    assert (admin.heard, viewer.heard) == ([TOOLS, PROMPTS], [])
    before = doors.catalog
    announce(changes, before, doors.see("a", listing("list-b", "drop", prompts=["p"])), access)
    assert (admin.heard, viewer.heard) == ([TOOLS, PROMPTS, TOOLS], [TOOLS])


def test_a_description_or_an_order_that_changed_is_told() -> None:
    doors, changes, access, viewer = Doors(config("a")), Changes(), Access(READ_ONLY), of_role("viewer")
    changes.add(viewer)
    before = doors.see("a", listing("list-a", "list-b"))
    after = doors.see("a", listing("list-b", "list-a"))
    announce(changes, before, after, access)
    described = doors.see("a", listing("list-b", {**tool("list-a"), "description": "new"}))
    announce(changes, after, described, access)
    assert viewer.heard == [TOOLS, TOOLS]


def test_a_resource_that_the_client_may_not_know_of_is_not_told() -> None:
    heard = list[str]()
    listener = ResourceListener(heard.append, "b+x://1", "x://1", lambda uri: "secret" not in uri)
    for changed in ("x://1", "x://1/secret", "x://1/open"):
        listener(changed)
    assert heard == ["b+x://1", "x://1/open"]
