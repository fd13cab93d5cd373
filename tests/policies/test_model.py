"""Identities, targets and callers have keys that hold every input with its type."""

from typing import Any

import pytest

from policies.model import ANONYMOUS, LOCAL, Caller, Identity, Target


def test_an_identity_is_kind_issuer_and_subject() -> None:
    one = Identity("jwt", "ada", "https://a.example", {"role": "x"}, ("read",))
    assert one == Identity("jwt", "ada", "https://a.example", {"role": "y"}, ())
    assert one.key == ("jwt", "https://a.example", "ada")
    assert len({one.key, ANONYMOUS.key, LOCAL.key, Identity("api_key", "ada", "https://a.example").key}) == 4
    assert "claims_key" not in repr(one)


@pytest.mark.parametrize(("left", "right"), [(True, 1), (1, 1.0), (1, "1"), (None, "None"), ([1], [True]), ({}, [])])
def test_claims_keep_their_type_in_keys(left: Any, right: Any) -> None:
    keys = {Identity("jwt", "a", "", {"x": value}).claims_key(names) for value in (left, right) for names in (None,)}
    assert len(keys) == 2


def test_claims_that_rules_do_not_read_do_not_count() -> None:
    names = frozenset({"role", "absent"})
    first = Identity("jwt", "a", "", {"role": "x", "exp": 1})
    second = Identity("jwt", "a", "", {"role": "x", "exp": 2})
    assert first.claims_key(names) == second.claims_key(names)
    assert first.claims_key(None) != second.claims_key(None)
    assert first.claims_key(names) != Identity("jwt", "a", "", {"role": "x", "absent": None}).claims_key(names)


def test_the_keys_kept_by_one_identity_are_bounded() -> None:
    identity = Identity("jwt", "a", "", {str(number): number for number in range(100)})
    keys = {identity.claims_key(frozenset({str(number)})) for number in range(100)}
    assert len(keys) == 100
    assert len(identity._views) <= 8


def test_targets_that_differ_in_anything_are_different() -> None:
    targets = {
        Target("tool", "s", "n"),
        *(Target("prompt", "s", "n"), Target("resource", "s", "n"), Target("tool", "t", "n"), Target("tool", "s", "N")),
        *(
            Target("tool", "s", "n", {"a": 1}),
            Target("tool", "s", "n", {"a": True}),
            Target("tool", "s", "n", {"a": 1.0}),
        ),
        Target("resource", "s", "n", method="resources/subscribe"),
    }
    assert len(targets) == 9
    assert Target("tool", "s", "n", {"a": 1, "b": 2}) in {Target("tool", "s", "n", {"b": 2, "a": 1})}


def test_a_target_has_the_method_of_its_use() -> None:
    methods = [Target(kind, "s", "n").method for kind in ("tool", "prompt", "resource")]
    assert methods == ["tools/call", "prompts/get", "resources/read"]


def test_a_callers_key_holds_what_is_read_and_nothing_else() -> None:
    def caller(**changes: Any) -> Caller:
        parts = {"path": "/mcp", "host": "h", "headers": {"x-a": "1", "x-b": "2"}, "address": "10.0.0.1"}
        return Caller(Identity("jwt", "ada", "", {"role": "x"}, ("read",)), **{**parts, **changes})

    changes: dict[str, dict[str, Any]] = {
        "request.path": {"path": "/other"},
        "request.host": {"host": "H"},
        "source.address": {"address": "10.0.0.2"},
        "request.headers.x-a": {"headers": {"x-a": "2", "x-b": "2"}},
    }
    for read, change in changes.items():
        for other in changes:
            assert (caller().key((other,), None) == caller(**change).key((other,), None)) is (read != other)
    more = caller(headers={"x-a": "1", "x-b": "2", "x-c": ""})
    assert caller().key(("request.headers",), None) != more.key(("request.headers",), None)
    assert caller().key(("request.headers.x-a",), None) == more.key(("request.headers.x-a",), None)
    assert caller(headers={}).key(("request.headers.x-a",), None) != caller(headers={"x-a": ""}).key(
        ("request.headers.x-a",), None
    )


def test_kind_subject_issuer_and_scopes_count_where_identity_is_read() -> None:
    identities = [
        *(
            Identity("jwt", "a", "i"),
            Identity("api_key", "a", "i"),
            Identity("jwt", "b", "i"),
            Identity("jwt", "a", "j"),
        ),
        *(Identity("jwt", "a", "i", {}, ("s",)), Identity("jwt", "a", "i", {}, ("s", "t"))),
    ]
    assert len({Caller(identity).key(("identity",), None) for identity in identities}) == len(identities)
    assert len({Caller(identity).key(("jwt",), None) for identity in identities}) == 1
