"""Published servers (npm and PyPI, pinned) behind the installed command, reached in every way that clients have."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.fixtures.gateways import (
    ROOT,
    Served,
    Stdio,
    command,
    config_file,
    environment,
    serving,
    stdio,
    text_of,
)
from tests.fixtures.node import MODULES, node22, node_env, npm_bin
from tests.fixtures.sdk_client import Sdk, tool_names

SECONDS = 30.0  # a bound for one whole conversation, starts included

# One tool of each server, by its name at the door to everything; FOLDER and REPOSITORY stand for the temporary ones.
CALLS = {
    "filesystem_read_text_file": ({"path": "FOLDER/greeting.txt"}, "hello from a file"),
    "memory_read_graph": ({}, '"entities"'),
    "everything_get-sum": ({"a": 2, "b": 40}, "The sum of 2 and 40 is 42."),
    "time_get_current_time": ({"timezone": "Europe/Zurich"}, "Europe/Zurich"),
    "git_git_log": ({"repo_path": "REPOSITORY"}, "Greet the world"),
}

# At least these, in this order; the servers' other tools are between them.
LISTED = [
    "filesystem_read_file",
    "filesystem_write_file",
    "filesystem_list_allowed_directories",
    "memory_create_entities",
    "memory_open_nodes",
    "everything_echo",
    "everything_get-sum",
    "time_get_current_time",
    "time_convert_time",
    "git_git_status",
    "git_git_branch",
]


COMMIT = ("-q", "--no-gpg-sign", "--allow-empty", "-m", "Greet the world")
TEXT_URI = "demo://resource/dynamic/text/1"


class Caller(Protocol):
    """One way to the gateway."""

    def tools(self) -> list[str]: ...

    def call(self, tool: str, **arguments: Any) -> str: ...


def node_server(package: str, *args: str, **env: str) -> dict[str, Any]:
    script = MODULES / "@modelcontextprotocol" / f"server-{package}" / "dist" / "index.js"
    return {"command": str(node22()), "args": [str(present(script, "npm ci --prefix tests")), *args], "env": env}


def pypi_server(name: str, *args: str) -> dict[str, Any]:
    script = ROOT / ".cache" / "servers" / name / "bin" / f"mcp-server-{name}"
    return {"command": str(present(script, "make test-setup")), "args": list(args)}


def present(path: Path, mend: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run {mend}")
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file in `folder` and a commit in `repository`."""
    home = tmp_path_factory.mktemp("real")
    (home / "folder").mkdir()
    (home / "folder" / "greeting.txt").write_text("hello from a file")
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for words in (("init", "-q", "repository"), ("-C", "repository", *author, "commit", *COMMIT)):
        subprocess.run(["git", *words], cwd=home, check=True, timeout=SECONDS, env={**os.environ, "HOME": str(home)})
    return home


@pytest.fixture(scope="module")
def servers(home: Path) -> dict[str, dict[str, Any]]:
    return {
        "filesystem": node_server("filesystem", str(home / "folder")),
        "memory": node_server("memory", MEMORY_FILE_PATH=str(home / "memory.jsonl")),
        "everything": node_server("everything"),
        "time": pypi_server("time"),
        "git": pypi_server("git", "--repository", str(home / "repository")),
    }


@pytest.fixture(scope="module")
def gateway(home: Path, servers: dict[str, dict[str, Any]]) -> Iterator[Served]:
    with serving(home, servers) as served:
        yield served
        assert [event for event in served.log() if event["level"] not in ("debug", "info")] == []


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory, servers: dict[str, dict[str, Any]]) -> Iterator[Stdio]:
    with stdio(tmp_path_factory.mktemp("pipe"), servers) as client:
        client.initialize()
        yield client
        assert [event for event in client.log() if event["level"] not in ("debug", "info")] == []


@pytest.fixture(params=["modern over HTTP", "legacy over HTTP", "plain JSON over HTTP", "stdio"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each way to the gateway."""
    if request.param == "stdio":
        return request.getfixturevalue("pipe")
    served = request.getfixturevalue("gateway")
    modes = {"modern over HTTP": "2026-07-28", "legacy over HTTP": "legacy"}
    return Sdk(served.url, modes[request.param]) if request.param in modes else served


def filled(arguments: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The arguments with the temporary folders in them."""
    text = json.dumps(arguments)
    return json.loads(text.replace("FOLDER", str(home / "folder")).replace("REPOSITORY", str(home / "repository")))


def test_all_tools_of_all_servers_are_listed_with_their_prefixes(caller: Caller) -> None:
    names = caller.tools()
    assert [name for name in names if name in LISTED] == LISTED
    assert {name.partition("_")[0] for name in names} == {"filesystem", "memory", "everything", "time", "git"}
    assert len(names) == len(set(names)) == 54


@pytest.mark.parametrize("tool", CALLS)
def test_a_tool_of_each_server_can_be_called(caller: Caller, tool: str, home: Path) -> None:
    arguments, expected = CALLS[tool]
    assert expected in caller.call(tool, **filled(arguments, home))


def test_every_way_shows_the_same_tools_in_the_same_order(gateway: Served, pipe: Stdio) -> None:
    names = gateway.tools()
    assert Sdk(gateway.url, "2026-07-28").tools() == names
    assert Sdk(gateway.url, "legacy").tools() == names
    assert pipe.tools() == names


def test_the_sdks_stdio_client_lists_and_calls(home: Path, servers: dict[str, dict[str, Any]]) -> None:
    program, *args = map(str, command("stdio", "-c", config_file(home, servers)))
    parameters = StdioServerParameters(command=program, args=args, env=environment(home))

    async def use() -> tuple[list[str], str]:
        async with asyncio.timeout(SECONDS), Client(stdio_client(parameters)) as client:
            names = await tool_names(client)
            result = await client.call_tool("everything_get-sum", {"a": 2, "b": 40})
            return names, result.content[0].text

    names, text = asyncio.run(use())
    assert [name for name in names if name in LISTED] == LISTED
    assert text == "The sum of 2 and 40 is 42."


def test_the_door_of_one_server_shows_its_own_names(gateway: Served) -> None:
    names = gateway.tools("/memory")
    assert names[:2] == ["create_entities", "create_relations"]
    assert [f"memory_{name}" for name in names] == [name for name in gateway.tools() if name.startswith("memory_")]
    _, answer = gateway.ask("tools/call", {"name": "read_graph", "arguments": {}}, door="/memory")
    assert '"entities"' in text_of(answer)


def test_what_one_client_writes_another_reads(gateway: Served) -> None:
    entity = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
    modern = Sdk(gateway.url, "2026-07-28")
    assert "Ada" in modern.call("memory_create_entities", entities=[entity])
    assert "wrote the first program" in Sdk(gateway.url, "legacy").call("memory_open_nodes", names=["Ada"])


def test_a_servers_own_refusal_comes_through(caller: Caller) -> None:
    assert "outside allowed directories" in caller.call("filesystem_read_text_file", path="/etc/passwd")


def test_prompts_come_through(gateway: Served) -> None:
    _, answer = gateway.ask("prompts/list")
    names = [prompt["name"] for prompt in answer["result"]["prompts"]]
    assert "everything_simple-prompt" in names
    assert "everything_args-prompt" in names
    _, answer = gateway.ask("prompts/get", {"name": "everything_args-prompt", "arguments": {"city": "Bern"}})
    assert "Bern" in json.dumps(answer["result"]["messages"])


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
def test_prompts_and_resources_come_through_to_the_sdks_client(gateway: Served, mode: str) -> None:
    async def use(client: Client) -> tuple[Any, ...]:
        prompt = await client.get_prompt("everything_args-prompt", {"city": "Bern"})
        resources = await client.list_resources()
        templates = await client.list_resource_templates()
        return prompt, resources.resources, templates.resource_templates, await client.read_resource(TEXT_URI)

    prompt, resources, templates, read = Sdk(gateway.url, mode).run(use)
    assert "Bern" in prompt.messages[0].content.text
    assert any("architecture" in str(resource.uri) for resource in resources)
    assert any("{" in template.uri_template for template in templates)
    assert read.contents[0].text.startswith("Resource 1")


def test_resources_and_templates_come_through(gateway: Served) -> None:
    _, answer = gateway.ask("resources/list")
    (uri, *_) = [one["uri"] for one in answer["result"]["resources"] if "architecture" in one["uri"]]
    _, answer = gateway.ask("resources/read", {"uri": uri})
    assert "everything" in answer["result"]["contents"][0]["text"].lower()
    _, answer = gateway.ask("resources/read", {"uri": TEXT_URI})
    assert answer["result"]["contents"][0]["uri"] == TEXT_URI


def test_arguments_of_a_prompt_are_completed(gateway: Served) -> None:
    ref = {"type": "ref/prompt", "name": "everything_completable-prompt"}
    argument = {"name": "department", "value": "E"}
    _, answer = gateway.ask("completion/complete", {"ref": ref, "argument": argument})
    assert "Engineering" in answer["result"]["completion"]["values"]


def inspected(home: Path, *words: str | Path) -> Any:
    """What the inspector prints in command-line mode."""
    done = subprocess.run(
        [node22(), npm_bin("inspector"), "--cli", *words],
        env={**node_env(), "HOME": str(home), "XDG_STATE_HOME": str(home / "state")},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=["HTTP", "stdio"])
def target(request: pytest.FixtureRequest, tmp_path: Path, servers: dict[str, dict[str, Any]]) -> list[str | Path]:
    """The words that lead the inspector to the gateway."""
    if request.param == "HTTP":
        return ["--transport", "http", "--server-url", request.getfixturevalue("gateway").url]
    return command("stdio", "-c", config_file(tmp_path, servers))


def test_the_inspector_lists_and_calls(target: list[str | Path], home: Path, tmp_path: Path) -> None:
    listed = inspected(tmp_path, *target, "--method", "tools/list")
    names = [tool["name"] for tool in listed["tools"]]
    assert [name for name in names if name in LISTED] == LISTED
    words = ["--method", "tools/call", "--tool-name", "filesystem_read_text_file", "--tool-arg"]
    called = inspected(tmp_path, *target, *words, f"path={home / 'folder' / 'greeting.txt'}")
    assert called["content"][0]["text"] == "hello from a file"


def test_the_inspector_sees_prompts_and_resources(gateway: Served, tmp_path: Path) -> None:
    target = ["--transport", "http", "--server-url", gateway.url]
    prompts = inspected(tmp_path, *target, "--method", "prompts/list")["prompts"]
    assert "everything_simple-prompt" in [prompt["name"] for prompt in prompts]
    read = inspected(tmp_path, *target, "--method", "resources/read", "--uri", TEXT_URI)
    assert read["contents"][0]["text"].startswith("Resource 1")
