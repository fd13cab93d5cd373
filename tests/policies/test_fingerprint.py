"""Keys of values differ whenever values or their types do."""

from itertools import combinations
from typing import Any

import pytest

from policies.fingerprint import fingerprint

DIFFERENT: list[Any] = [
    *(True, False, 1, 0, 1.0, 0.0, -0.0, "1", "true", "True", None, "None", "", [], {}, [[]], [{}], {"": ""}),
    *(["a", "b"], ["ab"], ["a,b"], [["a"], "b"], {"a": "b"}, {"a": {"b": None}}, {"ab": ""}, {1: "a"}, {"1": "a"}),
    *(["b", "a"], {"a": 1, "b": 2}, {"a": 2, "b": 1}, "a\u0301", "\u00e1", 2**63, float(2**63), b"1", "s1:1"),
]


def test_different_values_have_different_keys() -> None:
    for left, right in combinations(DIFFERENT, 2):
        assert fingerprint(left) != fingerprint(right), (left, right)


def test_the_order_of_members_does_not_count() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])


def test_what_is_too_deep_has_no_key() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        fingerprint(deep)
