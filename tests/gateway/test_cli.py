"""Arguments and mistakes: which command runs with which config, what a slip says, and how the program exits."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gateway import __version__, cli
from gateway.cli_output import FAILED, INTERRUPTED, OK, PIPE_CLOSED, USAGE, Mistake


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], dict[str, Any]]:
    """Run a command line and return the arguments that its command was given."""
    seen: dict[str, Any] = {}

    def run(args: Any) -> int:
        seen.update(vars(args))
        return OK

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: SimpleNamespace(run=run, name=name))

    def command_line(argv: list[str]) -> dict[str, Any]:
        seen.clear()
        assert cli.main(argv) == OK
        return dict(seen)

    return command_line


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def run(_: Any) -> int:
        raise error

    module = ModuleType("failing")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: module)
    return cli.main(["demo"])


@pytest.mark.parametrize(
    "argv",
    [
        ["-c", "x.yaml", "tools"],
        ["--config", "x.yaml", "tools"],
        ["tools", "-c", "x.yaml"],
        ["tools", "-cx.yaml"],
        ["tools", "--config=x.yaml"],
        ["-c", "y.yaml", "tools", "-c", "x.yaml"],
    ],
)
def test_the_config_is_named_before_or_after_the_command(
    argv: list[str], told: Callable[[list[str]], dict[str, Any]]
) -> None:
    assert told(argv)["config"] == Path("x.yaml")


def test_without_c_the_config_is_looked_up(told: Callable[[list[str]], dict[str, Any]]) -> None:
    assert told(["stdio"])["config"] is None


def test_every_command_takes_what_the_contract_says(told: Callable[[list[str]], dict[str, Any]]) -> None:
    assert told(["serve", "--host", "::1", "--port", "0"]) == {"config": None, "host": "::1", "port": 0}
    assert told(["check", "--connect"])["connect"] is True
    assert told(["tools", "--json"])["json"] is True
    assert told(["call", "a_b", "-", "--json"])["arguments"] == "-"
    assert told(["call", "a_b"])["arguments"] is None
    assert told(["call", "a_b", '{"x": -1}', "-c", "f"])["arguments"] == '{"x": -1}'
    assert told(["tools", "--as", '{"role": "x"}'])["as_claims"] == '{"role": "x"}'
    assert told(["call", "a_b", "--as={}"])["as_claims"] == "{}"
    explained = told(["policy", "explain", "-c", "f", "--as", "{}", "--tool", "a_b", "--args", "{}", "--json"])
    assert [explained[key] for key in ("as_claims", "tool", "args", "json")] == ["{}", "a_b", "{}", True]
    assert told(["key", "new", "ci"])["name"] == "ci"
    assert told(["demo", "--port", "81"])["port"] == 81


def test_version_and_help_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == OK
    assert capsys.readouterr().out == f"onegate {__version__}\n"
    assert cli.main(["--help"]) == OK
    assert "\n  serve " in capsys.readouterr().out
    assert cli.main(["call", "--help"]) == OK
    assert "TOOL" in capsys.readouterr().out


def test_without_a_command_the_usage_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(f"  {name}" in captured.err for name in cli.COMMANDS)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sreve"], "onegate: sreve: unknown command; did you mean serve?\nsee: onegate --help\n"),
        (["tools", "--jsno"], "onegate tools: unrecognized arguments: --jsno\nsee: onegate tools --help\n"),
        (["call"], "onegate call: the following arguments are required: TOOL\nsee: onegate call --help\n"),
        (
            ["policy", "explain"],
            "onegate policy: the following arguments are required: --as\nsee: onegate policy --help\n",
        ),
        (["--jsno", "tools"], "onegate: unrecognized arguments: --jsno\nsee: onegate --help\n"),
    ],
)
def test_a_slip_of_the_keyboard_is_explained_in_two_lines(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == USAGE
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "argv",
    [
        ["pins"],
    ],
)
def test_what_comes_later_says_so(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == FAILED
    assert "not in this release" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "stdio", "tools", "call", "check"])
def test_a_config_that_is_not_there_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [command, *(["x"] if command == "call" else []), "-c", "/nowhere/onegate.yaml"]
    assert cli.main(argv) == FAILED
    captured = capsys.readouterr()
    assert captured.out + captured.err == "/nowhere/onegate.yaml: no such file; check the path\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Mistake("mend it"), FAILED, "mend it\n"),
        (Mistake("not so", USAGE), USAGE, "not so\n"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
        (ExceptionGroup("tasks", [Mistake("mend it")]), FAILED, "mend it\n"),
        (BaseExceptionGroup("tasks", [KeyboardInterrupt(), Mistake("x")]), INTERRUPTED, ""),
    ],
)
def test_each_end_has_its_exit_code_and_its_words(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(error, monkeypatch) == code
    assert capsys.readouterr().err == said


def test_a_fault_of_ours_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(ExceptionGroup("tasks", [KeyError("x")]), monkeypatch) == FAILED
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "onegate: internal error: KeyError: 'x'"
    assert "Traceback" not in err


def test_a_reader_that_went_away_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(cli, "close_stdout", lambda: closed.append(True))
    assert failing_with(ExceptionGroup("tasks", [BrokenPipeError()]), monkeypatch) == PIPE_CLOSED
    assert capsys.readouterr().err == ""
    assert closed == [True]
