"""The connectives over four values, in every order."""

from dataclasses import dataclass
from itertools import permutations, product

import pytest

from policies.cel_logic import And, Choose, Leaf, Logic, Not, Or, Remembered, Truth, as_term
from policies.cel_values import EvaluationError, OutOfWork
from policies.cel_variables import UnknownInput, Variables

TRUE, FALSE, ERROR, UNKNOWN = Truth.TRUE, Truth.FALSE, Truth.ERROR, Truth.UNKNOWN
NOTHING = Variables()


@dataclass
class Given:
    """A node that is what it is told to be."""

    truth: Truth
    asked: int = 0

    def evaluate(self, variables: Variables) -> Truth:
        self.asked += 1
        return self.truth


def join(connective: type[And] | type[Or], truths: tuple[Truth, ...]) -> Truth:
    return connective(tuple(Given(truth) for truth in truths)).evaluate(NOTHING)


@pytest.mark.parametrize("truths", list(product(Truth, repeat=3)))
def test_and_and_or_are_decided_by_what_decides_alone_in_any_order(truths: tuple[Truth, ...]) -> None:
    expected_and = next((t for t in (FALSE, UNKNOWN, ERROR) if t in truths), TRUE)
    expected_or = next((t for t in (TRUE, UNKNOWN, ERROR) if t in truths), FALSE)
    for order in permutations(truths):
        assert join(And, order) is expected_and
        assert join(Or, order) is expected_or


@pytest.mark.parametrize("truths", list(product(Truth, repeat=3)))
def test_what_is_decided_with_unknowns_stays_so_whatever_they_become(truths: tuple[Truth, ...]) -> None:
    def all_nodes(values: tuple[Truth, ...]) -> list[Logic]:
        a, b, c = (Given(value) for value in values)
        return [And((a, b, c)), Or((a, b, c)), Choose(a, b, c), Not(And((a, Or((b, c)))))]

    early = [node.evaluate(NOTHING) for node in all_nodes(truths)]
    choices = [(TRUE, FALSE, ERROR) if truth is UNKNOWN else (truth,) for truth in truths]
    for values in product(*choices):
        late = [node.evaluate(NOTHING) for node in all_nodes(values)]
        assert all(first in (UNKNOWN, second) for first, second in zip(early, late, strict=True))


def test_not_turns_booleans_and_nothing_else() -> None:
    assert [Not(Given(truth)).evaluate(NOTHING) for truth in (TRUE, FALSE, ERROR, UNKNOWN)] == [
        FALSE,
        TRUE,
        ERROR,
        UNKNOWN,
    ]


def test_choose_looks_at_one_branch_only() -> None:
    then, otherwise = Given(TRUE), Given(ERROR)
    assert Choose(Given(TRUE), then, otherwise).evaluate(NOTHING) is TRUE
    assert (then.asked, otherwise.asked) == (1, 0)
    for truth in (ERROR, UNKNOWN):
        assert Choose(Given(truth), Given(TRUE), Given(TRUE)).evaluate(NOTHING) is truth


@pytest.mark.parametrize("value", [1, 0, "true", None, [], 1.0])
def test_what_is_no_boolean_is_an_error(value: object) -> None:
    assert Leaf(lambda variables: value).evaluate(NOTHING) is ERROR


def test_a_leaf_turns_what_it_meets_into_a_truth_but_for_the_end_of_work() -> None:
    def raising(error: type[BaseException]) -> Leaf:
        def term(variables: Variables) -> object:
            raise error

        return Leaf(term)

    assert raising(UnknownInput).evaluate(NOTHING) is UNKNOWN
    for error in (EvaluationError, RecursionError, KeyError, AttributeError):
        assert raising(error).evaluate(NOTHING) is ERROR
    with pytest.raises(OutOfWork):
        Or((Given(FALSE), raising(OutOfWork))).evaluate(NOTHING)


def test_a_boolean_tree_used_as_a_value_is_true_false_or_its_exception() -> None:
    assert as_term(Given(TRUE))(NOTHING) is True
    assert as_term(Given(FALSE))(NOTHING) is False
    with pytest.raises(UnknownInput):
        as_term(Given(UNKNOWN))(NOTHING)
    with pytest.raises(EvaluationError):
        as_term(Given(ERROR))(NOTHING)


def test_a_remembered_part_is_asked_once_per_memo() -> None:
    given = Given(FALSE)
    part = Remembered(given)
    variables = Variables()
    assert part.evaluate(variables) is part.evaluate(variables) is FALSE
    assert given.asked == 1
    assert part.evaluate(Variables()) is FALSE
    assert given.asked == 2
