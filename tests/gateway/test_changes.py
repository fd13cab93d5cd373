from dataclasses import dataclass, field

from gateway.changes import Changes, ResourceListener
from tests.fixtures.listings import Doors, config, listing

TOOLS, PROMPTS, RESOURCES = (f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources"))


@dataclass(eq=False)
class Client:
    door: str
    heard: list[str] = field(default_factory=list)

    def list_changed(self, method: str) -> None:
        self.heard.append(method)


def test_clients_hear_of_the_lists_that_changed_at_their_own_door() -> None:
    doors, changes = Doors(config("a", "b")), Changes()
    clients = {path: Client(path) for path in doors.catalog.doors}
    for client in clients.values():
        changes.add(client)
    before = doors.catalog
    changes.announce(before, doors.see("a", listing("x", prompts=["p"])))
    heard = {path: client.heard for path, client in clients.items()}
    assert heard == {"/mcp": [TOOLS, PROMPTS], "/mcp/a": [TOOLS, PROMPTS], "/mcp/b": []}


def test_resources_and_templates_that_change_together_are_told_once() -> None:
    doors, changes, client = Doors(config("a")), Changes(), Client("/mcp")
    changes.add(client)
    changes.announce(doors.empty, doors.see("a", listing(resources=["x://1"], templates=["x://{id}"])))
    assert client.heard == [RESOURCES]


def test_a_refresh_that_changes_nothing_is_not_told() -> None:
    doors, changes, client = Doors(config("a")), Changes(), Client("/mcp")
    changes.add(client)
    before = doors.see("a", listing("x"))
    changes.announce(before, doors.see("a", listing("x")))
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
    changes.announce(doors.empty, doors.see("a", listing("x")))
    leave()
    changes.announce(doors.empty, doors.catalog)
    assert (leaving.heard, stays.heard) == ([TOOLS], [TOOLS, TOOLS])


def test_a_resource_is_told_under_the_uri_that_the_client_knows() -> None:
    heard = list[str]()
    listener = ResourceListener(heard.append, "b+x://1", "x://1")
    listener("x://1")
    listener("x://1/under")
    assert heard == ["b+x://1", "x://1/under"]
    assert listener == ResourceListener(listener.send, "b+x://1", "x://1")
