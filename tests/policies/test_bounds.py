"""Arguments that rules cannot judge are told apart, in bounded time."""

from typing import Any

import pytest

from policies.bounds import MAX_NESTING, MAX_VALUES, fault_of


def nested(depth: int, inside: Any = 1) -> Any:
    for number in range(depth):
        inside = {"a": inside} if number % 2 else [inside]
    return inside


@pytest.mark.parametrize("value", [{}, {"a": "b"}, None, nested(MAX_NESTING), {"a": list(range(1000))}])
def test_ordinary_arguments_have_no_fault(value: Any) -> None:
    assert fault_of(value) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"path": "/etc/passwd\0.txt"}, "NUL"),
        ({"a\0b": 1}, "NUL"),
        ({"a": [{"b": ["\0"]}]}, "NUL"),
        (nested(MAX_NESTING + 1), "nested"),
        (nested(100_000), "nested"),
        ({"a": [0] * MAX_VALUES}, "values"),
        ({"a": [[0] * 1000] * 1000}, "values"),
    ],
)
def test_what_rules_cannot_judge_is_named(value: Any, words: str) -> None:
    assert words in (fault_of(value) or "")
