"""One entry of `mcpServers`: what is inferred, what is refused, and what the texts give away."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from upstreams.config import ServerEntry, parse_duration, parse_size


def entry(**keys: Any) -> ServerEntry:
    return ServerEntry.model_validate({"name": "s", **keys})


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("1.5s", 1.5), ("0s", 0.0)]
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", [30, 1.5, "30"])
def test_a_duration_without_a_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=re.escape("has no unit; write it like 500ms, 30s, 5m or 1h")):
        parse_duration(value)


@pytest.mark.parametrize("value", ["", "s", "5 parsecs", "-3s", "5M", "9" * 400 + "s", True, None, []])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


@pytest.mark.parametrize(("text", "size"), [("512B", 512), ("64KiB", 65536), ("4MiB", 4 << 20), ("1GiB", 1 << 30)])
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["4MB", "4M", "", "MiB", "-1B", "9" * 400 + "B", None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(value)


def test_the_defaults_are_those_of_the_documentation() -> None:
    one = entry(command="npx")
    assert (one.timeout, one.max_timeout, one.concurrency) == (60.0, 600.0, 64)
    assert (one.isolation, one.protocol, one.required, one.validate_arguments) == ("shared", "auto", False, True)
    assert (one.tools.include, one.tools.exclude, one.tools.pin, one.tools.overrides) == (["*"], [], "off", {})
    assert one.disabled is False


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"command": "npx"}, "stdio"),
        ({"url": "https://example.com/mcp"}, "http"),
        ({"url": "https://example.com/mcp", "type": "http"}, "http"),
        ({"url": "https://example.com/mcp", "type": "streamable-http"}, "http"),
        ({"url": "https://example.com/mcp", "type": "streamableHttp"}, "http"),
        ({"url": "https://example.com/sse", "type": "sse"}, "sse"),
        ({"command": "npx", "url": None}, "stdio"),
    ],
)
def test_the_type_is_inferred_or_taken(keys: dict[str, Any], kind: str) -> None:
    assert entry(**keys).type == kind


def test_the_prefix_is_the_name_unless_given() -> None:
    assert entry(command="npx").effective_prefix == "s"
    assert entry(command="npx", prefix="gh").effective_prefix == "gh"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "needs command"),
        ({"type": "stdio", "url": "https://example.com"}, "type stdio needs command"),
        ({"type": "http", "command": "npx"}, "type http needs url and takes no command"),
        ({"command": "npx", "url": "https://example.com"}, "takes no command"),
        ({"command": "npx", "type": "stdio", "url": "https://example.com"}, "takes no url and no headers"),
        ({"command": "npx", "headers": {"A": "b"}}, "takes no url and no headers"),
        ({"command": ""}, "must not be empty"),
        ({"command": "npx", "args": ["a\0b"]}, "must not hold a NUL"),
        ({"command": "npx", "env": {"A=B": "x"}}, "'A=B' is not a variable name"),
        ({"command": "npx", "env": {"A": "x\0"}}, "the value of A must not hold a NUL"),
        ({"command": "npx", "env_pass": ["A B"]}, "'A B' is not a variable name"),
        ({"command": "npx", "env": {"A": 3.1}}, "put the number in quotes"),
        ({"command": "npx", "timeout": "0s"}, "greater than 0"),
        ({"command": "npx", "timeout": "20m"}, "raise max_timeout too"),
        ({"command": "npx", "concurrency": 0}, "greater than or equal to 1"),
        ({"command": "npx", "prefix": ""}, "at least 1 character"),
        ({"command": "npx", "protocol": "latest"}, "must be auto or a protocol version"),
        ({"command": "npx", "isolation": "per_session"}, "'shared'"),
        ({"command": "npx", "colour": "red"}, "Extra inputs"),
        ({"command": "npx", "tools": {"overrides": {"t": {"colour": 1}}}}, "Extra inputs"),
    ],
)
def test_a_wrong_entry_is_refused(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(text)):
        entry(**keys)


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com", "example.com/mcp", "http://", "https://:80/", "http://[::1", "http://a:x/", "http://a b/"],
)
def test_a_url_needs_http_and_a_host(url: str) -> None:
    with pytest.raises(ValidationError, match="must be an http:// or https:// URL with a host"):
        entry(url=url)


@pytest.mark.parametrize(
    "headers", [{"X\r\nY": "1"}, {"": "1"}, {"X Y": "1"}, {"X": "1\r\nHost: evil"}, {"X": "a\0"}, {"x": "1", "X": "2"}]
)
def test_headers_that_could_split_or_double_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        entry(url="https://example.com", headers=headers)


def test_plain_numbers_and_booleans_become_the_words_they_were() -> None:
    one = entry(command="npx", args=["--port", 8080], env={"DEBUG": True, "PORT": 3000})
    assert one.args == ["--port", "8080"]
    assert one.env == {"DEBUG": "true", "PORT": "3000"}


def test_names_of_variables_may_be_those_of_windows() -> None:
    assert entry(command="npx", env_pass=["ProgramFiles(x86)"]).env_pass == ["ProgramFiles(x86)"]


def test_an_override_has_its_own_timeout_and_arguments() -> None:
    override = {"name": "n", "timeout": "2m", "arguments": {"default": {"draft": True}, "set": {"org": "acme"}}}
    found = entry(command="npx", tools={"overrides": {"create": override}}).tools.overrides["create"]
    assert (found.name, found.description, found.timeout) == ("n", None, 120.0)
    assert (found.arguments.default, found.arguments.set) == ({"draft": True}, {"org": "acme"})


def test_no_secret_is_in_the_repr_or_in_an_error() -> None:
    one = entry(url="https://example.com/mcp?key=hush", headers={"Authorization": "Bearer hush"})
    assert "hush" not in repr(one)
    assert "hush" not in repr(entry(command="npx", args=["--token=hush"], env={"TOKEN": "hush"}))
    with pytest.raises(ValidationError) as caught:
        entry(url="ftp://hush", headers={"Authorization": "hush\n"}, env={"TOKEN": ["hush"]})
    assert "hush" not in str(caught.value)
