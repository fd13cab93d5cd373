"""CEL's boolean connectives over true, false, error and unknown; knows no syntax and no types of values.

A connective is decided as soon as what is known decides it, in any order: `false && error` is false, `true || error`
is true (CEL specification, "Logical Operators"). Unknown comes before error, because it may still become deciding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from policies.cel_values import EvaluationError, OutOfWork
from policies.cel_variables import UnknownInput, Variables


class Truth(Enum):
    """What a rule comes to."""

    TRUE = "true"
    FALSE = "false"
    ERROR = "error"
    UNKNOWN = "unknown"


TRUE, FALSE, ERROR, UNKNOWN = Truth.TRUE, Truth.FALSE, Truth.ERROR, Truth.UNKNOWN
Term = Callable[[Variables], Any]

_NOT = {TRUE: FALSE, FALSE: TRUE, ERROR: ERROR, UNKNOWN: UNKNOWN}


class Logic(Protocol):
    """One node of a rule's boolean tree."""

    def evaluate(self, variables: Variables) -> Truth:
        """What this node comes to; raises only OutOfWork."""
        ...

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        """Whether some values of what is unknown make it true, or false: beside an error many make it neither."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """An expression without connectives. What is no boolean is an error."""

    term: Term

    def evaluate(self, variables: Variables) -> Truth:
        try:
            value = self.term(variables)
        except UnknownInput:
            return UNKNOWN
        except OutOfWork:
            raise
        except Exception:  # whatever an operator stumbles over is a rule error, and guards as one
            return ERROR
        if value is True:
            return TRUE
        return FALSE if value is False else ERROR

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        return self.evaluate(variables) in (UNKNOWN, TRUE if wanted else FALSE)


@dataclass(frozen=True, slots=True)
class Not:
    """`!a`"""

    part: Logic

    def evaluate(self, variables: Variables) -> Truth:
        return _NOT[self.part.evaluate(variables)]

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        return self.part.may_be(not wanted, variables)


@dataclass(frozen=True, slots=True)
class And:
    """`a && b && …`"""

    parts: tuple[Logic, ...]

    def evaluate(self, variables: Variables) -> Truth:
        result = TRUE
        for part in self.parts:
            truth = part.evaluate(variables)
            if truth is FALSE:
                return FALSE
            if truth is not TRUE and result is not UNKNOWN:
                result = truth
        return result

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        parts = (part.may_be(wanted, variables) for part in self.parts)
        return all(parts) if wanted else any(parts)


@dataclass(frozen=True, slots=True)
class Or:
    """`a || b || …`"""

    parts: tuple[Logic, ...]

    def evaluate(self, variables: Variables) -> Truth:
        result = FALSE
        for part in self.parts:
            truth = part.evaluate(variables)
            if truth is TRUE:
                return TRUE
            if truth is not FALSE and result is not UNKNOWN:
                result = truth
        return result

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        parts = (part.may_be(wanted, variables) for part in self.parts)
        return any(parts) if wanted else all(parts)


@dataclass(frozen=True, slots=True)
class Choose:
    """`condition ? then : otherwise`; the branch not taken is not looked at."""

    condition: Logic
    then: Logic
    otherwise: Logic

    def evaluate(self, variables: Variables) -> Truth:
        truth = self.condition.evaluate(variables)
        if truth is TRUE:
            return self.then.evaluate(variables)
        return self.otherwise.evaluate(variables) if truth is FALSE else truth

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        branches = ((True, self.then), (False, self.otherwise))
        return any(
            self.condition.may_be(taken, variables) and branch.may_be(wanted, variables) for taken, branch in branches
        )


@dataclass(frozen=True, slots=True)
class Remembered:
    """A part that reads the caller alone: worked out once per caller and then taken from the memo."""

    part: Logic

    def evaluate(self, variables: Variables) -> Truth:
        memo = variables.memo
        truth: Truth | None = memo.get(id(self))
        if truth is None:
            truth = memo[id(self)] = self.part.evaluate(variables)
        return truth

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        return self.evaluate(variables) in (UNKNOWN, TRUE if wanted else FALSE)


def as_term(logic: Logic) -> Term:
    """A boolean tree where an expression needs a value: true, false, or the exception that the truth stands for."""
    if isinstance(logic, Leaf):
        return logic.term

    def term(variables: Variables) -> bool:
        truth = logic.evaluate(variables)
        if truth is UNKNOWN:
            raise UnknownInput
        if truth is ERROR:
            raise EvaluationError("an error among the operands")
        return truth is TRUE

    return term
