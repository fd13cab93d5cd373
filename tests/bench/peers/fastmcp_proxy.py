"""FastMCP's proxy as a peer of the benchmark, with the settings that make it fastest; runs in FastMCP's environment.

By default FastMCP connects to its upstream for each request; `--held` gives it one connected client for all callers,
which its documentation offers for callers that may share a session. Prints its URL when it listens.
"""

import argparse
import contextlib
import socket

import uvloop
from fastmcp import Client
from fastmcp.server import create_proxy

MODERN = "2026-07-28"


async def serve(upstream: str, held: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        target = await stack.enter_async_context(Client(upstream, mode=MODERN)) if held else upstream
        proxy = create_proxy(target)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        await proxy.run_http_async(
            show_banner=False, log_level="warning", json_response=True, stateless_http=True, sockets=[listener]
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="the upstream's URL")
    parser.add_argument("--held", action="store_true")
    options = parser.parse_args()
    uvloop.run(serve(options.upstream, options.held))
