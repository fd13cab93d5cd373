"""Header forms of MCP 2026-07-28, held against the SDK's over many generated cases."""

import random
from typing import Any

import pytest
from mcp.shared import inbound as sdk

from upstreams import headers

TEXTS = [
    "",
    "a",
    " a",
    "a ",
    "\ta",
    "a b",
    "é",
    "日本",
    "\x00",
    "\x7f",
    "~",
    "=?base64?YQ==?=",
    "=?base64?",
    "?=",
    "a\nb",
    "\xa0",
]
FORMS = [
    "=?base64??=",
    "=?base64?YQ==?=",
    "=?base64?YQ=?=",
    "=?base64?YQ?=",
    "=?base64?YR==?=",
    "=?base64?Y Q==?=",
    "=?base64?YQ==\n?=",
    "=?base64?_w==?=",
    "=?base64?/w==?=",
    "=?BASE64?YQ==?=",
    " =?base64?YQ==?=",
    "=?base64?YQ==?= ",
    "=?base64?=?base64?YQ==?=?=",
]
TOKENS: list[Any] = ["A", "a", "Region", "x-y", "", "a b", "é", "a:", "A\n", 5, None, True]
TYPES: list[Any] = ["string", "integer", "boolean", "number", "object", None, ["string"], "String"]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    42,
    -7,
    42.0,
    0.5,
    1e300,
    2**70,
    "",
    "a",
    " a ",
    "42",
    "true",
    "é",
    [],
    {},
    {"b": 1},
]


def schema(random_: random.Random, depth: int = 0) -> dict[str, Any]:
    """Some schema, with annotations in places where they may be and where they may not."""
    made: dict[str, Any] = {"type": random_.choice(TYPES)}
    if depth and random_.random() < 0.4:
        made["x-mcp-header"] = random_.choice(TOKENS)
    if depth < 3 and random_.random() < 0.7:
        made["properties"] = {name: schema(random_, depth + 1) for name in random_.sample("abc", random_.randint(1, 3))}
    if random_.random() < 0.1:
        made[random_.choice(["items", "not", "if", "additionalProperties"])] = schema(random_, depth + 1)
    if random_.random() < 0.1:
        made[random_.choice(["allOf", "oneOf", "prefixItems"])] = [schema(random_, depth + 1)]
    if random_.random() < 0.1:
        made[random_.choice(["$defs", "patternProperties", "default", "const"])] = {"a": schema(random_, depth + 1)}
    return made


def good_schema(random_: random.Random) -> dict[str, Any]:
    """A schema whose annotations are all valid."""
    names = random_.sample("abcd", 3)
    kinds = ["string", "integer", "boolean"]
    leaf = lambda name: {"type": random_.choice(kinds), "x-mcp-header": f"H-{name}"}  # noqa: E731
    nested = {"type": "object", "properties": {"b": leaf("nested")}}
    return {"type": "object", "properties": {**{name: leaf(name) for name in names}, "n": nested}}


def arguments(random_: random.Random) -> dict[str, Any]:
    made = {name: random_.choice(VALUES) for name in "abcdn" if random_.random() < 0.8}
    if random_.random() < 0.7:
        made["n"] = {"b": random_.choice(VALUES)}
    return made


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_values_are_encoded_as_the_sdk_does_and_come_back(text: str) -> None:
    assert headers.encode_value(text) == sdk.encode_header_value(text)
    assert headers.decode_value(headers.encode_value(text)) == text


@pytest.mark.parametrize("text", [*TEXTS, *FORMS], ids=ascii)
def test_values_are_decoded_as_the_sdk_does(text: str) -> None:
    assert headers.decode_value(text) == sdk.decode_header_value(text)


def test_an_encoding_that_is_not_ascii_equals_nothing() -> None:
    assert headers.decode_value("=?base64?\xe9?=") is None


def test_random_encodings_are_decoded_as_the_sdk_does() -> None:
    random_ = random.Random(1)
    for _ in range(2_000):
        text = "=?base64?" + "".join(random_.choices("YQ=/+_-A z\n", k=random_.randint(0, 8))) + "?="
        assert headers.decode_value(text) == sdk.decode_header_value(text), text


def test_subjects_are_in_the_parameters_that_the_sdk_reads() -> None:
    assert dict(sdk.NAME_BEARING_METHODS) == headers.NAME_KEYS


def test_annotations_are_found_valid_exactly_where_the_sdk_finds_them() -> None:
    random_, valid = random.Random(2), 0
    for _ in range(10_000):
        made = schema(random_)
        reason = sdk.find_invalid_x_mcp_header(made)
        try:
            found = headers.annotated_parameters(made)
        except ValueError:
            assert reason is not None, made
            continue
        assert reason is None, (made, reason)
        assert {path: token for path, (token, _) in found.items()} == sdk.x_mcp_header_map(made)
        valid += bool(found)
    assert valid > 50


@pytest.mark.parametrize("made", [None, 5, [], "x", {}, {"properties": []}, {"x-mcp-header": "A", "type": "string"}])
def test_odd_schemas_get_the_verdict_of_the_sdk(made: Any) -> None:
    try:
        ours = headers.annotated_parameters(made)
    except ValueError:
        assert sdk.find_invalid_x_mcp_header(made) is not None
    else:
        assert ours == {}
        assert sdk.find_invalid_x_mcp_header(made) is None


def test_parameters_are_mirrored_as_the_sdk_does() -> None:
    random_ = random.Random(3)
    for _ in range(1_000):
        made, given = good_schema(random_), arguments(random_)
        ours = headers.parameter_headers(headers.annotated_parameters(made), given)
        assert ours == sdk.mcp_param_headers(sdk.x_mcp_header_map(made), given)


def received(random_: random.Random, made: dict[str, Any], given: dict[str, Any]) -> dict[str, str]:
    """Headers that mostly agree with the arguments."""
    sent = {name.lower(): value for name, value in sdk.mcp_param_headers(sdk.x_mcp_header_map(made), given).items()}
    odd = [*FORMS, "1", "1.0", "0", "42.0", "42.50", "042", "+42", "-7.000", "1e2", "true", "True", "9" * 5_000, "٤٢"]
    for name in ["mcp-param-h-a", "mcp-param-h-nested", *sent]:
        chance = random_.random()
        if chance < 0.15:
            sent.pop(name, None)
        elif chance < 0.5:
            sent[name] = random_.choice(odd)
    return sent


def test_mismatches_are_found_exactly_where_the_sdk_finds_them() -> None:
    random_, verdicts = random.Random(4), [0, 0]
    for _ in range(6_000):
        made, given = good_schema(random_), arguments(random_)
        sent = received(random_, made, given)
        theirs = sdk.validate_mcp_param_headers(made, given, sent)
        ours = headers.parameter_mismatch(headers.annotated_parameters(made), given, sent)
        assert (ours is None) == (theirs is None), (made, given, sent, ours, theirs)
        verdicts[ours is None] += 1
    assert min(verdicts) > 200


def test_annotations_are_left_out_everywhere() -> None:
    made = {"properties": {"a": {"x-mcp-header": "A", "type": "string"}}, "allOf": [{"x-mcp-header": "B"}]}
    assert headers.without_annotations(made) == {"properties": {"a": {"type": "string"}}, "allOf": [{}]}
