"""A Streamable HTTP MCP server for load: far faster than what is measured through it, and nothing but echo.

Speaks 2025-11-25 with sessions and 2026-07-28, answers plain JSON or short event streams, prints its URL when it
listens. Knows nothing of the gateway.
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
STATUS_OF_ERROR = {-32601: 404, -32602: 400}
LINE = '2026-07-28T09:00:00Z "GET /things/1" 200 ok\n'  # as logs are: with quotes and line ends, which JSON escapes

Reply = tuple[int, Any, bytes]  # HTTP status, JSON body or None, further header lines
Form = Callable[[bytes], bytes]  # the last header lines and the body of an answer


def tools(count: int) -> list[dict[str, Any]]:
    """Tool definitions: `echo` first, then look-alikes that make lists as long as they are in practice."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    names = ["echo", *(f"tool_{number}" for number in range(1, count))]
    return [{"name": name, "description": f"Answers its text ({name}).", "inputSchema": schema} for name in names]


def filling(size: int) -> list[Any]:
    """Further content of a result, `size` bytes of JSON text in all; none for 0."""
    if not size:
        return []
    length = len(orjson.dumps(LINE)) - 2  # without the quotes around it
    text = LINE * (size // length) + "x" * (size % length)
    return [orjson.Fragment(orjson.dumps({"type": "text", "text": text}))]


class Server:
    """What each MCP method answers; long texts are encoded once, so that the load is not ours."""

    def __init__(self, count: int, payload: int = 0) -> None:
        offered = tools(count)
        self.tools = orjson.Fragment(orjson.dumps(offered))
        self.names = {tool["name"] for tool in offered}
        self.filling = filling(payload)
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
        return self.modern(message["id"], method, params) if modern else self.legacy(message["id"], method, params)

    def legacy(self, request_id: Any, method: str, params: dict[str, Any]) -> Reply:
        if method not in self.methods:
            return failure(request_id, 200, -32601, f"Unknown method: {method}")
        result = self.methods[method](params)
        if result is None:
            return failure(request_id, 200, -32602, "Unknown tool or bad arguments")
        return 200, {"jsonrpc": "2.0", "id": request_id, "result": result}, b""

    def modern(self, request_id: Any, method: str, params: dict[str, Any]) -> Reply:
        """As in a session, but that a result says that it is one, and an error is one of HTTP, too."""
        status, body, extra = self.legacy(request_id, method, params)
        if "result" in body:
            body["result"]["resultType"] = "complete"
        else:
            status = STATUS_OF_ERROR[body["error"]["code"]]
        return status, body, extra

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
        return {"content": [{"type": "text", "text": text}, *self.filling]}


def failure(request_id: Any, status: int, code: int, message: str) -> Reply:
    return status, {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}, b""


def as_json(text: bytes) -> bytes:
    """The last headers and the body of an answer that is there as a whole."""
    return b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


def as_events(text: bytes) -> bytes:
    """The same as an event stream of one event, in a chunk, as servers send what they do not know the length of."""
    event = b"event: message\ndata: %b\n\n" % text
    head = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(event), event)


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection; httptools calls the `on_` methods."""

    def __init__(self, server: Server, form: Form) -> None:
        self.server = server
        self.form = form
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
        form = self.form if status == 200 else as_json
        self.transport.write(b"HTTP/1.1 %d %b\r\n%b%b" % (status, STATUS[status], extra, form(text)))
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


async def serve(port: int, server: Server, form: Form) -> None:
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server, form), "127.0.0.1", port)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp", flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tools", type=int, default=20)
    parser.add_argument(
        "--payload", type=int, default=0, help="bytes of JSON text that each result has beside the echo"
    )
    parser.add_argument("--sse", dest="form", action="store_const", const=as_events, default=as_json)
    options = parser.parse_args()
    uvloop.run(serve(options.port, Server(options.tools, options.payload), options.form))
