"""What the demo starts, and what it tells a newcomer to paste."""

import json
import sys
from pathlib import Path

import pytest

from gateway import cli, cli_demo
from gateway.cli_demo import demo_config, guide, own_command
from gateway.cli_output import Mistake
from gateway.cli_serve import PortTaken
from gateway.config import check_exposure

URL = "http://127.0.0.1:8123/mcp"


def test_the_demo_runs_the_samples_with_this_python_from_anywhere() -> None:
    config = demo_config()
    assert list(config.servers) == ["weather", "notes"]
    for entry in config.servers.values():
        assert entry.command == sys.executable
        assert entry.cwd is not None
        assert (Path(entry.cwd) / "gateway" / "samples" / f"{entry.name}.py").is_file()
    check_exposure(config, "127.0.0.1")


def test_the_guide_has_the_real_url_and_a_snippet_for_every_client() -> None:
    text = guide(URL)
    assert text.splitlines()[0] == f"onegate listens on {URL}"
    assert f"claude mcp add --transport http onegate {URL}" in text
    snippets = [json.loads(line) for line in text.splitlines() if line.strip().startswith("{")]
    cursor, vscode, desktop = snippets
    assert cursor == {"mcpServers": {"onegate": {"url": URL}}}
    assert vscode == {"servers": {"onegate": {"type": "http", "url": URL}}}
    entry = desktop["mcpServers"]["onegate"]
    assert Path(entry["command"]).is_file()
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-3:-1] == ["stdio", "-c"]
    assert Path(entry["args"][-1]).is_absolute()


def test_the_guides_call_is_a_request() -> None:
    (line,) = [line for line in guide(URL).splitlines() if "curl" in line]
    request = json.loads(line.split(" -d ")[1].strip("'"))
    assert (request["method"], request["params"]["name"]) == ("tools/call", "weather_forecast")


def test_the_own_command_is_the_script_beside_this_python_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert own_command() == [str(tmp_path / "python"), "-m", "gateway.cli"]
    script = tmp_path / ("onegate.exe" if sys.platform == "win32" else "onegate")
    script.touch(mode=0o755)
    assert [part.lower() for part in own_command()] == [str(script).lower()]


def test_the_demo_is_for_this_machine_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--host", "0.0.0.0"]) == 1
    assert "for this machine only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "error", "tried"),
    [
        ([], PortTaken("taken"), [8080, 0]),
        (["--port", "81"], PortTaken("taken"), [81]),
        ([], Mistake("no such address"), [8080]),
    ],
)
def test_only_the_default_port_gives_way_to_a_free_one(
    argv: list[str],
    error: Mistake,
    tried: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ports: list[int] = []

    def serve(_: object, host: str, port: int, ready: object) -> int:
        ports.append(port)
        if port:
            raise error
        return 0

    monkeypatch.setattr(cli_demo, "serve", serve)
    monkeypatch.setattr(cli_demo, "log_as_service", lambda config: None)
    assert cli.main(["demo", *argv]) == (0 if 0 in tried else 1)
    assert ports == tried
    assert ("port 8080 is taken; using a free one" in capsys.readouterr().err) == (0 in tried)
