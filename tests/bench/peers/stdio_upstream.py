"""An MCP server on stdio that only echoes, for mcp-proxy, which bridges to such; standard library, 2025-11-25."""

import json
import sys
from typing import Any

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "stdio-upstream", "version": "1"},
}


def result(method: str, params: dict[str, Any]) -> Any:
    """What a request of `method` gets."""
    if method == "tools/call":
        return {"content": [{"type": "text", "text": params["arguments"]["text"]}]}
    if method == "tools/list":
        return {"tools": [{"name": "echo", "description": "Answers its text.", "inputSchema": SCHEMA}]}
    return HELLO if method == "initialize" else {}


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            answer = result(message["method"], message.get("params") or {})
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer}), flush=True)
