"""Rules and scopes of a config: what is compiled, and in which words what cannot hold is said."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config_policy import AuthKey, PolicyKey, RoutePolicyKey, compile_policies, wrong_scopes
from policies.model import Caller, Identity, Target
from policies.rules import ALLOW_ALL

TOOL = Target("tool", "a", "t")
ADMIN = Caller(Identity("jwt", "x", claims={"role": "admin"}))
IS_ADMIN = 'jwt.role == "admin"'


def test_without_rules_everything_is_allowed() -> None:
    for data in ({}, {"policy": "allow_all"}, {"routes": {"/x": {"upstreams": ["a"]}}}):
        compiled = compile_policies(data)
        assert compiled.policy is ALLOW_ALL
        assert (compiled.routes, compiled.problems, compiled.warnings) == ({}, [], [])


def test_the_gateway_and_its_routes_have_a_policy_each() -> None:
    compiled = compile_policies({"policy": {"allow": [IS_ADMIN]}, "routes": {"/x": {"policy": {"deny": [IS_ADMIN]}}}})
    assert compiled.policy.decide(ADMIN, TOOL, {}).allowed
    assert not compiled.routes["/x"].decide(ADMIN, TOOL, {}).allowed
    assert compiled.problems == []


def test_every_bad_rule_is_found_under_its_key_and_shown_shortened() -> None:
    long = f"jwtt.role in [{', '.join(str(number) for number in range(40))}]"
    data = {
        "policy": {"allow": [IS_ADMIN, "jwt.role =="], "require": [long]},
        "routes": {"/mcp/x": {"policy": {"deny": ["true", 'request.headers.x_team\n  == "a"']}}},
    }
    found = dict(compile_policies(data).problems)
    assert list(found) == [
        ("policy", "require", 0),
        ("policy", "allow", 1),
        ("routes", "/mcp/x", "policy", "deny", 1),
    ]
    assert found["policy", "allow", 1].endswith(", in: jwt.role ==")
    assert found["policy", "require", 0].endswith("…")
    assert len(found["policy", "require", 0].split(", in: ")[1]) == 60
    assert found["routes", "/mcp/x", "policy", "deny", 1].endswith(', in: request.headers.x_team == "a"')


def test_doubtful_rules_are_warnings() -> None:
    compiled = compile_policies({"policy": {"require": ["1 == 1"]}})
    assert compiled.problems == []
    assert compiled.warnings == [(("policy", "require", 0), "is always true: it requires nothing, in: 1 == 1")]


@pytest.mark.parametrize("policy", [{}, {"deny": [], "require": []}, {"on_deny": "forbid"}])
def test_a_policy_without_rules_must_be_said_in_words(policy: dict[str, Any]) -> None:
    assert compile_policies({"policy": policy, "routes": {"/x": {"policy": policy}}}).problems == [
        (("policy",), "has no rules; add allow, deny or require, or write policy: allow_all"),
        (("routes", "/x", "policy"), "has no rules; add allow, deny or require, or remove it"),
    ]


def test_an_empty_allow_is_a_rule_it_allows_nothing() -> None:
    compiled = compile_policies({"policy": {"allow": []}})
    assert compiled.problems == []
    assert not compiled.policy.decide(ADMIN, TOOL, {}).allowed


@pytest.mark.parametrize("policy", [None, "allow", [], {"alow": []}, {"allow": [1]}])
def test_what_has_another_shape_is_left_to_the_check_of_the_whole(policy: Any) -> None:
    compiled = compile_policies({"policy": policy, "routes": {"/x": {"policy": policy}, "/y": None}})
    assert (compiled.routes, compiled.problems) == ({}, [])


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"auth": {"mode": "none", "scopes": ["a"]}}, [("auth", "scopes")]),
        ({"auth": {"mode": "none", "scopes": []}}, []),
        ({"auth": {"scopes": ["a"]}, "routes": {"/x": {"scopes": ["b"]}}}, []),
        ({"routes": {"/x": {"scopes": ["b"]}, "/y": {"scopes": []}}}, [("routes", "/x", "scopes")]),
        ({"auth": {"mode": "none"}, "routes": {"/x": {"scopes": ["b"]}}}, [("routes", "/x", "scopes")]),
        ({"auth": None, "routes": {"/x": {"scopes": ["b"]}}}, []),
    ],
)
def test_scopes_need_somebody_who_is_asked_for_them(data: dict[str, Any], keys: list[tuple[str, ...]]) -> None:
    assert [key for key, _ in wrong_scopes(data)] == keys


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (AuthKey, None, "is empty; add jwt or api_keys, or write mode: none in it"),
        (PolicyKey, None, "must be allow_all, or a mapping with allow, deny or require"),
        (PolicyKey, "allow-all", "must be allow_all, or a mapping with allow, deny or require"),
        (RoutePolicyKey, None, "must be a mapping with allow, deny or require"),
        (RoutePolicyKey, "allow_all", "must be a mapping with allow, deny or require"),
    ],
)
def test_an_emptied_section_does_not_open_the_gate(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(kind).validate_python(value)
