from typing import Any

import pytest

from gateway.arguments import checker, shown_schema, transformed
from upstreams import wire
from upstreams.config import ArgumentsConfig

POD = {
    "type": "object",
    "properties": {
        "namespace": {"type": "string", "minLength": 2},
        "count": {"type": "integer", "maximum": 10},
        "kind": {"enum": ["pod", "service"]},
        "labels": {"type": "object", "required": ["app"], "properties": {"app": {"type": "string"}}},
        "names": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["namespace"],
    "additionalProperties": False,
}


def problem(schema: dict[str, Any], arguments: dict[str, Any]) -> tuple[str, Any] | None:
    error = checker("the tool", schema)(arguments)
    return None if error is None else (error.message, error.data)


def test_defaults_give_way_to_the_caller_and_what_is_set_does_not() -> None:
    config = ArgumentsConfig(default={"a": 1, "b": 2}, set={"c": 3})
    given = {"b": None, "c": 0, "d": 4}
    assert transformed(given, config) == {"a": 1, "b": None, "c": 3, "d": 4}
    assert given == {"b": None, "c": 0, "d": 4}


def test_a_schema_without_properties_or_with_odd_ones_is_shown_all_the_same() -> None:
    config = ArgumentsConfig(default={"a": 1}, set={"b": 2})
    assert shown_schema({"type": "object"}, config) == {"type": "object"}
    odd = {"properties": {"a": True, "b": {}}, "required": ["b"]}
    assert shown_schema(odd, config) == {"properties": {"a": True}}


def test_arguments_that_fit_have_no_problem() -> None:
    assert problem(POD, {"namespace": "prod", "count": 10, "labels": {"app": "x"}, "names": []}) is None


def test_a_missing_field_is_named_as_the_contract_says() -> None:
    message, data = problem(POD, {})
    assert message == "Invalid params: missing required field 'namespace'"
    assert data == {"field": "namespace", "expected": "a value"}


@pytest.mark.parametrize(
    ("arguments", "field", "text"),
    [
        ({"namespace": 5}, "namespace", "field 'namespace'"),
        ({"namespace": "x"}, "namespace", "field 'namespace'"),
        ({"namespace": "xx", "count": 11}, "count", "field 'count'"),
        ({"namespace": "xx", "count": 1.5}, "count", "field 'count'"),
        ({"namespace": "xx", "count": True}, "count", "field 'count'"),
        ({"namespace": "xx", "kind": "node"}, "kind", "field 'kind'"),
        ({"namespace": "xx", "labels": {}}, "labels.app", "missing required field 'labels.app'"),
        ({"namespace": "xx", "labels": {"app": 1}}, "labels.app", "field 'labels.app'"),
        ({"namespace": "xx", "names": ["a", 2]}, "names.1", "field 'names.1'"),
        ({"namespace": "xx", "force": True}, "force", "unknown field 'force'"),
    ],
)
def test_every_other_problem_names_its_field(arguments: dict[str, Any], field: str, text: str) -> None:
    message, data = problem(POD, arguments)
    assert text in message
    assert data["field"] == field
    assert wire.loads(wire.dumps(data)) == data


def test_a_long_value_does_not_make_a_long_message() -> None:
    message, _ = problem(POD, {"namespace": "xx", "kind": "k" * 100_000})
    assert len(message) < 500


@pytest.mark.parametrize(
    ("dialect", "schema", "wrong"),
    [
        (None, {"properties": {"a": {"prefixItems": [{"type": "string"}]}}}, {"a": [1]}),
        ("https://json-schema.org/draft/2020-12/schema", {"dependentRequired": {"a": ["b"]}}, {"a": 1}),
        ("http://json-schema.org/draft-07/schema#", {"dependencies": {"a": ["b"]}}, {"a": 1}),
        ("http://json-schema.org/draft-07/schema#", {"properties": {"a": {"items": [{"type": "string"}]}}}, {"a": [1]}),
        (
            "http://json-schema.org/draft-04/schema#",
            {"properties": {"a": {"maximum": 3, "exclusiveMaximum": True}}},
            {"a": 3},
        ),
    ],
)
def test_a_schema_is_read_in_its_own_dialect(
    dialect: str | None, schema: dict[str, Any], wrong: dict[str, Any]
) -> None:
    assert problem({**({"$schema": dialect} if dialect else {}), **schema}, wrong) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"properties": 5},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"pattern": "("}}},
        {"$schema": "http://127.0.0.1:9/dialect"},
        {"required": "a"},
    ],
    ids=str,
)
def test_a_broken_schema_or_one_that_needs_the_network_is_not_used_and_named(
    schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert checker("one's tool x", schema)({"a": "anything"}) is None
    assert "the input schema of one's tool x cannot be used" in caplog.text


def test_references_inside_a_schema_are_followed_also_in_circles() -> None:
    tree = {
        "$defs": {
            "node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}}}
        },
        "properties": {"root": {"$ref": "#/$defs/node"}},
    }
    assert problem(tree, {"root": {"next": {"next": {"v": 1}}}}) is None
    assert problem(tree, {"root": {"next": {"next": {"v": "x"}}}})[1]["field"] == "root.next.next.v"


def test_a_schema_that_only_refers_to_itself_hurts_nobody() -> None:
    checker("the tool", {"$ref": "#"})({"a": 1})


def test_a_hostile_pattern_gives_up() -> None:
    checker("the tool", {"properties": {"a": {"pattern": "^(a|a?)+$(?<!b)"}}})({"a": "a" * 40 + "!"})


def test_integers_beyond_64_bits_are_integers() -> None:
    schema = {"properties": {"n": {"type": "integer", "minimum": 2**70}}}
    assert problem(schema, wire.loads(b'{"n": %d}' % 2**71)) is None
    assert problem(schema, wire.loads(b'{"n": %d}' % 2**69)) is not None
    assert problem({"properties": {"n": {"type": "string"}}}, wire.loads(b'{"n": [%d]}' % 2**71)) is not None
