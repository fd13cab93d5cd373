"""The examples for Prometheus and Grafana: promtool takes them, alerts fire when they should, every name exists."""

import json
import re
import subprocess
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.app_gauges import gauges
from tests.fixtures.gateways import ROOT, raw_entry
from tests.fixtures.live_gateway import call, live_gateway

EXAMPLES = ROOT / "examples" / "observability"
DASHBOARD = EXAMPLES / "grafana-dashboard.json"
CHECK_SECONDS = 30.0

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
GIVEN_BY_PROMETHEUS = {"up": {"job", "instance"}}
WORDS = {"by", "and", "or", "on", "without", "unless", "bool", "ignoring"}
VARIABLES = {"$__rate_interval": "5m", "$job": "onegate", "$instance": ".*"}


def promtool(*words: str | Path, cwd: Path = EXAMPLES, said: str = "") -> subprocess.CompletedProcess[str]:
    argv = ["promtool", *words]
    return subprocess.run(argv, cwd=cwd, input=said, capture_output=True, text=True, timeout=CHECK_SECONDS)


@cache
def alerts() -> dict[str, str]:
    groups = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


@cache
def dashboard() -> dict[str, Any]:
    loaded = json.loads(DASHBOARD.read_text())
    assert isinstance(loaded, dict)
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Every query of the dashboard as Prometheus gets it, by where it stands."""
    found = {}
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = query
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a gateway exposes that has served a call and denied another."""
    config = {"mcpServers": {"a": raw_entry()}, "policy": {"deny": ['mcp.tool.name == "pid"']}}
    with live_gateway(tmp_path_factory.mktemp("observed"), config) as live:
        live.post(call("a_echo"))
        live.post(call("a_pid"))
        return live.gateway.telemetry.exposition(partial(gauges, live.gateway)).text()[0].decode()


@pytest.fixture(scope="module")
def known(exposed: str) -> dict[str, set[str]]:
    """The names and labels in it."""
    names = {name: set(labels) for name, labels in GIVEN_BY_PROMETHEUS.items()}
    for family in text_string_to_metric_families(exposed):
        labels = {label for sample in family.samples for label in sample.labels}
        for suffix in SUFFIXES[family.type]:
            names[family.name + suffix] = labels | {"job", "instance"}
    return names


def spoken(query: str) -> tuple[set[str], set[str]]:
    """The names of series and of labels in a query."""
    bare = re.sub(r'"[^"]*"', '""', query)
    labels = {name for inner in re.findall(r"\{([^}]*)\}", bare) for name in re.findall(r"(\w+)\s*(?:=|!)", inner)}
    labels |= {name for inner in re.findall(r"\bby\s*\(([^)]*)\)", bare) for name in re.findall(r"\w+", inner)}
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby\s*\([^)]*\)", " ", bare)
    return {name for name in re.findall(r"\b[a-z_]\w*\b(?!\s*\()", rest) if name not in WORDS}, labels


def test_promtool_finds_no_fault_with_what_a_gateway_exposes(exposed: str) -> None:
    done = promtool("check", "metrics", said=exposed)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_scrape_config_is_one() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stderr
    assert "alerts.yml" in yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())["rule_files"]


def test_the_alerts_are_rules_and_their_tests_pass() -> None:
    for words in (("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = promtool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire() -> None:
    tests = yaml.safe_load((EXAMPLES / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fired == set(alerts())


def test_no_threshold_can_go_unnoticed(tmp_path: Path) -> None:
    text = (EXAMPLES / "alerts.yml").read_text()
    (tmp_path / "alerts_test.yml").write_text((EXAMPLES / "alerts_test.yml").read_text())
    for now, then in (("== 0", "== 2"), ("> 5", "> 50"), ("> 0.1", "> 0.9"), ("> 10\n", "> 100\n"), ("> 20", "> 900")):
        assert now in text
        (tmp_path / "alerts.yml").write_text(text.replace(now, then))
        assert promtool("test", "rules", "alerts_test.yml", cwd=tmp_path).returncode != 0, (now, then)


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries().values())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", "rules.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_and_label_in_dashboard_and_alerts_is_exposed(known: dict[str, set[str]]) -> None:
    for place, query in {**queries(), **alerts()}.items():
        names, labels = spoken(query)
        assert names, place
        assert names <= set(known), place
        assert labels <= set.union(*(known[name] for name in names)), place


def test_a_name_that_does_not_exist_would_be_seen() -> None:
    query = 'topk(10, sum by (le, tool) (rate(onegate_x_bucket{status=~"a|b"}[5m]))) / onegate_y and up > 1'
    assert spoken(query) == ({"onegate_x_bucket", "onegate_y", "up"}, {"le", "tool", "status"})


def test_the_dashboard_can_be_imported_over_any_data_source() -> None:
    board = dashboard()
    assert (board["id"], board["uid"], board["schemaVersion"] >= 36) == (None, "onegate", True)
    variables = {one["name"]: one["type"] for one in board["templating"]["list"]}
    assert variables == {"datasource": "datasource", "job": "query", "instance": "query"}
    for panel in panels():
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["title"]
        assert panel["description"]


def test_no_panel_lies_over_another() -> None:
    board = dashboard()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [panel["gridPos"] for panel in board["panels"]]
    for one in places:
        assert 0 <= one["x"] < one["x"] + one["w"] <= 24
    for one, two in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= two["x"]
            or two["x"] + two["w"] <= one["x"]
            or one["y"] + one["h"] <= two["y"]
            or two["y"] + two["h"] <= one["y"]
        )
        assert apart, (one, two)
