"""Who may call what from the terminal, with real servers: `policy explain`, `tools --as`, `call --as`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from tests.fixtures.gateways import raw_entry

ALLOW = ['jwt.role == "admin"', 'jwt.role == "viewer" && mcp.tool.name.startsWith("fore")']
DENY = 'mcp.tool.name == "forecast" && has(mcp.tool.arguments.city) && mcp.tool.arguments.city == "Atlantis"'
RULES = {"allow": ALLOW, "deny": [DENY], "require": ["has(jwt.sub)"]}
ADMIN, VIEWER, NOBODY = ('{"sub": "a", "role": "admin"}', '{"sub": "v", "role": "viewer"}', '{"role": "admin"}')

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def onegate(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command with one server and a policy; returns the exit code, stdout and stderr."""

    def run(*argv: str, policy: Any = RULES, **keys: Any) -> tuple[int, str, str]:
        server = raw_entry(script="forecast_server.py")
        file = tmp_path / "onegate.yaml"
        file.write_text(json.dumps({"mcpServers": {"weather": server}, "policy": policy, **keys}))
        code = cli.main([*argv, "-c", str(file)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_each_tool_has_a_line_with_the_rule_that_decided(onegate: Run) -> None:
    code, out, _ = onegate("policy", "explain", "--as", VIEWER)
    assert code == 0
    found = {row[0]: row[1:] for row in rows(out)}
    assert found["weather_forecast"] == ["weather", "depends", "deny", DENY]
    others = [row for name, row in found.items() if name != "weather_forecast"]
    assert others
    assert all(row == ["weather", "deny", "", "no allow rule is true"] for row in others)


@pytest.mark.parametrize(
    ("claims", "city", "said"),
    [
        (VIEWER, "Bern", ["allow", "allow", ALLOW[1]]),
        (ADMIN, "Bern", ["allow", "allow", ALLOW[0]]),
        (ADMIN, "Atlantis", ["deny", "deny", DENY]),
        (NOBODY, "Bern", ["deny", "require", "has(jwt.sub)"]),
    ],
)
def test_arguments_decide_what_depends_on_them(onegate: Run, claims: str, city: str, said: list[str]) -> None:
    arguments = json.dumps({"city": city})
    code, out, _ = onegate("policy", "explain", "--as", claims, "--tool", "weather_forecast", "--args", arguments)
    assert code == 0
    assert rows(out)[0] == ["weather_forecast", "weather", *said]


def test_one_tool_shows_what_every_rule_comes_to(onegate: Run) -> None:
    _, out, _ = onegate("policy", "explain", "--as", ADMIN, "--tool", "weather_forecast")
    assert rows(out)[2:] == [
        ["deny", "depends", "yes", DENY],
        ["require", "true", "", "has(jwt.sub)"],
        ["allow", "true", "", ALLOW[0]],
        ["allow", "false", "", ALLOW[1]],
    ]


def test_json_says_the_same(onegate: Run) -> None:
    _, out, _ = onegate("policy", "explain", "--as", NOBODY, "--tool", "weather_forecast", "--args", "{}", "--json")
    [found] = json.loads(out)
    rules = found.pop("rules")
    assert found == {
        "tool": "weather_forecast",
        "server": "weather",
        "outcome": "deny",
        "section": "require",
        "rule": "has(jwt.sub)",
        "reason": "has(jwt.sub)",
    }
    assert [(rule["section"], rule["is"], rule["decides"]) for rule in rules] == [
        ("deny", "false", False),
        ("require", "false", True),
        ("allow", "true", False),
        ("allow", "false", False),
    ]


def test_without_rules_nothing_is_refused(onegate: Run) -> None:
    _, out, _ = onegate("policy", "explain", "--as", "{}", policy="allow_all")
    assert rows(out)
    assert all(row[2:] == ["allow", "", "no rule refuses it"] for row in rows(out))


def test_a_tool_that_is_not_there_is_named_by_the_nearest(onegate: Run) -> None:
    code, out, err = onegate("policy", "explain", "--as", "{}", "--tool", "forecast")
    assert (code, out) == (1, "")
    assert "did you mean weather_forecast?" in err


def test_claims_and_arguments_are_read_before_anything_starts(onegate: Run) -> None:
    assert onegate("policy", "explain", "--as", "{")[2].startswith("--as: the claims are not valid JSON")
    assert onegate("policy", "explain", "--as", "{}", "--args", "[]")[2].startswith("the arguments must be")


def test_tools_are_listed_as_the_caller_sees_them(onegate: Run) -> None:
    everything = {row[0] for row in rows(onegate("tools", "--as", ADMIN)[1])}
    assert {row[0] for row in rows(onegate("tools", "--as", VIEWER)[1])} == {"weather_forecast"} < everything
    assert onegate("tools", "--as", NOBODY)[:2] == (0, "")


def test_without_as_it_is_the_local_identity(onegate: Run) -> None:
    assert onegate("tools")[1] == ""
    local = {"stdio": {"claims": {"role": "viewer"}}}
    assert [row[0] for row in rows(onegate("tools", auth=local)[1])] == ["weather_forecast"]


def test_a_call_is_decided_for_the_caller(onegate: Run) -> None:
    call = ("call", "weather_forecast", '{"city": "Bern"}', "--as")
    assert onegate(*call, VIEWER)[0] == 0
    code, out, err = onegate(*call, NOBODY)
    assert (code, out) == (1, "")
    assert err.startswith("Unknown tool: weather_forecast\n")
    assert "did you mean" not in err


def test_a_forbidden_tool_is_not_called_unknown(onegate: Run) -> None:
    call = ("call", "weather_forecast", '{"city": "Bern"}', "--as", NOBODY)
    code, out, err = onegate(*call, policy={**RULES, "on_deny": "forbid"})
    assert (code, out) == (1, "")
    assert err
    assert "Unknown" not in err


def test_no_keys_are_fetched_for_a_caller_at_the_terminal(onegate: Run) -> None:
    issuer = {"issuer": "x", "audiences": ["y"], "algorithms": ["RS256"], "jwks_url": "http://127.0.0.1:1/jwks"}
    code, _, err = onegate("tools", "--as", ADMIN, auth={"jwt": [issuer]})
    assert (code, err) == (0, "")
