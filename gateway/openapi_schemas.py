"""The bodies of the tool API as JSON schemas (2020-12): data, and how a document points to it."""

from typing import Any, Final

Item = dict[str, Any]


def schema(name: str) -> Item:
    """Point to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: list[str], **properties: Item) -> Item:
    return {"type": "object", "properties": properties, "required": required}


def _closed(required: list[str], **properties: Item) -> Item:
    return {**_object(required, **properties), "additionalProperties": False}


def _array(items: Item, **more: Any) -> Item:
    return {"type": "array", "items": items, **more}


STRING: Final[Item] = {"type": "string"}
OBJECT: Final[Item] = {"type": "object"}

CALLS: Final[Item] = {
    "Calls": {
        "anyOf": [
            schema("ChatCall"),
            schema("ResponsesCall"),
            _array(
                {
                    "anyOf": [
                        schema("ChatCall"),
                        schema("ResponsesCall"),
                        {"description": "What is no call is answered in its place by an error."},
                    ]
                },
                maxItems=128,
            ),
        ]
    },
    "ChatCall": _object(
        ["id", "function"],
        id={"type": "string", "description": "Comes back as `tool_call_id`, exactly."},
        type={"const": "function"},
        function=_object(["name"], name=STRING, arguments=schema("Arguments")),
    ),
    "ResponsesCall": _object(
        ["call_id", "name"],
        type={"enum": ["function_call", "function_call_output"]},
        call_id={"type": "string", "description": "Comes back exactly."},
        name=STRING,
        arguments=schema("Arguments"),
    ),
    "Arguments": {
        "description": "The tool's arguments: as JSON in a text, as models write them, or as an object. "
        "None, or nothing but white space, is an empty object.",
        "anyOf": [
            {"type": "string", "contentMediaType": "application/json", "contentSchema": OBJECT},
            OBJECT,
            {"type": "null"},
        ],
    },
}

RESULTS: Final[Item] = {
    "Results": {
        "anyOf": [
            schema("ChatResult"),
            schema("ResponsesResult"),
            _array({"anyOf": [schema("ChatResult"), schema("ResponsesResult"), schema("FailedCall")]}),
        ]
    },
    "ChatResult": _closed(
        ["role", "content", "tool_call_id"],
        role={"const": "tool"},
        content={"anyOf": [STRING, _array(schema("ChatPart"))]},
        tool_call_id=STRING,
    ),
    "ChatPart": {
        "anyOf": [
            _closed(["type", "text"], type={"const": "text"}, text=STRING),
            _closed(["type", "image_url"], type={"const": "image_url"}, image_url=_closed(["url"], url=STRING)),
            _closed(
                ["type", "input_audio"],
                type={"const": "input_audio"},
                input_audio=_closed(["data", "format"], data=STRING, format={"enum": ["wav", "mp3"]}),
            ),
        ]
    },
    "ResponsesResult": _closed(
        ["type", "call_id", "output"],
        type={"const": "function_call_output"},
        call_id=STRING,
        output={"anyOf": [STRING, _array(schema("ResponsesPart"))]},
    ),
    "ResponsesPart": {
        "anyOf": [
            _closed(["type", "text"], type={"const": "input_text"}, text=STRING),
            _closed(["type", "image_url"], type={"const": "input_image"}, image_url=STRING),
        ]
    },
    "FailedCall": {
        "description": "One call of several that has no result; its id is there where the call had one.",
        **_closed(["error"], tool_call_id=STRING, call_id=STRING, error=schema("Error")),
    },
    "Failure": _closed(["error"], error=schema("Error")),
    "Error": _closed(
        ["type", "message"],
        type={
            "enum": [
                "invalid_request_error",
                "authentication_error",
                "tool_execution_error",
                "rate_limit_error",
                "timeout_error",
                "upstream_error",
                "internal_error",
            ]
        },
        message=STRING,
        param={"type": "string", "description": "The argument that does not fit the tool's schema."},
    ),
}

LISTS: Final[Item] = {
    "Tools": _closed(
        ["tools"], tools=_array({"anyOf": [schema("ChatTool"), schema("ResponsesTool"), schema("McpTool")]})
    ),
    "ChatTool": _closed(
        ["type", "function"],
        type={"const": "function"},
        function=_closed(["name", "parameters"], name=STRING, description=STRING, parameters=OBJECT),
    ),
    "ResponsesTool": _closed(
        ["type", "name", "parameters", "strict"],
        type={"const": "function"},
        name=STRING,
        description=STRING,
        parameters=OBJECT,
        strict={"const": False},
    ),
    "McpTool": _object(["name", "inputSchema"], name=STRING, description=STRING, inputSchema=OBJECT),
}

SCHEMAS: Final[Item] = {**CALLS, **RESULTS, **LISTS}
