"""Entries as Claude Desktop, Cursor, Claude Code and VS Code write them, and what becomes of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, load
from gateway.config_entries import parse_dotenv, starts_onegate
from gateway.config_problems import ConfigError

CLAUDE_DESKTOP = """
{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/me/Desktop"]
    },
    "brave search": {"command": "npx", "args": ["-y", "brave"], "env": {"BRAVE_API_KEY": "key"}},
    "onegate": {"command": "/usr/local/bin/onegate", "args": ["stdio", "-c", "claude_desktop_config.json"]}
  }
}
"""

CURSOR = """
{
  "mcpServers": {
    "local": {
      "type": "stdio",
      "command": "python",
      "args": ["${workspaceFolder}/tools/server.py"],
      "env": {"API_KEY": "${env:API_KEY}"},
      "envFile": "${workspaceFolder}/.env"
    },
    "remote": {"url": "https://example.com/mcp", "headers": {"X-Key": "${env:API_KEY}"}, "auth": {"CLIENT_ID": "x"}}
  }
}
"""

CLAUDE_CODE = """
{
  "mcpServers": {
    "github": {
      "type": "http",
      "url": "${BASE_URL:-https://example.com}/mcp",
      "headers": {"Authorization": "Bearer ${API_KEY}"},
      "timeout": 600000
    },
    "asana": {"type": "sse", "url": "https://example.com/sse"},
    "db": {"type": "stdio", "command": "npx", "args": ["-y", "db"], "env": {}}
  }
}
"""

VS_CODE = """
{
  // What the servers ask for
  "inputs": [
    {"type": "promptString", "id": "perplexity-key", "description": "Key", "password": true},
  ],
  "servers": {
    /* a server with a secret */
    "perplexity": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "server-perplexity-ask"],
      "env": {"PERPLEXITY_API_KEY": "${input:perplexity-key}", "PORT": 3000, "DEBUG": null},
      "dev": {"watch": "src/**"},
    },
    "fetch": {"command": "uvx", "args": ["mcp-server-fetch"], "cwd": "${workspaceFolder}/data"},
    "github": {"type": "http", "url": "https://example.com/mcp/"},
  },
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(name: str, text: str, environ: Mapping[str, str] | None = None) -> Config:
    Path(name).write_text(text, encoding="utf-8")
    return load(Path(name), environ or {})


def only(entry: str, environ: Mapping[str, str] | None = None) -> Config:
    return config("onegate.yaml", f"mcpServers: {{a: {entry}}}", environ)


def test_a_file_of_claude_desktop_works_as_it_is(folder: Path) -> None:
    found = config("claude_desktop_config.json", CLAUDE_DESKTOP)
    assert list(found.servers) == ["filesystem", "brave search"]
    assert found.servers["filesystem"].args[-1] == "/Users/me/Desktop"
    assert found.servers["brave search"].env == {"BRAVE_API_KEY": "key"}
    assert found.warnings == [
        "claude_desktop_config.json: mcpServers.onegate: starts onegate itself; left out",
        "claude_desktop_config.json: keys that mean nothing here are ignored: globalShortcut",
    ]


def test_a_file_of_cursor_works_as_it_is(folder: Path) -> None:
    (folder / ".env").write_text("API_KEY=from the file\nOTHER=2\n")
    found = config("mcp.json", CURSOR, {"API_KEY": "k"})
    assert found.servers["local"].args == [f"{folder}/tools/server.py"]
    assert found.servers["local"].env == {"API_KEY": "k", "OTHER": "2"}
    assert (found.servers["remote"].type, found.servers["remote"].headers) == ("http", {"X-Key": "k"})
    assert found.warnings == ["mcp.json: keys that mean nothing here are ignored: mcpServers.remote.auth"]


def test_a_file_of_claude_code_works_as_it_is(folder: Path) -> None:
    found = config(".mcp.json", CLAUDE_CODE, {"API_KEY": "k"})
    assert [entry.type for entry in found.servers.values()] == ["http", "sse", "stdio"]
    assert found.servers["github"].url == "https://example.com/mcp"
    assert found.servers["github"].headers == {"Authorization": "Bearer k"}
    assert found.servers["github"].timeout == 60.0  # theirs is in milliseconds
    assert found.warnings == [".mcp.json: keys that mean nothing here are ignored: mcpServers.github.timeout"]


def test_a_file_of_vs_code_works_as_it_is(folder: Path) -> None:
    found = config("mcp.json", VS_CODE, {"ONEGATE_INPUT_PERPLEXITY_KEY": "k"})
    assert list(found.servers) == ["perplexity", "fetch", "github"]
    assert found.servers["perplexity"].env == {"PERPLEXITY_API_KEY": "k", "PORT": "3000"}
    assert found.servers["fetch"].cwd == str(folder / "data")
    assert found.warnings == ["mcp.json: keys that mean nothing here are ignored: servers.perplexity.dev"]


def test_an_input_that_is_not_given_disables_its_server_and_names_the_variable(folder: Path) -> None:
    found = config("mcp.json", VS_CODE)
    assert list(found.servers) == ["fetch", "github"]
    assert found.disabled["perplexity"] == (
        "mcp.json: servers.perplexity.env.PERPLEXITY_API_KEY: "
        "input perplexity-key is not set; set the variable ONEGATE_INPUT_PERPLEXITY_KEY"
    )


def test_a_wrong_entry_of_another_client_disables_only_that_server(folder: Path) -> None:
    found = config("mcp.json", '{"mcpServers": {"a": {"type": "ws", "url": "wss://x"}, "b": {"command": "b"}, "c": 1}}')
    assert list(found.servers) == ["b"]
    assert found.disabled["a"].startswith("mcp.json: mcpServers.a.type: must be stdio, http or sse")
    assert found.disabled["c"] == "mcp.json: mcpServers.c: must be a mapping with command or url"


def test_keys_of_ours_are_honoured_in_an_entry_of_another_clients_file(folder: Path) -> None:
    text = '{"mcpServers": {"a": {"command": "npx", "prefix": "p", "timeout": "5s", "tools": {"exclude": ["x"]}}}}'
    found = config("mcp.json", text)
    assert (found.servers["a"].prefix, found.servers["a"].timeout) == ("p", 5.0)
    assert found.servers["a"].tools.exclude == ["x"]
    assert found.warnings == []


def test_tools_as_another_client_lists_them_are_ignored(folder: Path) -> None:
    found = config("mcp.json", '{"mcpServers": {"a": {"command": "npx", "tools": ["*"], "cwd": null}}}')
    assert found.servers["a"].tools.include == ["*"]
    assert found.warnings == ["mcp.json: keys that mean nothing here are ignored: mcpServers.a.tools"]


@pytest.mark.parametrize("disabled", ["true", '"true"', '"${OFF}"', '"${NOPE:-yes}"'])
def test_an_entry_that_is_switched_off_is_left_out_whatever_else_it_says(folder: Path, disabled: str) -> None:
    found = only(f"{{disabled: {disabled}, colour: red, command: '${{NOPE}}'}}", {"OFF": "1"})
    assert (found.servers, found.disabled, found.switched_off, found.warnings) == ({}, {}, ["a"], [])


def test_an_entry_that_is_not_switched_off_starts(folder: Path) -> None:
    assert list(only("{command: npx, disabled: false}").servers) == ["a"]
    assert list(only("{command: npx, disabled: '${OFF:-false}'}").servers) == ["a"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("npx", "mcpServers.a: must be a mapping with command or url"),
        ("{}", "mcpServers.a: needs command (a program to start) or url (a remote server); add one"),
        ("{type: ws, url: 'https://x'}", "mcpServers.a.type: must be stdio, http or sse"),
        ("{command: npx, args: -y}", "mcpServers.a.args: must be a list, such as [one, two]"),
        ("{command: npx, env: [A=1]}", "mcpServers.a.env: must be a mapping of keys to values"),
        ("{command: npx, env: {A: }}", "mcpServers.a.env.A: must be text; put it in quotes"),
        ("{command: npx, required: maybe}", "mcpServers.a.required: must be true or false"),
        ("{command: npx, prefix: ''}", "mcpServers.a.prefix: must not be empty"),
        ("{command: npx, comand: x}", "mcpServers.a.comand: unknown key; did you mean command?"),
        ("{command: npx, envfile: x}", "mcpServers.a.envfile: unknown key; did you mean envFile?"),
        ("{command: npx, isolation: none}", "mcpServers.a.isolation: must be shared"),
        (
            "{command: npx, name: b}",
            "mcpServers.a.name: unknown key; a server is named by its key, and prefix changes what tools show",
        ),
    ],
)
def test_a_wrong_entry_of_our_own_file_stops_the_start(folder: Path, entry: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        only(entry)
    assert str(caught.value) == f"onegate.yaml: {said}"


def test_an_open_variable_hides_no_mistake_beside_it_and_makes_none_up(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        only("{command: npx, timeout: '${T}', colour: red}")
    assert [problem.key for problem in caught.value.problems] == [("mcpServers", "a", "colour")]
    assert list(only("{command: npx, timeout: '${T}', concurrency: '${N}'}").disabled) == ["a"]


def test_a_tilde_is_expanded_in_command_and_cwd_only(folder: Path) -> None:
    found = only("{command: ~/bin/x, cwd: ~/data, args: [~/y], env: {Z: ~/z}}", {"HOME": str(folder)}).servers["a"]
    assert (found.command, found.cwd) == (f"{folder}/bin/x", str(Path(f"{folder}/data")))
    assert (found.args, found.env) == (["~/y"], {"Z": "~/z"})


def test_a_relative_folder_is_relative_to_the_file_and_not_to_where_we_were_started(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "onegate.yaml").write_text("mcpServers: {a: {command: npx, cwd: data}}")
    assert load(Path("deep/onegate.yaml"), {}).servers["a"].cwd == str(folder / "deep" / "data")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"A", "line 1 is not NAME=value; mend or remove it"), (b"A=\xff", "is not UTF-8")],
)
def test_an_env_file_that_cannot_be_used_disables_its_server(folder: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (folder / "x.env").write_bytes(content)
    found = config("onegate.yaml", "mcpServers: {a: {command: npx, envFile: x.env}, b: {command: npx}}")
    assert list(found.servers) == ["b"]
    assert found.disabled["a"].startswith(f"onegate.yaml: mcpServers.a.envFile: {said}")


def test_an_env_file_is_read_line_by_line() -> None:
    text = "\n".join([
        "# comment", "", "A=1", "export B = two words  # note", "C='single # $x'", r'D="a\n\"b\""  # note', "E=",
        "F=a#b", "G=# nothing", "H='it''s'",
    ])  # fmt: skip
    assert parse_dotenv(text) == {
        "A": "1", "B": "two words", "C": "single # $x", "D": 'a\n"b"', "E": "", "F": "a#b", "G": "", "H": "'it''s'",
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "onegate stdio",
        "/opt/x/bin/onegate stdio",
        r"C:\x\onegate.exe stdio",
        "uvx onegate stdio",
        "uvx onegate@1.0 stdio",
        "uvx --python 3.12 --from git+https://x onegate stdio",
        "/home/me/.local/bin/uv tool run onegate",
        "uv run --directory /src onegate stdio",
        "pipx run onegate==1.0",
        "python -m gateway stdio",
        "python3.12 -I -m gateway.cli stdio",
        "py -m gateway",
        "cmd /c onegate stdio",
        "cmd.exe /C uvx onegate",
        "env onegate",
    ],
)
def test_an_entry_that_starts_onegate_is_recognised(words: str) -> None:
    command, *args = words.split(" ")
    assert starts_onegate({"command": command, "args": args})


@pytest.mark.parametrize(
    "words",
    [
        "npx -y onegate-tools",
        "uvx mcp-server-git --repository onegate",
        "python -m gateways",
        "python -m gateway.samples.notes",
        "python gateway.py",
        "cmd",
    ],
)
def test_an_entry_that_only_speaks_of_onegate_is_not_skipped(words: str) -> None:
    command, *args = words.split(" ")
    assert not starts_onegate({"command": command, "args": args})


@pytest.mark.parametrize("entry", [{}, {"url": "https://x"}, {"command": 3}, {"command": "npx", "args": "onegate"}])
def test_odd_entries_are_not_taken_for_onegate(entry: dict[str, Any]) -> None:
    assert not starts_onegate(entry)
