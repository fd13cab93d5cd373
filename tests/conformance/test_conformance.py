"""Every server scenario of the official conformance suite that applies to a specification version passes."""

from collections.abc import Callable
from typing import Any

import pytest

V2025_06, V2025_11, V2026_07 = "2025-06-18", "2025-11-25", "2026-07-28"
LEGACY = (V2025_06, V2025_11)
SINCE_2025_11 = (V2025_11, V2026_07)
ALL = (V2025_06, V2025_11, V2026_07)

# Scenarios that ask nothing of the client midway → the versions they apply to.
SCENARIOS = {
    "server-initialize": LEGACY,
    "server-session-lifecycle": LEGACY,
    "ping": LEGACY,
    "logging-set-level": LEGACY,
    "server-stateless": (V2026_07,),
    "caching": (V2026_07,),
    "completion-complete": ALL,
    "tools-list": ALL,
    "tools-call-simple-text": ALL,
    "tools-call-image": ALL,
    "tools-call-audio": ALL,
    "tools-call-embedded-resource": ALL,
    "tools-call-mixed-content": ALL,
    "tools-call-error": ALL,
    "tools-call-with-progress": ALL,
    "tools-call-with-logging": LEGACY,
    "json-schema-2020-12": SINCE_2025_11,
    "resources-list": ALL,
    "resources-read-text": ALL,
    "resources-read-binary": ALL,
    "resources-templates-read": ALL,
    "resources-subscribe": LEGACY,
    "resources-unsubscribe": LEGACY,
    "sep-2164-resource-not-found": (V2026_07,),
    "prompts-list": ALL,
    "prompts-get-simple": ALL,
    "prompts-get-with-args": ALL,
    "prompts-get-embedded-resource": ALL,
    "prompts-get-with-image": ALL,
    "server-sse-multiple-streams": SINCE_2025_11,
    "dns-rebinding-protection": SINCE_2025_11,
    "http-header-validation": (V2026_07,),
    "http-custom-header-server-validation": (V2026_07,),
}

# Scenarios in which the client answers something, or resumes a stream, before the call ends.
MIDWAY = {
    "tools-call-sampling": LEGACY,
    "tools-call-elicitation": LEGACY,
    "elicitation-sep1034-defaults": (V2025_11,),
    "elicitation-sep1330-enums": (V2025_11,),
    "server-sse-polling": (V2025_11,),
    "input-required-result-basic-elicitation": (V2026_07,),
    "input-required-result-basic-sampling": (V2026_07,),
    "input-required-result-basic-list-roots": (V2026_07,),
    "input-required-result-request-state": (V2026_07,),
    "input-required-result-multiple-input-requests": (V2026_07,),
    "input-required-result-multi-round": (V2026_07,),
    "input-required-result-missing-input-response": (V2026_07,),
    "input-required-result-non-tool-request": (V2026_07,),
    "input-required-result-result-type": (V2026_07,),
    "input-required-result-unsupported-methods": (V2026_07,),
    "input-required-result-tampered-state": (V2026_07,),
    "input-required-result-capability-check": (V2026_07,),
    "input-required-result-ignore-extra-params": (V2026_07,),
    "input-required-result-validate-input": (V2026_07,),
}

CASES = [
    pytest.param(version, scenario, id=f"{version}-{scenario}")
    for version in ALL
    for scenario, versions in {**SCENARIOS, **MIDWAY}.items()
    if version in versions
]

# A warning is a broken SHOULD, and a skipped check one that the fixture server gave no occasion for.
PASSING = {"SUCCESS", "INFO"}

Results = Callable[[str], dict[str, list[dict[str, Any]]]]


@pytest.mark.timeout(360)
@pytest.mark.parametrize(("version", "scenario"), CASES)
def test_scenario_passes(results_of: Results, version: str, scenario: str) -> None:
    checks = results_of(version).get(scenario)
    assert checks, "the scenario reported no checks"
    failed = [f"{check['status']} {check['id']}: {check.get('errorMessage')}" for check in checks if _fails(check)]
    assert not failed, "\n".join(failed)


def _fails(check: dict[str, Any]) -> bool:
    return check["status"] not in PASSING


@pytest.mark.timeout(360)
@pytest.mark.parametrize("version", ALL)
def test_the_tables_name_every_scenario_of_the_suite(results_of: Results, version: str) -> None:
    named = {scenario for scenario, versions in {**SCENARIOS, **MIDWAY}.items() if version in versions}
    assert results_of(version).keys() == named
