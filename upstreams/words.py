"""What an upstream says that people get to read, and the form of what masks secrets in it; knows no secret itself."""

from typing import Any, Final, Protocol

from upstreams.errors import ErrorReply


class Mask(Protocol):
    """Takes secrets out of texts."""

    def redact(self, text: str) -> str:
        """The text with `***` where something secret was."""
        ...

    def redact_json(self, value: Any) -> Any:
        """A copy of a JSON value with every text in it masked."""
        ...


class _Open:
    def redact(self, text: str) -> str:
        return text

    def redact_json(self, value: Any) -> Any:
        return value


UNMASKED: Final[Mask] = _Open()

MAX_BLOCKS: Final = 32  # of an error's content: each may take 20 ms of everybody's time
CUT: Final = {"type": "text", "text": "… (cut)"}


def masked_reply(reply: ErrorReply, mask: Mask) -> ErrorReply:
    """An upstream's error as its caller may read it."""
    return ErrorReply(reply.code, mask.redact(reply.message), mask.redact_json(reply.data))


def masked_result(result: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """The result of a tool that failed (`isError`): its texts are error texts too; what is base64 is not read.

    Of very many blocks the last are left out.
    """
    content = result.get("content")
    blocks = _blocks(content, mask) if isinstance(content, list) else mask.redact_json(content)
    said = {key: value for key, value in result.items() if key != "content"}
    return {**mask.redact_json(said), **({} if content is None else {"content": blocks})}


OPEN: Final = frozenset({"type", "mimeType", "data", "blob"})
"""Members of content that say how to read it, and those that are base64 (MCP, ContentBlock, BlobResourceContents)."""


def _blocks(content: list[Any], mask: Mask) -> list[Any]:
    blocks = [_block(one, mask) for one in content[:MAX_BLOCKS]]
    return [*blocks, CUT] if len(content) > MAX_BLOCKS else blocks


def _block(block: Any, mask: Mask) -> Any:
    """One block of content, the resource that it may embed included."""
    if not isinstance(block, dict):
        return mask.redact_json(block)
    return {key: _member(key, value, mask) for key, value in block.items()}


def _member(key: str, value: Any, mask: Mask) -> Any:
    if key == "resource":
        return _block(value, mask)
    return value if key in OPEN else mask.redact_json(value)
