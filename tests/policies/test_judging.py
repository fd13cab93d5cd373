"""Deny before require before allow; an error denies where it guards; early decisions hold for all arguments."""

import random
from typing import Any

import pytest

from policies.cel import Truth, compile_rule
from policies.judging import Outcome, Rules, decide_open, decides, judge, variables_of
from policies.model import Decision, Target
from tests.fixtures.rules import TOOL, caller_with

SOME = caller_with({"on": True, "off": False})
OPEN, YES, NO, BROKEN = "mcp.tool.arguments.x", "jwt.on", "jwt.off", "jwt.absent"


def rules(deny: Any = (), require: Any = (), allow: Any = None, on_deny: Any = "hide") -> Rules:
    made = [
        None if section is None else tuple(compile_rule(text) for text in section) for section in (deny, require, allow)
    ]
    return Rules(made[0] or (), made[1] or (), made[2], on_deny)


def outcome(some: Rules, target: Target = TOOL) -> tuple[str, str, str | None]:
    standing = judge(some, variables_of(SOME, target, {}), target.kind)
    return standing.outcome.value, standing.decision.verdict, standing.decision.rule


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, ("allowed", "allow", None)),
        ({"allow": []}, ("denied", "no_allow", None)),
        ({"allow": [NO, YES]}, ("allowed", "allow", YES)),
        ({"allow": [BROKEN, YES]}, ("allowed", "allow", YES)),
        ({"allow": [NO, BROKEN]}, ("denied", "no_allow", None)),
        ({"allow": [OPEN, YES]}, ("allowed", "allow", YES)),
        ({"allow": [OPEN, NO]}, ("depends", "depends", None)),
        ({"deny": [NO], "allow": [YES]}, ("allowed", "allow", YES)),
        ({"deny": [NO, YES], "allow": [YES]}, ("denied", "deny", YES)),
        ({"deny": [BROKEN], "allow": [YES]}, ("denied", "error", BROKEN)),
        ({"deny": [OPEN, YES], "allow": [YES]}, ("denied", "deny", YES)),
        ({"deny": [OPEN], "allow": [YES]}, ("depends", "depends", None)),
        ({"deny": [OPEN], "allow": [NO]}, ("denied", "no_allow", None)),
        ({"deny": [OPEN], "require": [NO]}, ("denied", "require", NO)),
        ({"require": [YES]}, ("allowed", "allow", None)),
        ({"require": [YES, NO], "allow": [YES]}, ("denied", "require", NO)),
        ({"require": [BROKEN], "allow": [YES]}, ("denied", "error", BROKEN)),
        ({"require": [OPEN], "allow": [YES]}, ("depends", "depends", None)),
        ({"deny": [YES], "require": [NO], "allow": []}, ("denied", "deny", YES)),
        ({"deny": ["'text'"]}, ("denied", "error", "'text'")),
        ({"require": ["1"]}, ("denied", "error", "1")),
        ({"allow": ["'true'"]}, ("denied", "no_allow", None)),
    ],
)
def test_sections_count_in_their_order(sections: dict[str, Any], expected: tuple[str, str, str | None]) -> None:
    assert outcome(rules(**sections)) == expected


@pytest.mark.parametrize("kind", ["prompt", "resource"])
def test_a_rule_about_tools_guards_and_allows_nothing_else(kind: str) -> None:
    other = Target(kind, "prod", "x")
    about_tools = "mcp.tool.name != ''"
    assert outcome(rules(deny=[about_tools]), other)[0] == "allowed"
    assert outcome(rules(require=["mcp.tool.name == 'y'"]), other)[0] == "allowed"
    assert outcome(rules(allow=[about_tools]), other) == ("denied", "no_allow", None)
    assert outcome(rules(deny=[about_tools]))[0] == "denied"


def test_a_rule_about_two_kinds_guards_both() -> None:
    both = "mcp.kind == 'tool' ? mcp.tool.name == 'x' : mcp.prompt.name == 'x'"
    found = [outcome(rules(deny=[both]), Target(kind, "s", "x"))[0] for kind in ("tool", "prompt", "resource")]
    assert found == ["denied", "denied", "allowed"]
    careless = "mcp.tool.name == 'x' || mcp.prompt.name == 'x'"
    assert outcome(rules(deny=[careless]), Target("tool", "s", "y")) == ("denied", "error", careless)


def test_only_hiding_policies_hide() -> None:
    for on_deny, hidden in (("hide", True), ("forbid", False)):
        standing = judge(rules(allow=[], on_deny=on_deny), variables_of(SOME, TOOL, {}), "tool")
        assert standing.decision.hidden is hidden


GUARDS = [
    YES,
    NO,
    BROKEN,
    OPEN,
    f"!{OPEN}",
    f"{OPEN} && {NO}",
    f"{OPEN} || {BROKEN}",
    f"has({OPEN})",
    "mcp.tool.arguments.y == 1",
]
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"x": True},
    {"x": False},
    {"x": "yes"},
    {"x": True, "y": 1},
    {"x": False, "y": 2},
]


def reference(some: Rules, arguments: dict[str, Any]) -> bool:
    """The order of the contract, with everything known from the start."""

    def truths(section: Any) -> list[Truth]:
        variables = variables_of(SOME, TOOL, {})
        variables.tool_arguments = arguments
        return [rule.evaluate(variables) for rule in section]

    if any(truth is not Truth.FALSE for truth in truths(some.deny)):
        return False
    if any(truth is not Truth.TRUE for truth in truths(some.require)):
        return False
    return some.allow is None or Truth.TRUE in truths(some.allow)


@pytest.mark.parametrize("seed", range(400))
def test_the_listing_never_promises_or_hides_what_a_call_decides_otherwise(seed: int) -> None:
    dice = random.Random(seed)

    def section() -> list[str]:
        return dice.choices(GUARDS, k=dice.randint(0, 2))

    some = rules(section(), section(), dice.choice([None, section() + section()]))
    standing = judge(some, variables_of(SOME, TOOL, {}), "tool")
    for arguments in ARGUMENTS:
        expected = reference(some, arguments)
        if standing.outcome is not Outcome.DEPENDS:
            assert standing.decision.allowed is expected
            continue
        variables = variables_of(SOME, TOOL, {})
        variables.tool_arguments = arguments
        decision = decide_open(standing, variables)
        assert decision.allowed is expected
        assert decision.hidden is False


def test_a_rule_decides_only_what_its_section_can() -> None:
    denied, allowed = Decision(False, "r", "deny"), Decision(True, "r")
    assert decides("deny", Truth.TRUE, denied)
    assert decides("deny", Truth.ERROR, denied)
    assert not decides("deny", Truth.FALSE, denied)
    assert decides("require", Truth.FALSE, denied)
    assert not decides("allow", Truth.FALSE, denied)
    assert decides("allow", Truth.TRUE, allowed)
    assert not decides("require", Truth.TRUE, allowed)
    assert not decides("deny", None, denied)


ERRS = "jwt.role == 'x'"  # nobody has this claim
OPEN = "mcp.tool.arguments.env == 'dev'"


@pytest.mark.parametrize(
    ("section", "rule", "outcome"),
    [
        ("allow", f"{ERRS} && {OPEN}", Outcome.DENIED),
        ("allow", f"{OPEN} && {ERRS}", Outcome.DENIED),
        ("allow", f"!({ERRS} || {OPEN})", Outcome.DENIED),
        ("allow", f"{ERRS} && ({OPEN} || true)", Outcome.DENIED),
        ("allow", f"{ERRS} || {OPEN}", Outcome.DEPENDS),
        ("allow", f"{OPEN} ? {ERRS} : false", Outcome.DENIED),
        ("allow", f"{OPEN} ? {ERRS} : true", Outcome.DEPENDS),
        ("allow", f"{ERRS} ? {OPEN} : true", Outcome.DENIED),
        ("require", f"{ERRS} && {OPEN}", Outcome.DENIED),
        ("require", f"{ERRS} || {OPEN}", Outcome.DEPENDS),
        ("deny", f"{ERRS} && {OPEN}", Outcome.DEPENDS),
        ("deny", f"{ERRS} || {OPEN}", Outcome.DENIED),
        ("deny", f"!({ERRS} && {OPEN})", Outcome.DENIED),
    ],
)
def test_a_list_does_not_show_what_an_error_keeps_from_every_arguments(
    section: str, rule: str, outcome: Outcome
) -> None:
    rules = {"deny": (), "require": (), "allow": None, section: (compile_rule(rule),)}
    variables = variables_of(caller_with({}), TOOL, {})
    standing = judge(Rules(**rules), variables, "tool")  # type: ignore[arg-type]
    assert standing.outcome is outcome
    if outcome is Outcome.DENIED and section != "allow":
        assert standing.decision == Decision(False, rule, "error", True)
        assert decides(section, compile_rule(rule).evaluate(variables), standing.decision)  # type: ignore[arg-type]
