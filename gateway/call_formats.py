"""Pure module: the forms in which LLM applications hold tool calls and results; no HTTP, no MCP method.

`chat` is that of OpenAI's chat completions, `responses` that of its responses API; many others speak one of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import INVALID_REQUEST, McpError
from upstreams import wire

Item = dict[str, Any]

NO_SCHEMA: Final[Item] = {"type": "object", "properties": {}}
MAX_DEPTH: Final = 64  # of arguments, as of every message


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a model. ``id`` goes back exactly as it came."""

    id: str
    name: str
    arguments: Item


@dataclass(frozen=True, slots=True)
class Format:
    """One form: how a call is read, and how a result and a tool are written; what an id is called in either."""

    name: str
    read: Callable[[Any], Call]
    write: Callable[[str, Any], Item]
    part: Callable[[Item], Item]
    tool: Callable[[Item], Item]
    id_key: str
    asked_id: str

    def id_of(self, item: Any) -> Item:
        """The id as an answer has it, of whatever was sent for a call; empty where there is none."""
        value = item.get(self.asked_id) if isinstance(item, dict) else None
        return {self.id_key: value} if isinstance(value, str) else {}


def content_text(result: Mapping[str, Any]) -> str:
    """A tool's result as one text: nothing of it is lost.

    Texts are joined by line breaks; structured content stands where there are no blocks, which else say the same;
    anything but texts makes all the blocks one JSON array.
    """
    blocks = _blocks(result)
    if all(_is_text(block) for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return _json(blocks)


def content_parts(result: Mapping[str, Any], form: Format) -> list[Item]:
    """A tool's result as an array of the format's own parts; what it has no part for is JSON in a text."""
    return [form.part(block if isinstance(block, dict) else _as_text(block)) for block in _blocks(result)]


def _read_chat(item: Any) -> Call:
    function = _object(item, "the call").get("function")
    if item.get("type", "function") != "function" or not isinstance(function, dict):
        raise _invalid('a call is written {"id": …, "type": "function", "function": {"name": …, "arguments": …}}')
    return Call(_text(item, "id"), _text(function, "name"), _arguments(function.get("arguments")))


def _read_responses(item: Any) -> Call:
    if _object(item, "the call").get("type", "function_call") not in ("function_call", "function_call_output"):
        raise _invalid('a call is written {"type": "function_call", "call_id": …, "name": …, "arguments": …}')
    return Call(_text(item, "call_id"), _text(item, "name"), _arguments(item.get("arguments")))


def _arguments(given: Any) -> Item:
    if given is None:
        return {}
    if isinstance(given, str):
        if not given.strip():
            return {}  # models write nothing for a tool without parameters
        body = given.encode("utf-8", "surrogatepass")
        try:
            given = wire.loads(body)
        except ValueError:
            raise _invalid("the arguments are not valid JSON") from None
        if wire.too_deep(body, given, MAX_DEPTH):
            raise _invalid(f"the arguments are nested deeper than {MAX_DEPTH}")
    return _object(given, "the arguments")


def _write_chat(call_id: str, content: Any) -> Item:
    return {"role": "tool", "content": content, "tool_call_id": call_id}


def _write_responses(call_id: str, content: Any) -> Item:
    return {"type": "function_call_output", "call_id": call_id, "output": content}


def _chat_part(block: Item) -> Item:
    kind, data, mime = block.get("type"), block.get("data"), block.get("mimeType")
    if _is_text(block):
        return {"type": "text", "text": block["text"]}
    if kind == "image" and isinstance(data, str) and isinstance(mime, str):
        return {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}
    if kind == "audio" and isinstance(data, str) and isinstance(mime, str) and mime in AUDIO:
        return {"type": "input_audio", "input_audio": {"data": data, "format": AUDIO[mime]}}
    return _as_text(block)


def _responses_part(block: Item) -> Item:
    data, mime = block.get("data"), block.get("mimeType")
    if _is_text(block):
        return {"type": "input_text", "text": block["text"]}
    if block.get("type") == "image" and isinstance(data, str) and isinstance(mime, str):
        return {"type": "input_image", "image_url": f"data:{mime};base64,{data}"}
    return {"type": "input_text", "text": _json(block)}


def _function(tool: Item) -> Item:
    about = {"description": tool["description"]} if isinstance(tool.get("description"), str) else {}
    return {"name": tool["name"], **about, "parameters": tool.get("inputSchema") or NO_SCHEMA}


def _chat_tool(tool: Item) -> Item:
    return {"type": "function", "function": _function(tool)}


def _responses_tool(tool: Item) -> Item:
    return {"type": "function", **_function(tool), "strict": False}


def _blocks(result: Mapping[str, Any]) -> list[Any]:
    content, structured = result.get("content"), result.get("structuredContent")
    blocks = content if isinstance(content, list) else []
    return blocks if blocks or structured is None else [_as_text(structured)]


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str)


def _as_text(value: Any) -> Item:
    return {"type": "text", "text": _json(value)}


def _json(value: Any) -> str:
    return wire.dumps(value).decode()


def _object(value: Any, what: str) -> Item:
    if not isinstance(value, dict):
        raise _invalid(f"{what} must be an object")
    return value


def _text(holder: Item, key: str) -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise _invalid(f"'{key}' must be a text")
    return value


def _invalid(problem: str) -> McpError:
    return McpError(INVALID_REQUEST, f"Invalid request: {problem}", status=400)


AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}

FORMATS: Final = {
    "chat": Format("chat", _read_chat, _write_chat, _chat_part, _chat_tool, "tool_call_id", "id"),
    "responses": Format(
        "responses", _read_responses, _write_responses, _responses_part, _responses_tool, "call_id", "call_id"
    ),
}
