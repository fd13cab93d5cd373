"""The proxy that the official SDK makes in thirty lines: what the gateway is compared with.

Modern on both sides, one client for all callers, the tools listed once; as the SDK's documentation writes one. With
`--tuned` it has what makes it faster: no sessions, JSON answers, uvloop, and `get_tool_input_schema`, which spares the
tools/list that each call would otherwise run.
"""

import argparse
import asyncio
import socket

import uvicorn
import uvloop
from mcp import Client, types
from mcp.server import Server, ServerRequestContext

LOG_LEVEL = "warning"  # an access log would be counted as the SDK's cost


async def serve(url: str, port: int, tuned: bool) -> None:
    async with Client(url, mode="2026-07-28") as client:
        listing = await client.session.list_tools()
        schemas = {tool.name: tool.input_schema for tool in listing.tools}

        async def list_tools(
            context: ServerRequestContext, params: types.PaginatedRequestParams | None
        ) -> types.ListToolsResult:
            return listing

        async def call_tool(context: ServerRequestContext, params: types.CallToolRequestParams) -> types.CallToolResult:
            return await client.session.call_tool(params.name, params.arguments)

        known = schemas.get if tuned else None
        server = Server("sdk-proxy", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema=known)
        app = server.streamable_http_app(json_response=tuned, stateless_http=tuned)
        with socket.create_server(("127.0.0.1", port)) as listener:
            print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
            await uvicorn.Server(uvicorn.Config(app, log_level=LOG_LEVEL)).serve(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the upstream's URL")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    run = uvloop.run if options.tuned else asyncio.run
    run(serve(options.url, options.port, options.tuned))
