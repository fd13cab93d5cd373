"""What a scrape gets: the exact text, whatever a label holds, and while other threads count."""

import json
import re
import sys
import threading
from pathlib import Path
from subprocess import run

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from gateway import __version__
from gateway.config import Config, load
from gateway.config_telemetry import MetricsConfig
from gateway.telemetry.assembly import Telemetry
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.gauges import Gauges, Naming, Source, UpstreamGauge
from gateway.telemetry.measures import BOUNDS, MAX_ROLE, MAX_ROLES, OTHER, STATUSES, Measures

PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=0.0.4;q=0.4,*/*;q=0.2"
)
UPSTREAMS = (UpstreamGauge("gh", True, 2), UpstreamGauge("down", False, 0))


def of(measures: Measures, gauges: Gauges | None = None, prefix: str = "onegate") -> Exposition:
    return Exposition(Source(measures, lambda: gauges or Gauges(), lambda: Naming(prefix)))


def text(exposition: Exposition) -> str:
    """The text without what the system adds about this process."""
    body, content_type = exposition.text()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    lines = body.decode().splitlines(keepends=True)
    return "".join(line for line in lines if not re.match("(# (HELP|TYPE) )?process_", line))


def samples(exposition: Exposition, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name by their labels' values, in the order of the labels' names."""
    families = text_string_to_metric_families(exposition.text()[0].decode())
    found = [sample for family in families for sample in family.samples if sample.name == name]
    by_labels = {tuple(sample.labels[key] for key in sorted(sample.labels)): sample.value for sample in found}
    assert len(by_labels) == len(found), "two samples of one series"
    return by_labels


def buckets(name: str, labels: str, seconds: float) -> str:
    """The lines of a histogram that holds one duration; ``labels`` has a place for the bound."""
    bounds = [*map(str, BOUNDS), "+Inf"]
    return "".join(f"{name}_bucket{{{labels % bound}}} {float(seconds <= float(bound))}\n" for bound in bounds)


def test_a_small_gateway_is_written_exactly() -> None:
    measures = Measures()
    measures.call("gh_issue", "gh", "success")
    measures.call("gh_issue", "gh", "denied")
    measures.duration("gh_issue", "gh", 0.25)
    measures.denial("gh_issue", "viewer")
    measures.operation("tools/call", "gh_issue", "", 0.5)
    measures.auth_failure(401)
    measures.audit_refused = 3
    counted = {"success": 1.0, "denied": 1.0}
    calls = "".join(
        f'acme_mcp_tool_calls_total{{status="{status}",tool="gh_issue",upstream="gh"}} {counted.get(status, 0.0)}\n'
        for status in STATUSES
    )
    durations = buckets("acme_mcp_tool_duration_seconds", 'le="%s",tool="gh_issue",upstream="gh"', 0.25)
    labels = 'gen_ai_tool_name="gh_issue",le="%s",mcp_method_name="tools/call"'
    operations = buckets("mcp_server_operation_duration_seconds", labels, 0.5)
    assert (
        text(of(measures, Gauges(4, 5, UPSTREAMS), "acme"))
        == f"""\
# HELP acme_mcp_tool_calls_total Tool calls by how they ended.
# TYPE acme_mcp_tool_calls_total counter
{calls}# HELP acme_mcp_tool_duration_seconds What tool calls took that went to their upstream.
# TYPE acme_mcp_tool_duration_seconds histogram
{durations}acme_mcp_tool_duration_seconds_count{{tool="gh_issue",upstream="gh"}} 1.0
acme_mcp_tool_duration_seconds_sum{{tool="gh_issue",upstream="gh"}} 0.25
# HELP acme_rbac_denials_total Tool calls that policy refused.
# TYPE acme_rbac_denials_total counter
acme_rbac_denials_total{{role="viewer",tool="gh_issue",type="mcp"}} 1.0
# HELP mcp_server_operation_duration_seconds What MCP requests took in the gateway.
# TYPE mcp_server_operation_duration_seconds histogram
{operations}mcp_server_operation_duration_seconds_count{{gen_ai_tool_name="gh_issue",mcp_method_name="tools/call"}} 1.0
mcp_server_operation_duration_seconds_sum{{gen_ai_tool_name="gh_issue",mcp_method_name="tools/call"}} 0.5
# HELP acme_auth_failures_total HTTP requests that were not let in.
# TYPE acme_auth_failures_total counter
acme_auth_failures_total{{status="401"}} 1.0
acme_auth_failures_total{{status="403"}} 0.0
# HELP acme_audit_refused_total Requests refused because the audit file could not keep up.
# TYPE acme_audit_refused_total counter
acme_audit_refused_total 3.0
# HELP acme_requests_in_flight HTTP requests being served, open streams included.
# TYPE acme_requests_in_flight gauge
acme_requests_in_flight 4.0
# HELP acme_sessions Sessions of clients of before MCP 2026.
# TYPE acme_sessions gauge
acme_sessions 5.0
# HELP acme_build_info The version that runs.
# TYPE acme_build_info gauge
acme_build_info{{version="{__version__}"}} 1.0
# HELP acme_upstream_up Whether calls to the upstream are taken.
# TYPE acme_upstream_up gauge
acme_upstream_up{{upstream="gh"}} 1.0
acme_upstream_up{{upstream="down"}} 0.0
# HELP acme_upstream_restarts_total Attempts to start or connect the upstream anew.
# TYPE acme_upstream_restarts_total counter
acme_upstream_restarts_total{{upstream="gh"}} 2.0
acme_upstream_restarts_total{{upstream="down"}} 0.0
"""
    )


def test_prometheus_gets_the_form_that_it_asks_for_first() -> None:
    measures = Measures()
    measures.call("gh_issue", "gh", "success")
    measures.operation("tools/call", "gh_issue", "500", 0.5)
    body, content_type = of(measures, Gauges(upstreams=UPSTREAMS)).text(PROMETHEUS_ACCEPT)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = {family.name: family.type for family in openmetrics_families(body.decode())}
    assert families["onegate_mcp_tool_calls"] == "counter"
    assert families["mcp_server_operation_duration_seconds"] == "histogram"


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=x",
        "application/openmetrics-text;version=2.\u00e9",
        'application/openmetrics-text;version=2."',
        ";;;,,,=",
        "",
    ],
)
def test_an_accept_header_that_makes_no_sense_gets_the_plain_form(accept: str) -> None:
    body, content_type = of(Measures()).text(accept)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"onegate_sessions 0.0" in body


def test_the_process_is_described_beside_the_gateway() -> None:
    body = of(Measures()).text()[0].decode()
    if sys.platform == "linux":
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds"):
            assert f"\nprocess_{name} " in body


@pytest.mark.parametrize("role", ['a"b', "a\\b", "a\nb", 'a"} 1\nonegate_evil 1', "zażółć 工具", "a\u2028b", ""])
def test_a_label_holds_what_a_token_says_and_nothing_else(role: str) -> None:
    measures = Measures()
    measures.denial("gh_issue", role)
    exposition = of(measures)
    assert samples(exposition, "onegate_rbac_denials_total") == {(role, "gh_issue", "mcp"): 1.0}
    assert samples(exposition, "onegate_evil") == {}


def test_half_of_a_surrogate_pair_does_not_spoil_the_scrape() -> None:
    measures = Measures()
    measures.denial("gh_issue", "a\ud800")
    measures.denial("gh_issue", "a\udfff")
    assert samples(of(measures), "onegate_rbac_denials_total") == {("a?", "gh_issue", "mcp"): 2.0}


def test_labels_out_of_tokens_are_bounded_in_length_and_number() -> None:
    measures = Measures()
    for number in range(2 * MAX_ROLES):
        measures.denial("gh_issue", f"{number:03}" + "r" * 10_000)
    roles = {role for role, _, _ in samples(of(measures), "onegate_rbac_denials_total")}
    assert OTHER in roles
    assert len(roles) == MAX_ROLES + 1
    assert max(map(len, roles)) == MAX_ROLE


def test_a_scrape_while_calls_are_counted_is_whole_in_itself() -> None:
    measures, stop = Measures(), threading.Event()
    exposition = of(measures)
    rounds = 0

    def count() -> None:
        nonlocal rounds
        while not stop.is_set():
            measures.call(f"gh_{rounds % 100}", "gh", "success")
            measures.duration(f"gh_{rounds % 100}", "gh", 0.01)
            rounds += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        bodies = [exposition.text()[0].decode() for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    for body in bodies:
        families = {family.name: family.samples for family in text_string_to_metric_families(body)}
        durations = families["onegate_mcp_tool_duration_seconds"]
        ends = {sample.labels["tool"]: sample.value for sample in durations if sample.labels.get("le") == "+Inf"}
        counts = {sample.labels["tool"]: sample.value for sample in durations if sample.name.endswith("_count")}
        assert counts == ends
    assert sum(samples(exposition, "onegate_mcp_tool_calls_total").values()) == rounds


def test_scrapes_of_several_threads_get_whole_texts() -> None:
    measures = Measures()
    measures.call("gh_issue", "gh", "success")
    exposition, bodies = of(measures), []
    threads = [threading.Thread(target=lambda: bodies.append(text(exposition))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(bodies) == 4
    assert len(set(bodies)) == 1


def test_another_prefix_holds_from_the_next_scrape_after_a_reload_and_counts_go_on(tmp_path: Path) -> None:
    def config(prefix: str) -> Config:
        file = tmp_path / "onegate.yaml"
        server = {"a": {"command": "server"}}
        file.write_text(json.dumps({"mcpServers": server, "telemetry": {"metrics": {"prefix": prefix}}}))
        return load(file, {})

    telemetry = Telemetry(config("onegate"))
    exposition = telemetry.exposition(Gauges)
    telemetry.observer.measures.call("a_t", "a", "success")
    assert sum(samples(exposition, "onegate_mcp_tool_calls_total").values()) == 1
    telemetry.renew(config("agentgateway"))
    telemetry.observer.measures.call("a_t", "a", "success")
    assert sum(samples(exposition, "agentgateway_mcp_tool_calls_total").values()) == 2
    assert samples(exposition, "onegate_mcp_tool_calls_total") == {}


@pytest.mark.parametrize("prefix", ["one__gate", "onegate_", "_onegate", "one-gate", "1gate", ""])
def test_a_prefix_that_would_not_stay_as_it_is_written_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="single _"):
        MetricsConfig(prefix=prefix)


def test_nothing_is_loaded_before_the_first_scrape() -> None:
    heavy = "{'opentelemetry.sdk', 'prometheus_client', 'google.protobuf', 'requests'}"
    code = (
        "import sys; from gateway.telemetry.assembly import Telemetry; from gateway.telemetry.gauges import Gauges; "
        "from gateway.config import load; from pathlib import Path; "
        "telemetry = Telemetry(load(Path(sys.argv[1]), {})); exposition = telemetry.exposition(Gauges); "
        f"print(sorted({heavy} & set(sys.modules))); exposition.text(); "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    config = Path(__file__).parents[2] / "examples" / "onegate.yaml"
    done = run([sys.executable, "-c", code, config], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["[]", "['opentelemetry.sdk', 'prometheus_client']"]
