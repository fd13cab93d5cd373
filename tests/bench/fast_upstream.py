"""A Streamable HTTP MCP server for load: far faster than what is measured through it, and nothing but echo.

Speaks 2025-11-25 with sessions and 2026-07-28, answers plain JSON, prints its URL when it listens. Knows nothing of the
gateway.
"""

import argparse
import asyncio
import uuid
from collections.abc import Callable
from typing import Any, cast

import httptools
import orjson
import uvloop

MODERN, LEGACY = "2026-07-28", "2025-11-25"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
SERVER_INFO = {"name": "fast-upstream", "version": "1"}
STATUS = {200: b"OK", 202: b"Accepted", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed"}
CACHEABLE = {"ttlMs": 60_000, "cacheScope": "public"}

Reply = tuple[int, Any, bytes]  # HTTP status, JSON body or None, further header lines


def tools(count: int) -> list[dict[str, Any]]:
    """Tool definitions: `echo` first, then look-alikes that make lists as long as they are in practice."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    names = ["echo", *(f"tool_{number}" for number in range(1, count))]
    return [{"name": name, "description": f"Answers its text ({name}).", "inputSchema": schema} for name in names]


class Server:
    """What each MCP method answers."""

    def __init__(self, count: int) -> None:
        self.tools = tools(count)
        self.names = {tool["name"] for tool in self.tools}
        self.sessions: set[bytes] = set()
        self.methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "tools/call": self.call,
            "tools/list": self.list,
            "server/discover": self.discover,
            "ping": lambda params: {},
        }

    def answer(self, body: bytes, headers: dict[bytes, bytes]) -> Reply:
        """One POST in, its answer out."""
        try:
            message = orjson.loads(body)
            method, params = message["method"], message.get("params") or {}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return failure(None, 400, -32600, "Invalid request")
        if "id" not in message:
            return 202, None, b""
        if method == "initialize":
            return self.initialize(message["id"])
        version = headers.get(b"mcp-protocol-version", b"").decode()
        modern = version == MODERN or VERSION_KEY in params.get("_meta", ())
        if not modern and headers.get(b"mcp-session-id") not in self.sessions:
            return failure(message["id"], 404, -32600, "Unknown session")
        if modern and params.get("_meta", {}).get(VERSION_KEY) != version:
            return failure(message["id"], 400, -32020, "Protocol version of header and _meta differ")
        if method not in self.methods:
            return failure(message["id"], 404 if modern else 200, -32601, f"Unknown method: {method}")
        result = self.methods[method](params)
        if result is None:
            return failure(message["id"], 400 if modern else 200, -32602, "Unknown tool or bad arguments")
        if modern:
            result["resultType"] = "complete"
        return 200, {"jsonrpc": "2.0", "id": message["id"], "result": result}, b""

    def initialize(self, request_id: Any) -> Reply:
        session = uuid.uuid4().hex.encode()
        self.sessions.add(session)
        result = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": SERVER_INFO}
        body = {"jsonrpc": "2.0", "id": request_id, "result": result}
        return 200, body, b"Mcp-Session-Id: " + session + b"\r\n"

    def discover(self, params: dict[str, Any]) -> Any:
        meta = {"io.modelcontextprotocol/serverInfo": SERVER_INFO}
        return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "_meta": meta, **CACHEABLE}

    def list(self, params: dict[str, Any]) -> Any:
        return {"tools": self.tools, **CACHEABLE}

    def call(self, params: dict[str, Any]) -> Any:
        text = (params.get("arguments") or {}).get("text")
        if params.get("name") not in self.names or not isinstance(text, str):
            return None
        return {"content": [{"type": "text", "text": text}]}


def failure(request_id: Any, status: int, code: int, message: str) -> Reply:
    return status, {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}, b""


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; httptools calls the `on_` methods."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser = httptools.HttpRequestParser(self)
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # ours: asyncio logs it and closes the connection
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.headers = {}
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value.strip()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        status, body, extra = self.reply()
        text = b"" if body is None else orjson.dumps(body)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b"
            % (status, STATUS[status], len(text), extra, text)
        )
        if not self.parser.should_keep_alive():
            self.transport.close()

    def reply(self) -> Reply:
        verb = self.parser.get_method()
        if verb == b"POST":
            return self.server.answer(self.body, self.headers)
        if verb == b"DELETE" and self.headers.get(b"mcp-session-id") in self.server.sessions:
            self.server.sessions.remove(self.headers[b"mcp-session-id"])
            return 200, None, b""
        return 405, None, b"Allow: POST\r\n"


async def serve(port: int, count: int) -> None:
    server = Server(count)
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", port)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp", flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tools", type=int, default=20)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.tools))
