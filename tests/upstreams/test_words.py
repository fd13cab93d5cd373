"""What an upstream says of its failures leaves it masked; what succeeds is untouched."""

from typing import Any

from upstreams.errors import ErrorReply
from upstreams.words import CUT, MAX_BLOCKS, UNMASKED, masked_reply, masked_result


class Shouting:
    """Makes what went through it visible."""

    def redact(self, text: str) -> str:
        return text.upper()

    def redact_json(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.redact_json(one) for key, one in value.items()}
        return value.upper() if isinstance(value, str) else value


def test_an_error_is_masked_in_message_and_data() -> None:
    reply = masked_reply(ErrorReply(-32000, "m", {"d": "x"}), Shouting())
    assert (reply.code, reply.message, reply.data) == (-32000, "M", {"d": "X"})


def embedded(text: str, title: str) -> list[Any]:
    """Content that holds its words deeper, or under other names."""
    inner = {"uri": "A:/", "mimeType": "text/plain", "text": text}
    binary = {"uri": "A:/", "blob": "aGk="}
    link = {"type": "resource_link", "uri": "A:/", "title": title}
    return [{"type": "resource", "resource": one} for one in (inner, binary)] + [link]


def test_the_texts_of_a_failed_tool_are_masked_and_its_images_are_not_read() -> None:
    blocks = [{"type": "text", "text": "t"}, {"type": "image", "data": "aGk="}, "odd", *embedded("r", "l")]
    result = {"isError": True, "content": blocks, "structuredContent": {"a": "s"}, "_meta": {"m": "x"}}
    assert masked_result(result, Shouting()) == {
        "isError": True,
        "content": [{"type": "text", "text": "T"}, {"type": "image", "data": "aGk="}, "ODD", *embedded("R", "L")],
        "structuredContent": {"a": "S"},
        "_meta": {"m": "X"},
    }
    assert masked_result({"isError": True, "content": "odd"}, Shouting())["content"] == "ODD"
    assert masked_result({"isError": True}, Shouting()) == {"isError": True}


def test_the_last_of_very_many_blocks_of_an_error_are_left_out() -> None:
    blocks = [{"type": "text", "text": "t"}] * MAX_BLOCKS
    assert len(masked_result({"isError": True, "content": blocks}, Shouting())["content"]) == MAX_BLOCKS
    cut = masked_result({"isError": True, "content": blocks * 2}, Shouting())["content"]
    assert cut == [{"type": "text", "text": "T"}] * MAX_BLOCKS + [CUT]


def test_without_a_mask_nothing_changes() -> None:
    assert masked_result({"isError": True, "content": "odd"}, UNMASKED) == {"isError": True, "content": "odd"}
    assert masked_reply(ErrorReply(1, "m"), UNMASKED).message == "m"
