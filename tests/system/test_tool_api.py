"""The tool API of the installed command over a published server, called with curl as its users do."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fixtures.gateways import Served, serving
from tests.fixtures.node import MODULES, node22

SECONDS = 30.0
EXECUTE, TOOLS = "/v1/mcp/tool/execute", "/v1/mcp/tools"
JSON = "Content-Type: application/json"

CHAT = (
    r'{"id":"call_xyz789","type":"function","function":{"name":"filesystem_list_directory",'
    r'"arguments":"{\"path\": \".\"}"}}'
)
RESPONSES = (
    r'{"type":"function_call","call_id":"call_xyz789","name":"filesystem_read_file",'
    r'"arguments":"{\"path\": \"greeting.txt\"}"}'
)


@dataclass
class Said:
    """What came back."""

    status: int
    headers: dict[str, str]
    json: Any


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("filesystem")
    folder = home / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "greeting.txt").write_text("hello from a file")
    script = MODULES / "@modelcontextprotocol" / "server-filesystem" / "dist" / "index.js"
    server = {"command": str(node22()), "args": [str(script), str(folder)], "cwd": str(folder)}
    with serving(home, {"filesystem": server}) as served:
        yield served


def ask(url: str, body: str | None = None, *headers: str) -> Said:
    """One request: with curl where there is one, as the examples have it."""
    headers = (*headers, *([JSON] if body is not None else []))
    return (_curl if shutil.which("curl") else _client)(url, body, headers)


def _curl(url: str, body: str | None, headers: tuple[str, ...]) -> Said:
    words = ["curl", "--silent", "--show-error", "--noproxy", "*", "--include", url]
    words += [word for header in headers for word in ("-H", header)]
    words += [] if body is None else ["-d", body]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True)
    head, _, rest = done.stdout.partition("\n\n")
    status, *lines = head.splitlines()
    found = dict(line.lower().split(": ", 1) for line in lines)
    return Said(int(status.split()[1]), found, json.loads(rest) if rest else None)


def _client(url: str, body: str | None, headers: tuple[str, ...]) -> Said:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=SECONDS)
    fields = dict(header.split(": ", 1) for header in headers)
    connection.request("GET" if body is None else "POST", f"{parts.path}?{parts.query}", body, fields)
    answer = connection.getresponse()
    rest = answer.read()
    connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return Said(answer.status, found, json.loads(rest) if rest else None)


def test_the_call_of_a_chat_completion_is_executed_as_it_is(gateway: Served) -> None:
    for query in ("", "?format=chat", "?format=Chat"):
        said = ask(gateway.root + EXECUTE + query, CHAT)
        assert said.status == 200
        assert said.json == {
            "role": "tool",
            "content": "[FILE] greeting.txt\n[DIR] sub",
            "tool_call_id": "call_xyz789",
        }


def test_the_call_of_a_response_is_executed_as_it_is(gateway: Served) -> None:
    for body in (RESPONSES, RESPONSES.replace("function_call", "function_call_output")):
        said = ask(gateway.root + EXECUTE + "?format=responses", body)
        output = {"type": "function_call_output", "call_id": "call_xyz789", "output": "hello from a file"}
        assert (said.status, said.json) == (200, output)


@pytest.mark.parametrize("form", ["chat", "responses"])
def test_a_tool_that_is_not_there_is_not_allowed(gateway: Served, form: str) -> None:
    body = (CHAT if form == "chat" else RESPONSES).replace("list_directory", "delete_file")
    said = ask(f"{gateway.root}{EXECUTE}?format={form}", body.replace("read_file", "delete_file"))
    words = "Tool 'filesystem_delete_file' is not allowed for this request"
    assert (said.status, said.json) == (403, {"error": {"type": "tool_execution_error", "message": words}})


def test_a_refusal_of_the_server_is_a_result_for_the_model(gateway: Served) -> None:
    said = ask(gateway.root + EXECUTE, CHAT.replace(r"\".\"", r"\"/etc\""))
    assert (said.status, said.headers["x-mcp-is-error"]) == (200, "true")
    assert set(said.json) == {"role", "content", "tool_call_id"}
    assert "outside allowed directories" in said.json["content"]


def test_calls_of_one_message_are_executed_together(gateway: Served) -> None:
    said = ask(gateway.root + EXECUTE, f"[{CHAT}, {CHAT.replace('xyz789', 'second')}]")
    assert [one["tool_call_id"] for one in said.json] == ["call_xyz789", "call_second"]
    assert {one["content"] for one in said.json} == {"[FILE] greeting.txt\n[DIR] sub"}


def test_the_list_is_what_a_request_to_a_model_takes(gateway: Served) -> None:
    said = ask(gateway.root + TOOLS)
    tools = {one["function"]["name"]: one for one in said.json["tools"]}
    assert list(tools) == gateway.tools()
    assert tools["filesystem_read_file"]["function"]["parameters"]["required"] == ["path"]
    again = ask(gateway.root + TOOLS, None, f"If-None-Match: {said.headers['etag']}")
    assert (again.status, again.json) == (304, None)


@pytest.mark.parametrize("header", ["x-mcp-include-tools", "x-bf-mcp-include-tools"])
def test_a_header_narrows_what_is_listed_and_called(gateway: Served, header: str) -> None:
    narrow = f"{header}: filesystem_read_file, filesystem_write_*"
    names = [one["function"]["name"] for one in ask(gateway.root + TOOLS, None, narrow).json["tools"]]
    assert names == ["filesystem_read_file", "filesystem_write_file"]
    assert ask(gateway.root + EXECUTE, CHAT, narrow).status == 403
    assert ask(gateway.root + EXECUTE + "?format=responses", RESPONSES, narrow).status == 200


def test_a_file_that_is_an_image_comes_as_one(gateway: Served) -> None:
    call = CHAT.replace("list_directory", "read_media_file").replace(r"\".\"", r"\"sub/dot.png\"")
    (part,) = ask(gateway.root + EXECUTE + "?content=parts", call).json["content"]
    assert part == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    as_text = ask(gateway.root + EXECUTE, call).json["content"]
    assert [block["mimeType"] for block in json.loads(as_text)] == ["image/png"]
