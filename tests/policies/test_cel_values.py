"""Operators on JSON values: types never mix by accident, whole numbers stay within 64 bits."""

import math
import operator
from itertools import product
from typing import Any

import pytest

from policies import cel_values as values
from policies.cel_values import EvaluationError, OutOfWork, TypeName, Uint
from policies.cel_variables import Variables

VALUES: list[Any] = [True, False, 0, 1, Uint(1), 1.0, "1", "true", b"1", None, [], [1], {}, {"1": 1}, TypeName("int")]


def spend(steps: int) -> None:
    """Work without end."""


@pytest.mark.parametrize(("left", "right"), list(product(VALUES, repeat=2)))
def test_values_are_equal_only_when_type_and_value_are_or_both_are_numbers(left: Any, right: Any) -> None:
    numbers = {int, Uint, float}
    expected = left == right and (type(left) is type(right) or {type(left), type(right)} <= numbers)
    assert values.equal(left, right, spend) is expected
    assert values.equal([left], [right], spend) is expected
    assert values.equal({"k": left}, {"k": right}, spend) is expected


def test_numbers_compare_exactly_across_types() -> None:
    assert not values.equal(2**53 + 1, float(2**53), spend)
    assert values.compare(operator.gt, 2**53 + 1, float(2**53))
    assert not values.equal(math.nan, math.nan, spend)


@pytest.mark.parametrize(("left", "right"), [(True, 1), ("1", 1), (None, None), ([], []), ({}, {}), ("a", b"a")])
def test_what_has_no_common_order_is_not_compared(left: Any, right: Any) -> None:
    with pytest.raises(EvaluationError):
        values.compare(operator.lt, left, right)


def test_a_key_true_is_no_key_1() -> None:
    assert not values.has_key({1: "a"}, True, spend)
    assert values.has_key({1: "a"}, 1.0, spend)
    assert values.at_key({1: "a", "b": "c"}, "b", spend) == "c"
    with pytest.raises(EvaluationError):
        values.at_key({1: "a"}, True, spend)


@pytest.mark.parametrize("index", [-1, 2, True, 0.0, "0", None])
def test_a_list_has_elements_at_whole_numbers_within_it_only(index: Any) -> None:
    with pytest.raises(EvaluationError):
        values.at_index(["a", "b"], index, spend)


@pytest.mark.parametrize(
    ("sign", "left", "right"),
    [
        *(("+", 2**63 - 1, 1), ("-", -(2**63), 1), ("*", 2**62, 2), ("/", -(2**63), -1), ("/", 1, 0), ("%", 1, 0)),
        *(
            ("-", Uint(0), Uint(1)),
            ("+", Uint(2**64 - 1), Uint(1)),
            ("+", 1, 1.0),
            ("+", 1, Uint(1)),
            ("+", True, True),
        ),
        *(("%", 1.0, 1.0), ("-", "a", "a"), ("*", "a", 3), ("*", [1], 3), ("+", {}, {}), ("+", None, None)),
    ],
)
def test_arithmetic_that_overflows_or_mixes_types_is_an_error(sign: str, left: Any, right: Any) -> None:
    with pytest.raises(EvaluationError):
        values.calculate(sign, left, right, spend)


def test_division_goes_towards_zero_and_the_rest_has_the_sign_of_the_left() -> None:
    table = [(7, 2, 3, 1), (-7, 2, -3, -1), (7, -2, -3, 1), (-7, -2, 3, -1)]
    for left, right, quotient, rest in table:
        assert values.calculate("/", left, right, spend) == quotient
        assert values.calculate("%", left, right, spend) == rest


def test_doubles_divide_as_in_ieee_754() -> None:
    assert values.calculate("/", 1.0, 0.0, spend) == math.inf
    assert values.calculate("/", -1.0, 0.0, spend) == -math.inf
    assert values.calculate("/", 1.0, -0.0, spend) == -math.inf
    assert math.isnan(values.calculate("/", 0.0, 0.0, spend))


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        *((values.to_int, "-12", -12), (values.to_int, 1.9, 1), (values.to_int, Uint(3), 3)),
        *((values.to_uint, 1, Uint(1)), (values.to_double, "1e3", 1000.0), (values.to_double, 1, 1.0)),
        *((values.to_string, 1.0, "1"), (values.to_string, True, "true"), (values.to_string, b"a", "a")),
        *((values.to_bool, "true", True), (values.to_bool, False, False), (values.to_bytes, "é", b"\xc3\xa9")),
        *((values.type_of, 1, TypeName("int")), (values.type_of, True, TypeName("bool"))),
        *((values.type_of, None, TypeName("null_type")), (values.type_of, {}, TypeName("map"))),
    ],
)
def test_conversions_give_what_the_specification_says(convert: Any, value: Any, expected: Any) -> None:
    result = convert(value, spend)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("convert", "value"),
    [
        *(
            (values.to_int, text)
            for text in ("", " 1", "1 ", "1_000", "٣", "0x1", "1.0", "9" * 30, "9223372036854775808")
        ),
        *((values.to_int, value) for value in (True, None, [], math.nan, math.inf, 1e30)),
        *((values.to_uint, -1), (values.to_double, "nan"), (values.to_double, "1_0"), (values.to_double, True)),
        *((values.to_bool, 1), (values.to_bool, "yes"), (values.to_string, None), (values.to_string, 2**70)),
        *(
            (values.to_bytes, 1),
            (values.size, 1),
            (values.size, None),
            (values.negate, True),
            (values.type_of, object()),
        ),
    ],
)
def test_conversions_refuse_what_has_no_meaning(convert: Any, value: Any) -> None:
    with pytest.raises((EvaluationError, TypeError)):
        convert(value, spend)


def test_work_on_large_values_is_counted() -> None:
    variables = Variables()
    with pytest.raises(OutOfWork):
        values.contained("x", ["y"] * 100_000, variables.spend)
