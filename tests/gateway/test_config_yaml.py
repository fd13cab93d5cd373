"""The words that stay words in YAML, and the keys that are refused."""

from typing import Any

import pytest
import yaml

from gateway.config_yaml import StrictLoader


def value_of(text: str) -> Any:
    return yaml.load(f"key: {text}", Loader=StrictLoader)["key"]


@pytest.mark.parametrize(
    "text", ["off", "on", "yes", "no", "y", "2025-11-25", "0755", "1:30", "12_000", "0x1F", ".5", "9" * 5000]
)
def test_what_older_yaml_reads_as_something_else_stays_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("30", 30), ("-1", -1), ("0", 0), ("1.5", 1.5), ("1e+3", 1000.0), ("~", None),
     ("null", None), ("", None), ("'30'", "30")],
)  # fmt: skip
def test_plain_values_keep_their_type(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("key", ["1", "true", "null", "[a]", "1.5"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError, match="a key must be text; quote it"):
        yaml.load(f"a: {{? {key} : x}}", Loader=StrictLoader)


def test_merged_keys_may_be_overridden() -> None:
    text = "base: &base {command: npx, timeout: 5s}\none: {<<: *base, timeout: 9s}\n"
    assert yaml.load(text, Loader=StrictLoader)["one"] == {"command": "npx", "timeout": "9s"}


def test_no_tag_makes_a_python_object() -> None:
    with pytest.raises(yaml.YAMLError):
        value_of("!!python/object/apply:os.system [true]")
