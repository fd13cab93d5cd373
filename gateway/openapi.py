"""The OpenAPI document of the tool API: what it takes and what it answers; it names no server and no tool.

`PATHS` says what there is; the words that it points to are in `openapi_parts` (parameters, headers, answers) and
`openapi_schemas` (bodies).
"""

from typing import Any, Final

from gateway import __version__
from gateway.openapi_parts import HEADERS, PARAMETERS, RESPONSES, answers, header, parameter
from gateway.openapi_schemas import SCHEMAS, schema

Item = dict[str, Any]

PATH: Final = "/openapi.json"


def document(public_url: str | None, auth_mode: str) -> Item:
    """The document of a gateway that callers reach at ``public_url``; None stands for where the document came from."""
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": (public_url or "").rstrip("/") or "/"}],
        "security": SECURITY[auth_mode],
        "paths": PATHS,
        "components": {
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": RESPONSES,
            "schemas": SCHEMAS,
            "securitySchemes": SCHEMES,
        },
    }


INFO: Final[Item] = {
    "title": "onegate tool API",
    "version": __version__,
    "description": "Tool calls of a language model, executed over plain HTTP: send them in the form in which the model "
    "wrote them, append the answers to the conversation as they are.",
}

SCHEMES: Final[Item] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token (JWT), or an API key."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "An API key, also taken under the name `x-bf-vk`. Beside a token it must be valid and only "
        "narrows what the token may do.",
    },
}

SECURITY: Final[dict[str, list[Item]]] = {
    "none": [],
    "optional": [{}, {"bearer": []}, {"apiKey": []}],
    "strict": [{"bearer": []}, {"apiKey": []}],
}
"""By the mode of the config's `auth`; any one of them is enough."""

FILTERS: Final = [
    parameter("IncludeClients"),
    parameter("IncludeTools"),
    parameter("BifrostIncludeClients"),
    parameter("BifrostIncludeTools"),
]

EXECUTE: Final[Item] = {
    "operationId": "executeToolCalls",
    "summary": "Execute one tool call, or several in parallel",
    "description": "The form of the calls must be the one that `format` names. An array of calls is answered by an "
    "array in the same order, in which each entry is a result or an error of its own; its status is 200.",
    "parameters": [
        parameter("Format"),
        parameter("Content"),
        parameter("IdempotencyKey"),
        *FILTERS,
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": schema("Calls"),
                "examples": {
                    "chat": {
                        "summary": "format=chat",
                        "value": {
                            "id": "call_xyz789",
                            "type": "function",
                            "function": {"name": "filesystem_list_directory", "arguments": '{"path": "."}'},
                        },
                    },
                    "responses": {
                        "summary": "format=responses",
                        "value": {
                            "type": "function_call",
                            "call_id": "call_xyz789",
                            "name": "filesystem_read_file",
                            "arguments": '{"path": "notes.txt"}',
                        },
                    },
                },
            }
        },
    },
    "responses": {
        "200": {
            "description": "The result, also that of a tool that failed: then `x-mcp-is-error` is there.",
            "headers": {"x-request-id": header("RequestId"), "x-mcp-is-error": header("IsError")},
            "content": {"application/json": {"schema": schema("Results")}},
        },
        **answers(400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 502, 503, 504),
    },
}

LIST: Final[Item] = {
    "operationId": "listTools",
    "summary": "The caller's tools, as the `tools` of a request to a model",
    "parameters": [parameter("ListFormat"), parameter("IfNoneMatch"), *FILTERS],
    "responses": {
        "200": {
            "description": "The tools that this caller may call.",
            "headers": {
                "x-request-id": header("RequestId"),
                "etag": header("ETag"),
                "cache-control": header("CacheControl"),
            },
            "content": {"application/json": {"schema": schema("Tools")}},
        },
        "304": {
            "description": "The list is still the one that `If-None-Match` names.",
            "headers": {"x-request-id": header("RequestId"), "etag": header("ETag")},
        },
        **answers(400, 401, 403, 404, 405, 408, 415, 429, 431, 500, 503),
    },
}

LIST_HEAD: Final[Item] = {
    **LIST,
    "operationId": "listToolsHead",
    "summary": "The headers of the list, its ETag among them",
}

PATHS: Final[Item] = {
    "/v1/mcp/tool/execute": {"post": EXECUTE},
    "/v1/mcp/tools": {"get": LIST, "head": LIST_HEAD},
}
