"""A policy decides the same in lists and calls, remembers by typed inputs, and explains itself."""

import itertools
import time
from typing import Any

import pytest

from policies.cel import Truth
from policies.config import PolicyConfig
from policies.model import ANONYMOUS, Caller, Identity, Target
from policies.rules import ALLOW_ALL, Outcome, Policies, Policy, Problem
from tests.fixtures.rules import TOOL, caller_with, policy_of

NAMES = ["kubectl-get", "kubectl-describe", "kubectl-delete", "list-pods", "list-services"]
EXAMPLE: dict[str, Any] = {
    "allow": [
        'jwt.role == "admin"',
        'jwt.role == "developer" && mcp.tool.name in ["kubectl-get", "kubectl-describe", "list-pods", "list-services"]',
        'jwt.role == "viewer" && mcp.tool.name.startsWith("list-")',
    ],
    "deny": ['mcp.target == "prod" && has(mcp.tool.arguments.force) && mcp.tool.arguments.force == true'],
    "require": ["has(jwt.sub)"],
}


def tool(name: str, server: str = "dev") -> Target:
    return Target("tool", server, name)


def listed(policy: Policy, caller: Caller, server: str = "dev") -> list[str]:
    return [name for name in NAMES if policy.standing(caller, tool(name, server)).outcome is not Outcome.DENIED]


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"sub": "a", "role": "admin"}, NAMES),
        ({"sub": "a", "role": "developer"}, ["kubectl-get", "kubectl-describe", "list-pods", "list-services"]),
        ({"sub": "a", "role": "viewer"}, ["list-pods", "list-services"]),
        *(({"sub": "a", "role": role}, []) for role in ("Admin", "admin ", "guest", True, ["admin"], None, "")),
        ({"sub": "a"}, []),
        ({"role": "admin"}, []),
        ({}, []),
    ],
)
def test_the_rules_of_the_contract_give_each_role_its_tools(claims: dict[str, Any], names: list[str]) -> None:
    policy = policy_of(**EXAMPLE)
    caller = caller_with(claims)
    assert listed(policy, caller) == names
    assert listed(policy, caller, "prod") == names
    assert [name for name in NAMES if policy.decide(caller, tool(name), {}).allowed] == names


@pytest.mark.parametrize(("force", "allowed"), [(True, False), (False, True), (None, True), ("true", True), (1, True)])
def test_the_contracts_deny_looks_at_the_arguments_of_prod(force: Any, allowed: bool) -> None:
    policy = policy_of(**EXAMPLE)
    admin = caller_with({"sub": "a", "role": "admin"})
    decision = policy.decide(admin, tool("kubectl-delete", "prod"), {"force": force})
    assert decision.allowed is allowed
    assert policy.decide(admin, tool("kubectl-delete", "dev"), {"force": force}).allowed
    if not allowed:
        assert (decision.rule, decision.verdict, decision.hidden) == (EXAMPLE["deny"][0], "deny", False)


def test_what_no_arguments_reach_is_hidden_or_forbidden_as_the_policy_says() -> None:
    for on_deny, hidden in (("hide", True), ("forbid", False)):
        policy = policy_of(allow=["jwt.role == 'admin'"], on_deny=on_deny)
        assert policy.decide(caller_with({}), TOOL, {}).hidden is hidden


def test_without_rules_everything_is_allowed_and_an_empty_allow_allows_nothing() -> None:
    anybody = Caller(ANONYMOUS)
    for target in (TOOL, Target("prompt", "s", "p"), Target("resource", "s", "file:///a")):
        assert ALLOW_ALL.decide(anybody, target, {}).allowed
        assert policy_of().decide(anybody, target, None).allowed
        assert policy_of(allow=[]).decide(anybody, target, {}).verdict == "no_allow"


def test_all_mistakes_are_found_at_once() -> None:
    config = PolicyConfig.model_validate(
        {"allow": ["jtw.a == 1", "true"], "deny": ["1 +"], "require": ["request.headers.team == 'a'"]}
    )
    problems = Policy.compile(config)
    assert isinstance(problems, list)
    assert [(problem.section, problem.index) for problem in problems] == [("deny", 0), ("require", 0), ("allow", 0)]
    assert "add it to trusted_headers" in problems[1].message


def test_odd_rules_are_warned_about_and_an_allow_for_everybody_is_not_odd() -> None:
    policy = policy_of(allow=["true", "mcp.kind == 'tols'"], deny=["mcp.kind == 'tols'"], require=["true"])
    assert policy.warnings == (
        Problem("deny", 0, "mcp.kind == 'tols'", "can never be true: it denies nothing, or everything by an error"),
        Problem("require", 0, "true", "is always true: it requires nothing"),
        Problem("allow", 1, "mcp.kind == 'tols'", "can never be true: it allows nothing"),
    )


@pytest.mark.parametrize(
    ("left", "right"), list(itertools.permutations([True, 1, 1.0, "1", "true", None, [1], {"1": 1}], 2))
)
def test_what_is_remembered_for_a_value_is_not_taken_for_one_of_another_type(left: Any, right: Any) -> None:
    rules = {"bool": True, "int": 1, "double": 1.0, "string": "1", "null_type": None, "list": [1], "map": {"1": 1}}
    wanted = next(name for name, value in rules.items() if type(value) is type(left))
    policy = policy_of(allow=[f"type(jwt.x) == {wanted}"])
    assert policy.decide(caller_with({"x": left}), TOOL, {}).allowed
    assert policy.decide(caller_with({"x": right}), TOOL, {}).allowed is (type(right) is type(left))
    annotated = policy_of(allow=[f"type(mcp.tool.annotations.x) == {wanted}"])
    assert annotated.decide(caller_with(), Target("tool", "s", "n", {"x": left}), {}).allowed
    assert annotated.decide(caller_with(), Target("tool", "s", "n", {"x": right}), {}).allowed is (
        type(right) is type(left)
    )


def test_every_input_of_a_decision_is_in_its_key() -> None:
    cases: list[tuple[str, Caller, Caller]] = [
        ("request.path == '/a'", caller_with(path="/a"), caller_with(path="/b")),
        ("request.host == 'a'", caller_with(host="a"), caller_with(host="A")),
        ("source.address == 'a'", caller_with(address="a"), caller_with(address="b")),
        ("has(request.headers.team)", caller_with(headers={"team": ""}), caller_with()),
        ("identity.kind == 'jwt'", caller_with(), caller_with(kind="api_key")),
        ("size(identity.scopes) == 1", caller_with(), Caller(Identity("jwt", "ada", "https://idp.example.com"))),
        ("size(jwt) == 1", caller_with({"a": 1}), caller_with({"a": 1, "b": 2})),
    ]
    for rule, right, wrong in cases:
        policy = policy_of(allow=[rule], trusted_headers=["team"])
        found = [policy.decide(caller, TOOL, {}).allowed for caller in (right, wrong, right, wrong)]
        assert found == [True, False, True, False], rule
        assert policy.view_key(right) != policy.view_key(wrong)
    by_target = {
        "mcp.kind == 'tool'": Target("prompt", TOOL.server, TOOL.name),
        "mcp.target == 'prod'": Target("tool", "dev", TOOL.name),
        "mcp.tool.name == 'kubectl-delete'": Target("tool", "prod", "kubectl-Delete"),
        "mcp.method == 'tools/call'": Target("tool", "prod", TOOL.name, method="other"),
        "mcp.tool.annotations.destructiveHint": Target("tool", "prod", TOOL.name, {"destructiveHint": False}),
    }
    for rule, target in by_target.items():
        policy = policy_of(allow=[rule])
        assert [policy.decide(caller_with(), each, {}).allowed for each in (TOOL, target, TOOL)] == [True, False, True]


def test_claims_that_no_rule_reads_do_not_make_another_view() -> None:
    policy = policy_of(allow=["jwt.role == 'x'"])
    old, new = caller_with({"role": "x", "exp": 1}), caller_with({"role": "x", "exp": 2})
    assert policy.view_key(old) == policy.view_key(new)
    assert policy_of(allow=["size(jwt) > 0"]).view_key(old) != policy_of(allow=["size(jwt) > 0"]).view_key(new)


@pytest.mark.parametrize(
    "arguments",
    [{"x": "a\0"}, {"a\0": 1}, {"x": [["\0"]]}, {"x": [0] * 200_000}, {"x": [[[[["a"] * 9] * 9] * 9] * 9] * 99}],
)
def test_arguments_that_rules_cannot_judge_are_refused_where_rules_look_at_them(arguments: dict[str, Any]) -> None:
    decision = policy_of(deny=["has(mcp.tool.arguments.force)"]).decide(caller_with(), TOOL, arguments)
    assert (decision.allowed, decision.verdict, decision.hidden) == (False, "error", False)
    assert policy_of(deny=["mcp.target == 'dev'"]).decide(caller_with(), TOOL, arguments).allowed


def test_no_arguments_are_the_same_as_empty_ones() -> None:
    policy = policy_of(require=["!has(mcp.tool.arguments.force)"])
    assert policy.decide(caller_with(), TOOL, None) == policy.decide(caller_with(), TOOL, {})
    assert policy.decide(caller_with(), TOOL, None).allowed


def test_one_decision_over_many_costly_rules_is_bounded_and_denies() -> None:
    rule = "mcp.tool.arguments.names.exists(e, mcp.tool.arguments.text.contains(e))"
    policy = policy_of(
        deny=[rule.replace("(e,", f"(e{number},").replace("(e)", f"(e{number})") for number in range(50)]
    )
    arguments = {"text": "ab" * 100_000, "names": ["abc"] * 200}
    start = time.perf_counter()
    decision = policy.decide(caller_with(), TOOL, arguments)
    print(f"50 rules over 200 x 200 kB: {(time.perf_counter() - start) * 1e3:.1f} ms")
    assert decision.verdict == "error"


def test_the_explanation_names_the_rule_that_decided() -> None:
    policy = policy_of(**EXAMPLE)
    viewer = caller_with({"sub": "a", "role": "viewer"})
    found = {part.rule: (part.section, part.truth, part.decided) for part in policy.explain(viewer, tool("list-pods"))}
    admin, developer, lists = EXAMPLE["allow"]
    assert found == {
        EXAMPLE["deny"][0]: ("deny", Truth.FALSE, False),
        "has(jwt.sub)": ("require", Truth.TRUE, False),
        admin: ("allow", Truth.FALSE, False),
        developer: ("allow", Truth.FALSE, False),
        lists: ("allow", Truth.TRUE, True),
    }
    prod = policy.explain(viewer, tool("list-pods", "prod"))
    assert (prod[0].truth, prod[0].decided) == (Truth.UNKNOWN, False)
    forced = policy.explain(viewer, tool("list-pods", "prod"), {"force": True})
    assert (forced[0].truth, forced[0].decided) == (Truth.TRUE, True)
    nul = policy.explain(viewer, tool("list-pods", "prod"), {"force": "\0"})
    assert nul[0].truth is Truth.ERROR
    prompt = policy.explain(viewer, Target("prompt", "prod", "p"))
    assert [part.truth for part in prompt] == [None, Truth.TRUE, Truth.FALSE, None, None]


def test_of_several_policies_all_must_allow_and_the_strictest_shows() -> None:
    caller = caller_with({"on": True})
    yes, no = policy_of(allow=["jwt.on"]), policy_of(allow=[])
    forbids = policy_of(allow=[], on_deny="forbid")
    asks = policy_of(deny=["mcp.tool.arguments.x == 1"])
    assert Policies([]).decide(caller, TOOL, {}).allowed
    assert Policies([yes, ALLOW_ALL]).decide(caller, TOOL, {}) == yes.decide(caller, TOOL, {})
    for order in itertools.permutations([yes, asks, no, forbids]):
        decision = Policies(order).decide(caller, TOOL, {"x": 1})
        assert (decision.allowed, decision.hidden) == (False, True)
        assert Policies(order).standing(caller, TOOL).outcome is Outcome.DENIED
    for order in itertools.permutations([yes, asks]):
        both = Policies(order)
        assert both.standing(caller, TOOL).outcome is Outcome.DEPENDS
        assert [both.decide(caller, TOOL, {"x": x}).allowed for x in (0, 1)] == [True, False]
        assert both.decide(caller, TOOL, {"x": 1}).hidden is False
    assert len(Policies([yes, asks]).explain(caller, TOOL)) == 2
    assert Policies([yes, no]).view_key(caller) != Policies([yes, no]).view_key(caller_with({"on": False}))


def test_rules_see_trusted_headers_only() -> None:
    caller = caller_with(headers={"team": "a", "forged": "b"})
    policy = policy_of(allow=["size(request.headers) == 1"], trusted_headers=["Team"])
    assert policy.decide(caller, TOOL, {}).allowed
    assert policy.trusted_headers == {"team"}
    sneaky = policy_of(allow=["request.headers.exists(h, h == 'forged')"], trusted_headers=["team"])
    assert not sneaky.decide(caller, TOOL, {}).allowed
    assert Policies([policy, policy_of(trusted_headers=["Zone"])]).trusted_headers == {"team", "zone"}


def test_what_clients_choose_without_end_is_not_remembered_without_end() -> None:
    policy = policy_of(deny=["mcp.resource.uri.startsWith('file:///etc') || request.path == '/x'"])
    for number in range(50):
        uri = f"file:///srv/{number}/{'a' * 10_000}"
        caller = caller_with(path="/" + "p" * 10_000 + str(number))
        assert policy.decide(caller, Target("resource", "s", uri), None).allowed
        assert len(str(policy.view_key(caller))) < 200
    assert len(policy._memory) == 0
    assert not policy.decide(caller_with(), Target("resource", "s", "file:///etc/" + "a" * 10_000), None).allowed


def test_a_policy_without_rules_remembers_nothing() -> None:
    for number in range(50):
        assert ALLOW_ALL.decide(Caller(ANONYMOUS), Target("resource", "s", f"file:///{number}"), None).allowed
    assert len(ALLOW_ALL._memory) == 0
