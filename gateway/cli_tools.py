"""`onegate tools`: the tools that a caller sees, under the names that clients see."""

import argparse
from typing import TYPE_CHECKING

from gateway.cli_config import log_as_tool, read_config
from gateway.cli_connect import Outcome, started, tell_failures, with_gateway
from gateway.cli_identity import identity
from gateway.cli_output import FAILED, OK, first_line, out_json, out_table
from gateway.views import visible_tools

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.catalog import ToolRoute
    from gateway.service import Service


def run(args: argparse.Namespace) -> int:
    """List the tools; those of servers that did not start are missing, which stderr says."""
    config = read_config(args)
    who = identity(args, config)
    log_as_tool(config)

    async def listing(gateway: "Gateway", service: "Service") -> tuple[list[Outcome], "list[ToolRoute]"]:
        return await started(gateway), await visible_tools(config, service, who)

    outcomes, routes = with_gateway(config, listing)
    tell_failures(config, outcomes)
    if args.json:
        out_json([route.shown for route in routes])
    elif routes:
        rows = [(route.shown["name"], route.server, first_line(route.shown.get("description"))) for route in routes]
        out_table(("name", "server", "description"), rows)
    return OK if any(not one.failed for one in outcomes) else FAILED
