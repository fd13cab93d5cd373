"""The tools that one identity sees, for people: at the command line and on the status page. It asks nothing itself.

What is seen comes from `access.view`, which every list and every call of a client goes through as well.
"""

from gateway.catalog import Door, ToolRoute
from gateway.config import Config
from gateway.service import Service
from policies.model import Caller, Identity


def open_doors(config: Config, service: Service) -> list[Door]:
    """The doors that a person looks at: the one to everything, or all where there is none."""
    doors = service.relay.catalog.doors
    return list(doors.values()) if config.server.path is None else [doors[config.server.path]]


async def visible_tools(config: Config, service: Service, who: Identity | None) -> list[ToolRoute]:
    """The tools of these doors, as a client of this identity gets them listed; for None all that there are."""
    tools: dict[tuple[str, str], ToolRoute] = {}
    for door in open_doors(config, service):
        seen = door if who is None else await service.relay.access.view(door, Caller(who, path=door.path))
        for name, route in seen.tools.items():
            tools.setdefault((name, route.server), route)
    return list(tools.values())
