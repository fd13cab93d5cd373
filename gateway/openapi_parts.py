"""The parameters, headers and answers of the tool API's OpenAPI document: data, and how a document points to it."""

from typing import Any, Final

from gateway.openapi_schemas import schema

Item = dict[str, Any]


def parameter(name: str) -> Item:
    """Point to one of `PARAMETERS`."""
    return {"$ref": f"#/components/parameters/{name}"}


def header(name: str) -> Item:
    """Point to one of `HEADERS`."""
    return {"$ref": f"#/components/headers/{name}"}


def answers(*statuses: int) -> Item:
    """Point to the answers with these statuses."""
    return {str(status): {"$ref": f"#/components/responses/{NAMES[status]}"} for status in statuses}


def _query(name: str, choices: list[str], says: str) -> Item:
    return {
        "name": name,
        "in": "query",
        "description": f"{says} Upper and lower case are the same.",
        "schema": {"type": "string", "enum": choices, "default": choices[0]},
    }


def _header(name: str, says: str) -> Item:
    return {"name": name, "in": "header", "description": says, "schema": {"type": "string"}}


CLIENTS: Final = (
    "Servers to narrow this request to, separated by commas; `*` is all of them. Absent narrows nothing, empty leaves "
    "nothing. It covers prompts and resources too."
)
TOOLS: Final = (
    "Tools to narrow this request to, separated by commas: `server_tool`, `server_*` or `*`. Absent narrows nothing, "
    "empty leaves nothing."
)
SAME: Final = "Another name for `{}`; both together leave what both leave."

PARAMETERS: Final[Item] = {
    "Format": _query("format", ["chat", "responses"], "The form of calls and results: chat completions, or responses."),
    "ListFormat": _query("format", ["chat", "responses", "mcp"], "The form of the tools; `mcp` is the server's own."),
    "Content": _query(
        "content",
        ["text", "parts"],
        "How a result's content is written: as one text, or as an array of the format's own parts.",
    ),
    "IncludeClients": _header("x-mcp-include-clients", CLIENTS),
    "IncludeTools": _header("x-mcp-include-tools", TOOLS),
    "BifrostIncludeClients": _header("x-bf-mcp-include-clients", SAME.format("x-mcp-include-clients")),
    "BifrostIncludeTools": _header("x-bf-mcp-include-tools", SAME.format("x-mcp-include-tools")),
    "IdempotencyKey": _header(
        "x-idempotency-key",
        "The same key and body give the first answer again for 10 minutes instead of another run. 1 to 255 printable "
        "ASCII characters; a key is its caller's own, and without authentication it means nothing.",
    ),
    "IfNoneMatch": _header("if-none-match", "The ETag of the list that the caller has (RFC 9110 §13.1.2)."),
}

HEADERS: Final[Item] = {
    "RequestId": {"description": "Names the request in the gateway's log.", "schema": {"type": "string"}},
    "IsError": {
        "description": "The tool failed, or one of several did; its text says how.",
        "schema": {"const": "true"},
    },
    "ETag": {"description": "Names this list.", "required": True, "schema": {"type": "string", "pattern": '^".+"$'}},
    "CacheControl": {"description": "The list is this caller's own.", "schema": {"type": "string"}},
    "RetryAfter": {
        "description": "Seconds until it is worth another try.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Challenge": {
        "description": "How to get in (RFC 6750 §3, RFC 9728 §5.1).",
        "schema": {"type": "string"},
    },
    "Allow": {"description": "The methods that there are.", "required": True, "schema": {"type": "string"}},
}

JSON: Final[Item] = {"application/json": {"schema": schema("Failure")}}
TEXT: Final[Item] = {"text/plain": {"schema": {"type": "string"}}}
"""What is refused before the path is looked at."""


def _answer(says: str, content: Item = JSON, **headers: Item) -> Item:
    own = {name.replace("_", "-"): one for name, one in headers.items()}
    return {"description": says, "headers": {"x-request-id": header("RequestId"), **own}, "content": content}


NAMES: Final = {
    400: "BadRequest",
    401: "NotAuthenticated",
    403: "NotAllowed",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "TooSlow",
    409: "Conflict",
    413: "TooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyCalls",
    431: "HeadTooLarge",
    500: "InternalError",
    502: "UpstreamError",
    503: "Unavailable",
    504: "TimedOut",
}

RESPONSES: Final[Item] = {
    "BadRequest": _answer(
        "The request is malformed, or the arguments do not fit the tool's schema; `param` names the field then.",
        JSON | TEXT,
    ),
    "NotAuthenticated": _answer("No credential, or a bad one.", www_authenticate=header("Challenge")),
    "NotAllowed": _answer(
        "The tool is unknown or denied, which look the same; or a scope is missing; or Host or Origin is not known.",
        www_authenticate=header("Challenge"),
    ),
    "NotFound": _answer("No such tool, where the gateway's policy says so openly; or this gateway has no main door."),
    "MethodNotAllowed": _answer("Another method is needed.", allow=header("Allow")),
    "TooSlow": {"description": "The request took too long to come.", "content": TEXT},
    "Conflict": _answer("The idempotency key came with another body before, or its first run has no answer to give."),
    "TooLarge": _answer("The body is over the gateway's limit."),
    "UnsupportedMediaType": _answer("The body is not `application/json`, or it is compressed.", JSON | TEXT),
    "TooManyCalls": _answer("A rate limit is reached.", retry_after=header("RetryAfter")),
    "HeadTooLarge": {"description": "The headers are too large.", "content": TEXT},
    "InternalError": _answer("The gateway failed."),
    "UpstreamError": _answer("The tool's server answered with a protocol error."),
    "Unavailable": _answer(
        "The tool's server is down, or the gateway is full or about to stop.", retry_after=header("RetryAfter")
    ),
    "TimedOut": _answer("The tool's server did not answer in time; the call may have run."),
}
