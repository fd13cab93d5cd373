"""The proxy that the official SDK makes in thirty lines, as fast as it goes: what the gateway is compared with.

Modern on both sides and without sessions, JSON answers, one client for all callers, uvloop and httptools. The tools are
listed once; `get_tool_input_schema` spares the tools/list that each call would otherwise run.
"""

import argparse
import socket

import uvicorn
import uvloop
from mcp import Client, types
from mcp.server import Server, ServerRequestContext

LOG_LEVEL = "warning"  # an access log would be counted as the SDK's cost


async def serve(url: str, port: int) -> None:
    async with Client(url, mode="2026-07-28") as client:
        listing = await client.session.list_tools()
        schemas = {tool.name: tool.input_schema for tool in listing.tools}

        async def list_tools(
            context: ServerRequestContext, params: types.PaginatedRequestParams | None
        ) -> types.ListToolsResult:
            return listing

        async def call_tool(context: ServerRequestContext, params: types.CallToolRequestParams) -> types.CallToolResult:
            return await client.session.call_tool(params.name, params.arguments)

        server = Server(
            "sdk-proxy", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema=schemas.get
        )
        app = server.streamable_http_app(json_response=True, stateless_http=True)
        with socket.create_server(("127.0.0.1", port)) as listener:
            print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
            await uvicorn.Server(uvicorn.Config(app, log_level=LOG_LEVEL)).serve(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the upstream's URL")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    uvloop.run(serve(options.url, options.port))
