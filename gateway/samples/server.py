"""An MCPServer that speaks fully over stdio; knows nothing of notes, weather or the gateway in front of it."""

import warnings
from typing import Any, get_args

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import EmptyResult, LoggingLevel, SetLevelRequestParams

from gateway import __version__

SEVERITY: dict[str, int] = {level: rank for rank, level in enumerate(get_args(LoggingLevel))}  # debug first


class SampleServer(MCPServer[Any]):
    """MCPServer, and what it leaves out for clients before 2026-07-28: log levels and change notifications.

    MCPServer declares neither ``logging`` nor ``listChanged`` in its initialize result, and sends change notifications
    to 2026-07-28 listeners only. A client may ignore what a server did not declare (MCP 2025-11-25, basic/lifecycle).
    """

    def __init__(self, name: str, title: str, instructions: str) -> None:
        super().__init__(name, title=title, instructions=instructions, version=__version__, log_level="WARNING")
        self._least_severity = SEVERITY["debug"]
        # The one seam that MCPServer offers no public name for: logging/setLevel, gone in 2026-07-28.
        self._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, self._set_level)

    async def say(self, ctx: Context[Any, Any], level: LoggingLevel, text: str) -> None:
        """Log to the client of this call, if it wants that level: it says so in each request, or once by setLevel."""
        if SEVERITY[level] >= self._least_severity:
            await ctx.log(level, text, logger_name=self.name)

    async def resources_changed(self, ctx: Context[Any, Any]) -> None:
        """Tell clients of both eras that the resource list is another one; each path is silent in the other's era."""
        await ctx.notify_resources_changed()
        await ctx.session.send_resource_list_changed()

    async def run_stdio_async(self) -> None:
        """Serve one client over stdin and stdout until stdin ends."""
        changes = NotificationOptions(resources_changed=True)
        async with stdio_server() as (read, write):
            await self._lowlevel_server.run(read, write, self._lowlevel_server.create_initialization_options(changes))

    async def _set_level(self, _: ServerRequestContext[Any, Any], params: SetLevelRequestParams) -> EmptyResult:
        self._least_severity = SEVERITY[params.level]
        return EmptyResult()


def main(server: SampleServer) -> None:
    """Run ``server`` over stdio until its client leaves; Ctrl-C ends it quietly, as a shell user expects."""
    # Log messages to the client are deprecated, not gone, and clients of every era still show them.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    try:
        anyio.run(server.run_stdio_async)
    except KeyboardInterrupt:
        return
