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


def masked_reply(reply: ErrorReply, mask: Mask) -> ErrorReply:
    """An upstream's error as its caller may read it."""
    return ErrorReply(reply.code, mask.redact(reply.message), mask.redact_json(reply.data))


def masked_result(result: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """The result of a tool that failed (`isError`): its texts are error texts too; images and the like are not read."""
    content = result.get("content")
    blocks = [_block(one, mask) for one in content] if isinstance(content, list) else content
    said = {key: value for key, value in result.items() if key != "content"}
    return {**mask.redact_json(said), **({} if content is None else {"content": blocks})}


def _block(block: Any, mask: Mask) -> Any:
    if isinstance(block, dict) and isinstance(block.get("text"), str):
        return {**block, "text": mask.redact(block["text"])}
    return block
