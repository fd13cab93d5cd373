"""`onegate check` without `--connect`: every mistake with file, key and mend on stdout, and the exit code."""

from pathlib import Path

import pytest

from gateway import cli


def checked(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    file = folder / "onegate.yaml"
    file.write_text(text, encoding="utf-8")
    code = cli.main(["check", "-c", str(file)])
    return code, [line.replace(str(folder), "") for line in capsys.readouterr().out.splitlines()]


def test_a_good_config_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "mcpServers: {a: {command: npx}, b: {command: npx}, c: {command: npx, disabled: true}}"
    assert checked(text, tmp_path, capsys) == (0, ["OK: 2 servers (a, b), 1 switched off: /onegate.yaml"])


def test_every_mistake_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "mcpServers: {a: {command: npx}}\nserver: {prot: 1}\ntelemetry: {log: {level: loud}}"
    code, lines = checked(text, tmp_path, capsys)
    assert code == 1
    assert "/onegate.yaml: server.prot: unknown key; did you mean port?" in lines
    assert any(line.startswith("/onegate.yaml: telemetry.log.level: must be debug") for line in lines)


def test_a_server_that_is_disabled_by_a_mistake_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "mcpServers: {a: {command: npx}, b: {command: npx, env: {K: '${ONEGATE_TEST_UNSET}'}}}"
    code, lines = checked(text, tmp_path, capsys)
    assert code == 1
    assert any("mcpServers.b.env.K" in line and "ONEGATE_TEST_UNSET" in line for line in lines)
    assert not any(line.startswith("OK") for line in lines)


def test_a_config_that_serve_would_refuse_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "mcpServers: {a: {command: npx}}\nserver: {host: 0.0.0.0}"
    code, lines = checked(text, tmp_path, capsys)
    assert code == 1
    assert lines[0].startswith("/onegate.yaml: server.host: 0.0.0.0 lets other machines in")


def test_a_secret_that_can_be_guessed_is_a_mistake_and_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "mcpServers: {a: {command: npx}}\nauth: {jwt: [{issuer: x, audiences: [y], secret: hunter2}]}"
    code, [line] = checked(text, tmp_path, capsys)
    assert (code, "hunter2" in line) == (1, False)
    assert line.startswith("/onegate.yaml: auth.jwt[0].secret: must have at least 32 bytes")


def test_a_key_file_that_is_not_there_is_a_mistake_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
mcpServers: {a: {command: npx}}
server: {host: 0.0.0.0}
auth: {jwt: [{issuer: x, audiences: [y], algorithms: [RS256], public_key_file: none.pem}]}
"""
    code, lines = checked(text, tmp_path, capsys)
    assert code == 1
    assert lines[0].startswith("/onegate.yaml: server.host:")
    assert lines[-1].startswith("/onegate.yaml: auth.jwt[0].public_key_file: ")


def test_every_bad_rule_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "mcpServers: {a: {command: npx}}\npolicy: {allow: [jwt.role ==], deny: [jwtt.role]}"
    code, lines = checked(text, tmp_path, capsys)
    assert code == 1
    assert [line.split(": ")[1] for line in lines] == ["policy.deny[0]", "policy.allow[0]"]


def test_a_doubtful_rule_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "onegate.yaml"
    file.write_text("mcpServers: {a: {command: npx}}\npolicy: {require: ['1 == 2']}")
    assert cli.main(["check", "-c", str(file)]) == 0
    assert "policy.require[0]: can never be true" in capsys.readouterr().err
