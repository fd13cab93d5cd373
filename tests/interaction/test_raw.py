"""What the SDK's models would drop or refuse is carried as the server wrote it; read off the wire by plain HTTP."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.interaction_raw import (
    COMPLETION,
    CONTENTS,
    MESSAGES,
    META,
    PROMPT,
    RESOURCE,
    RESULT,
    TEMPLATE,
    TOOL,
)
from tests.fixtures.interaction_stage import ROOT
from tests.fixtures.interaction_wire import Wire, legacy, modern, sessionless
from tests.fixtures.processes import running

RAW = ROOT / "tests" / "fixtures" / "interaction_raw.py"
SERVERS = ["stdio-legacy", "stdio-modern", "http-legacy", "http-modern"]
STAMPS = ("resultType", "ttlMs", "cacheScope")

Message = dict[str, Any]
Send = Callable[[str, Message], Message]
Connect = Callable[[str], Wire]


@pytest.fixture(scope="module")
def door(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """The door to everything of a gateway before raw servers."""
    servers: dict[str, Any] = {}
    with ExitStack() as stack:
        for name in SERVERS:
            transport, era = name.split("-")
            argv = [str(RAW), transport, "--protocol", era]
            if transport == "stdio":
                servers[name] = {"command": sys.executable, "args": argv}
            else:
                server = stack.enter_context(running([sys.executable, *argv], r"(?P<url>http://\S+/mcp)"))
                servers[name] = {"url": server.match["url"]}
        file = home / "raw.json"
        file.write_text(json.dumps({"mcpServers": servers, "server": {}}))
        argv = [sys.executable, "-m", "gateway.cli", "serve", "-c", str(file), "--port", "0"]
        gateway = stack.enter_context(running(argv, r"(?P<url>http://\S+/mcp)", env=environment, cwd=ROOT))
        yield gateway.match["url"]


def as_the_server_wrote_it(result: Message) -> Message:
    """A result without the stamps of the modern era."""
    if "resultType" not in result:
        return result
    assert result["resultType"] == "complete"
    meta = {key: value for key, value in result["_meta"].items() if key != f"{META}serverInfo"}
    rest = {key: value for key, value in result.items() if key not in (*STAMPS, "_meta")}
    return {**rest, "_meta": meta} if meta else rest


@pytest.fixture(params=[sessionless, legacy, modern])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Each kind of HTTP client."""
    kind: Connect = request.param
    return kind


@pytest.fixture(params=SERVERS)
def send(request: pytest.FixtureRequest, connect: Connect, door: str) -> Send:
    """Each client before each server."""
    wire = connect(f"{door}/{request.param}")
    return lambda method, params: as_the_server_wrote_it(wire.result(method, params))


def test_a_tool_definition_keeps_every_key_and_a_malformed_one_costs_only_itself(send: Send) -> None:
    assert send("tools/list", {}) == {"tools": [TOOL]}


def test_prompts_resources_and_templates_keep_every_key(send: Send) -> None:
    assert send("prompts/list", {}) == {"prompts": [PROMPT]}
    assert send("resources/list", {}) == {"resources": [RESOURCE]}
    assert send("resources/templates/list", {}) == {"resourceTemplates": [TEMPLATE]}


def test_the_result_of_a_call_is_carried_with_unknown_content_and_keys(send: Send) -> None:
    assert send("tools/call", {"name": "odd", "arguments": {}}) == RESULT


def test_a_number_is_written_as_the_integer_that_it_was(send: Send) -> None:
    result = send("tools/call", {"name": "odd"})
    assert json.dumps(result["structuredContent"]["number"]) == "18446744073709551617"


def test_a_prompt_a_resource_and_a_completion_keep_every_key(send: Send) -> None:
    assert send("prompts/get", {"name": "odd"}) == MESSAGES
    assert send("resources/read", {"uri": "odd://one"}) == CONTENTS
    completing = {"ref": {"type": "ref/prompt", "name": "odd"}, "argument": {"name": "x", "value": ""}}
    assert send("completion/complete", completing) == COMPLETION


def test_at_the_door_to_everything_only_names_differ(connect: Connect, door: str) -> None:
    wire = connect(door)
    assert wire.result("tools/list", {})["tools"] == [{**TOOL, "name": f"{name}_odd"} for name in SERVERS]
    for name in SERVERS:
        assert as_the_server_wrote_it(wire.result("tools/call", {"name": f"{name}_odd"})) == RESULT
        assert as_the_server_wrote_it(wire.result("prompts/get", {"name": f"{name}_odd"})) == MESSAGES
