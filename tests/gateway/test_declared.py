"""Which values of a config count as secret, and which are left alone so that the log stays readable."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from gateway.telemetry.declared import declared, looks_random

Entry = dict[str, Any]
STDIO = {"command": "server"}
REMOTE = {"url": "https://example.com/mcp"}


@pytest.fixture
def secrets(tmp_path: Path) -> Any:
    """What is secret in a config with this entry, or these sections."""

    def found(entry: Entry, environ: dict[str, str] | None = None, **sections: Any) -> set[str]:
        file = tmp_path / "onegate.yaml"
        file.write_text(json.dumps({"mcpServers": {"the-server": entry}, **sections}))
        return set(declared(load(file, environ or {}), environ or {}))

    return found


def test_the_environment_of_a_server_is_secret(secrets: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FILED=of-the-file\n")
    environ = {"PASSED": "passed-on", "OTHER": "not-passed-on"}
    entry = {**STDIO, "env": {"ANY": "any-value"}, "env_pass": ["PASSED", "MISSING"], "envFile": ".env"}
    assert secrets(entry, environ) == {"any-value", "passed-on", "of-the-file"}


def test_headers_are_secret_whole_and_without_their_scheme(secrets: Any) -> None:
    basic = base64.b64encode(b"user:pass-word").decode()
    headers = {"Authorization": "Bearer opaque-1", "X-Other": f"Basic {basic}", "Cookie": "a=cookie-1; b=cookie-2"}
    assert secrets({**REMOTE, "headers": headers}) == {
        "Bearer opaque-1",
        "opaque-1",
        f"Basic {basic}",
        basic,
        "user:pass-word",
        "pass-word",
        "a=cookie-1; b=cookie-2",
        "cookie-1",
        "cookie-2",
    }


def test_of_a_url_only_its_credentials_are_secret(secrets: Any) -> None:
    url = "https://the-user:p%40ssword@example.com/hooks/T0a1b2c3d4e5f6g7h8/list?key=in-query&page=2"
    pair = base64.b64encode(b"the-user:p@ssword").decode()
    assert secrets({"url": url}) == {
        "the-user",
        "p%40ssword",
        "p@ssword",
        "the-user:p@ssword",
        pair,
        "T0a1b2c3d4e5f6g7h8",
        "in-query",
    }


def test_a_url_in_the_environment_is_taken_apart_too(secrets: Any) -> None:
    env = {"DATABASE_URL": "postgres://app:db-pass@db.example.com/main", "API": "https://api.example.com/v1"}
    found = secrets({**STDIO, "env": env})
    assert "db-pass" in found
    assert not any("example" in one or one == "main" for one in found)


@pytest.mark.parametrize(
    "args",
    [
        ["--api-key", "hush-1"],
        ["--api-key=hush-1"],
        ["-e", "API_KEY=hush-1"],
        ["--header", "Authorization: Bearer hush-1"],
        ["postgres://app:hush-1@db/main"],
    ],
)
def test_arguments_are_secret_where_an_option_says_so(secrets: Any, args: list[str]) -> None:
    found = secrets({**STDIO, "args": ["run", *args, "--verbose", "/data", "some-package"]})
    assert "hush-1" in found
    assert not found & {"some-package", "--verbose", "/data", "run"}


def test_what_comes_from_a_variable_is_secret_wherever_it_stands(secrets: Any) -> None:
    entry = {**STDIO, "args": ["${TOK}", "${HOME}", "${DEF:-a-default}", "${SHORT}"], "cwd": "/x"}
    environ = {"TOK": "hush-1", "HOME": "/home/somebody", "SHORT": "hush"}
    assert secrets(entry, environ) == {"hush-1"}


def test_values_inside_json_count_by_themselves(secrets: Any) -> None:
    env = {"OPENAPI_HEADERS": '{"Authorization": "Bearer hush-1", "Version": "1"}'}
    assert {"hush-1", "Bearer hush-1"} <= secrets({**STDIO, "env": env})


def test_each_line_of_a_key_counts_by_itself(secrets: Any) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
    assert {"MIIEvgIBADANBg", "kqhkiG9w0BAQEF"} < secrets({**STDIO, "env": {"PEM": pem}})
    assert "-----BEGIN PRIVATE KEY-----" not in secrets({**STDIO, "env": {"PEM": pem}})


def test_arguments_that_the_config_sets_are_secret_by_their_name(secrets: Any) -> None:
    arguments = {"set": {"auth": {"api_key": "hush-1"}, "org": "acme-corporation"}}
    assert secrets({**STDIO, "tools": {"overrides": {"t": {"arguments": arguments}}}}) == {"hush-1"}


def test_the_gateways_own_secrets_count(secrets: Any) -> None:
    issuer = {"issuer": "https://idp.example.com", "audiences": ["a"], "secret": "s" * 32}
    sections = {
        "auth": {"jwt": [issuer]},
        "admin": {"token": "admin-token-16-characters"},
        "telemetry": {"otlp": {"endpoint": "https://otlp.example.com/v1?api-key=hush-1"}},
    }
    assert secrets(STDIO, **sections) == {"s" * 32, "admin-token-16-characters", "hush-1"}


def test_the_headers_for_a_receiver_of_telemetry_are_secret_also_where_they_are_misspelt(secrets: Any) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hush-1,authorization=Bearer%20hush-2, x-team hush-3,x-o: hush-number-4",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-token=hush-5",
    }
    there = {"otlp": {"endpoint": "https://otlp.example.com"}}
    found = secrets(STDIO, environ, telemetry=there)
    assert {"hush-1", "hush-2", "hush-3", "hush-number-4", "hush-5", "x-team hush-3"} <= found
    assert secrets(STDIO, environ) == set()


@pytest.mark.parametrize("value", ["correct pferdbätterie", "Basic pferdbätterie", "Basic /////w=="])
def test_a_value_that_only_looks_like_a_scheme_and_its_credentials_is_taken_as_it_is(value: str, secrets: Any) -> None:
    assert value in secrets({**STDIO, "env": {"PASSWORD": value}})


def test_a_url_that_is_no_utf_8_is_read(secrets: Any) -> None:
    environ = {"WHERE": os.fsdecode(b"http://us\xffer:pass-word@example.com")}
    assert "pass-word" in secrets({**STDIO, "env_pass": ["WHERE"]}, environ)


def test_common_values_are_left_alone(secrets: Any) -> None:
    env = {
        "LOG": "1",
        "DEBUG": "true",
        "NODE_ENV": "production",
        "DATA": "/srv/data/files",
        "TOKEN_FILE": "/run/secrets/token",
        "HOST": "db.example.com",
        "LISTEN": "localhost:8080",
        "ADDRESS": "127.0.0.1",
        "LOCALE": "en_US.UTF-8",
        "PATH": "/opt/some/where:/usr/bin",
        "SERVICE": "the-server",
        "KEY": "short",
    }
    headers = {"Accept": "application/vnd.example+json", "X-Version": "2025-06-18"}
    assert secrets({**STDIO, "env": env}) == set()
    assert secrets({**REMOTE, "headers": headers}) == set()


def test_a_secret_that_starts_like_a_path_is_still_one(secrets: Any) -> None:
    assert secrets({**STDIO, "env": {"KEY": "/aB3dE5gH7jK9mN1pQ=="}}) == {"/aB3dE5gH7jK9mN1pQ=="}


@pytest.mark.parametrize(
    ("text", "drawn"), [("streamable-http-v1", False), ("T0a1b2c3d4e5f6g7h8", True), ("mcp", False)]
)
def test_a_part_of_a_path_looks_drawn_when_it_is_long_and_mixed(text: str, drawn: bool) -> None:
    assert looks_random(text) == drawn
