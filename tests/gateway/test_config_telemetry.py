"""`telemetry:` and `admin:` as users write them, and in which words mistakes come back."""

from pathlib import Path

import pytest

from gateway.config import Config, load
from gateway.config_problems import ConfigError
from gateway.config_telemetry import address

SERVER = "mcpServers: {a: {command: npx}}\n"


def config(folder: Path, text: str) -> Config:
    file = folder / "onegate.yaml"
    file.write_text(SERVER + text, encoding="utf-8")
    return load(file, {})


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(folder, text)
    return str(caught.value).partition("onegate.yaml: ")[2]


def test_every_key_is_taken(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        """
telemetry:
  metrics: {prefix: agentgateway, role_claim: groups}
  otlp: {endpoint: "http://127.0.0.1:4318", sample: 0.01, arguments: true}
  log: {level: debug, format: json, levels: {rbac: info}}
  audit: {file: audit.jsonl, arguments: full}
admin: {listen: "[::1]:9000", token: 0123456789abcdef}
""",
    )
    telemetry = found.telemetry
    assert (telemetry.metrics.prefix, telemetry.metrics.role_claim) == ("agentgateway", "groups")
    assert (telemetry.otlp.endpoint, telemetry.otlp.sample, telemetry.otlp.arguments) == (
        "http://127.0.0.1:4318",
        0.01,
        True,
    )
    assert (telemetry.log.level, telemetry.log.format, telemetry.log.levels) == ("debug", "json", {"rbac": "info"})
    assert (telemetry.audit.file, telemetry.audit.arguments) == ("audit.jsonl", "full")
    assert (found.admin.listen, found.admin.token, found.says_admin) == ("[::1]:9000", "0123456789abcdef", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("telemetry: {metrics: {prefix: 1gate}}", "telemetry.metrics.prefix: must start with a letter"),
        ("telemetry: {metrics: {prefix: a-b}}", "telemetry.metrics.prefix: must start with a letter"),
        ("telemetry: {otlp: {endpoint: localhost:4318}}", "telemetry.otlp.endpoint: must be an http://"),
        ("telemetry: {otlp: {sample: 2}}", "telemetry.otlp.sample: must be less than or equal to 1"),
        ("telemetry: {otlp: {sampel: 1}}", "telemetry.otlp.sampel: unknown key; did you mean sample?"),
        ("telemetry: {log: {format: xml}}", "telemetry.log.format: must be auto, json or text"),
        ("telemetry: {audit: {arguments: all}}", "telemetry.audit.arguments: must be digest, full or none"),
        ("admin: {listen: 9464}", "admin.listen: must be text; put it in quotes"),
        ("admin: {listen: '9464'}", "admin.listen: must be a host and a port, such as 127.0.0.1:9464"),
        ("admin: {listen: '127.0.0.1:99999'}", "admin.listen: must be a host and a port"),
        ("admin: {listen: '0.0.0.0:9464'}", "admin.listen: 0.0.0.0 lets other machines in; add admin.token"),
        ("admin: {token: short}", "admin.token: must have at least 16 characters"),
        ('admin: {token: "0123456789abcdef\\n"}', "admin.token: must hold no line break"),
        ("admin: {token: ' 0123456789abcdef'}", "admin.token: must hold no line break"),
    ],
)
def test_a_mistake_is_named_with_its_mend(tmp_path: Path, text: str, said: str) -> None:
    assert problem(tmp_path, text).startswith(said)


def test_a_token_opens_the_listener_to_other_machines(tmp_path: Path) -> None:
    found = config(tmp_path, "admin: {listen: '0.0.0.0:9464', token: 0123456789abcdef}")
    assert found.admin.listen == "0.0.0.0:9464"


def test_no_listener_can_be_asked_for(tmp_path: Path) -> None:
    assert config(tmp_path, "admin: {listen: null}").admin.listen is None


@pytest.mark.parametrize(
    ("text", "found"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_addresses_are_host_and_port(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found
