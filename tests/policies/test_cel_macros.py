"""Macros loop over a bounded number of elements, with CEL's rules for errors."""

import time
from typing import Any

import pytest

from policies.cel import Truth, Variables, compile_rule
from policies.cel_macros import MAX_ELEMENTS
from policies.cel_variables import MAX_WORK
from tests.fixtures.rules import truth

MACROS = [
    "exists(e, e == 'x')",
    "all(e, e != 'x')",
    "exists_one(e, e == 'x')",
    "filter(e, e == 'x') == []",
    "map(e, e) == []",
]


@pytest.mark.parametrize("macro", MACROS)
def test_a_macro_over_too_many_elements_is_an_error_even_when_the_first_decides(macro: str) -> None:
    fits: Any = ["y"] * MAX_ELEMENTS
    for rule, values in ((f"mcp.tool.arguments.list.{macro}", {"list": fits}), (f"jwt.list.{macro}", {"list": fits})):
        assert truth(rule, values, values) in (Truth.TRUE, Truth.FALSE)
        longer = {"list": ["x", *fits]}
        assert truth(rule, longer, longer) is Truth.ERROR
    many = {"list": {str(number): 1 for number in range(MAX_ELEMENTS + 1)}}
    assert truth(f"mcp.tool.arguments.list.{macro}", {}, many) is Truth.ERROR


@pytest.mark.parametrize("macro", MACROS)
@pytest.mark.parametrize("value", ["text", 1, None, True])
def test_a_macro_over_what_is_no_list_and_no_map_is_an_error(macro: str, value: object) -> None:
    assert truth(f"jwt.list.{macro}", {"list": value}) is Truth.ERROR


def test_a_macro_over_a_map_goes_over_its_keys() -> None:
    assert (
        truth("jwt.team.exists(k, k == 'name') && jwt.team.all(k, jwt.team[k] == 1)", {"team": {"name": 1}})
        is Truth.TRUE
    )


def test_macros_may_follow_each_other() -> None:
    rule = "jwt.a.filter(e, e > 1).exists(f, f == 3) && jwt.a.map(e, e * 2) == [2, 4, 6]"
    assert truth(rule, {"a": [1, 2, 3]}) is Truth.TRUE


def test_the_variable_of_a_macro_ends_with_it() -> None:
    with pytest.raises(ValueError, match="e is not a variable"):
        truth("jwt.a.exists(e, e == 1) && e == 1", {"a": [1]})


def test_words_of_python_are_names_like_others() -> None:
    for name in ("get", "lambda", "class", "item", "self", "None", "identifiers"):
        assert truth(f"jwt.a.exists({name}, {name} == 1)", {"a": [1]}) is Truth.TRUE


HUGE: dict[str, tuple[str, dict[str, Any]]] = {
    "long strings in a loop": (
        "x.names.exists(e, x.text.contains(e))",
        {"text": "ab" * 2_000_000, "names": ["abc"] * 200},
    ),
    "a long string matched": ("x.text.matches('(a|b)*c$')", {"text": "ab" * 1_000_000}),
    "a long string matched in a loop": (
        "x.names.all(e, !x.text.matches('(a|b)+c$'))",
        {"text": "ab" * 50_000, "names": [1] * 200},
    ),
    "a long list searched in a loop": (
        "x.names.exists(e, e in x.list)",
        {"list": ["a"] * 90_000, "names": ["b"] * 200},
    ),
    "two large lists compared in a loop": (
        "x.names.all(e, x.list == x.same)",
        {"list": [1] * 40_000, "same": [1] * 40_000, "names": [1] * 200},
    ),
    "joined strings": ("x.names.map(e, x.text + x.text).size() == 1", {"text": "a" * 2_000_000, "names": [1] * 200}),
    "joined lists": ("x.names.map(e, x.list + x.list).size() == 1", {"list": [1] * 90_000, "names": [1] * 200}),
    "deep lists compared": ("x.a == x.b", {"a": [[[1] * 30] * 30] * 30, "b": [[[1] * 30] * 30] * 30}),
    "texts compared": (" || ".join(["x.a < x.b"] * 50), {"a": "a" * 2_000_000, "b": "a" * 2_000_000}),
}


@pytest.mark.parametrize("case", HUGE)
def test_huge_input_is_bounded(case: str) -> None:
    text, arguments = HUGE[case]
    rule = text.replace("x.", "mcp.tool.arguments.")
    truth(rule, {}, {"names": []})
    start = time.perf_counter()
    result = truth(rule, {}, arguments)
    print(f"{case}: {result.value}, {(time.perf_counter() - start) * 1e3:.1f} ms")


def test_what_a_macro_loops_over_and_what_a_pattern_reads_is_accounted_for() -> None:
    work = {}
    for name, claims in (
        ("short", {"list": ["a"], "text": "a"}),
        ("long", {"list": ["a"] * 200, "text": "a" * 640_000}),
    ):
        for rule in ("jwt.list.all(e, e + e == 'aa')", "jwt.text.matches('b')"):
            variables = Variables(jwt=claims)
            compile_rule(rule).evaluate(variables)
            work[rule[:8], name] = MAX_WORK - variables.work
    assert work["jwt.list", "long"] >= work["jwt.list", "short"] + 199 * 5
    assert work["jwt.text", "long"] >= work["jwt.text", "short"] + 9_000
