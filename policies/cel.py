"""Rules: expressions of CEL, checked at load and evaluated three-valued; the only file that imports the CEL library.

The library parses. What the operators mean for JSON values is in `cel_values`, so that arguments are never converted,
nothing is worked out that a rule does not read, and what is unknown stays unknown.
"""

from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from policies.cel_logic import Logic, Truth
from policies.cel_syntax import RuleError, read_tree
from policies.cel_table import load_parser
from policies.cel_terms import Terms
from policies.cel_values import OutOfWork
from policies.cel_variables import Variables
from policies.model import IDENTITY_KINDS, TARGET_KINDS

if TYPE_CHECKING:
    from lark import Lark

__all__ = ["MAX_TEXT", "Rule", "RuleError", "Truth", "Variables", "compile_rule"]

MAX_TEXT: Final = 4096  # characters; a longer rule is a program


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One checked rule. `reads` names the variables, `claims` the claims (None: all), `about` the kinds of target."""

    text: str
    reads: frozenset[str]
    claims: frozenset[str] | None
    about: frozenset[str]
    warnings: tuple[str, ...]
    _logic: Logic = field(repr=False)

    def applies_to(self, kind: str) -> bool:
        """Whether the rule is about this kind of target; one that reads none of them is about all."""
        return not self.about or kind in self.about

    def evaluate(self, variables: Variables) -> Truth:
        """What the rule comes to; an error where one decision would take too much work."""
        try:
            return self._logic.evaluate(variables)
        except OutOfWork:
            return Truth.ERROR

    def may_be(self, wanted: Truth, variables: Variables) -> bool:
        """Whether a rule that is unknown can come to true, or to false, once the rest is known."""
        try:
            return self._logic.may_be(wanted is Truth.TRUE, variables)
        except OutOfWork:
            return False


def compile_rule(text: str) -> Rule:
    """Check and compile one rule; raises RuleError, whose words say where and how to mend it."""
    if len(text) > MAX_TEXT:
        raise RuleError(f"longer than {MAX_TEXT} characters; split it into several rules")
    terms = Terms()
    logic = terms.whole(read_tree(_parse(text)))
    reads = terms.reads
    return Rule(
        text=text,
        reads=frozenset(reads.names),
        claims=None if reads.all_claims else frozenset(reads.claims),
        about=frozenset(reads.about),
        warnings=tuple(_doubts(logic, frozenset(reads.about))),
        _logic=logic,
    )


def _parse(text: str) -> Any:
    parser = _parser()
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken  # loaded by now, with the parser

    try:
        return parser.parse(text)
    except (UnexpectedCharacters, UnexpectedToken) as error:
        lines = text.splitlines(keepends=True)
        before = sum(len(line) for line in lines[: (error.line or 1) - 1])
        place = before + (error.column or 1) - 1 if (error.column or 0) > 0 else len(text)
        raise RuleError("not an expression of CEL; look for a missing operator, quote or bracket", place) from None


@cache
def _parser() -> "Lark":
    """The library's parser, made for the first rule; where no tables fit, that costs 130 ms and 6 MB more."""
    parser = load_parser()
    if parser is not None:
        return parser
    from celpy.celparser import CELParser

    CELParser()
    assert CELParser.CEL_PARSER is not None
    return CELParser.CEL_PARSER


def _doubts(logic: Logic, about: frozenset[str]) -> list[str]:
    """What is odd about a rule whatever the caller, the target and the arguments are."""
    outcomes = set()
    for kind, identity_kind in product(sorted(about) or TARGET_KINDS, IDENTITY_KINDS):
        try:
            outcomes.add(logic.evaluate(Variables(kind=kind, identity_kind=identity_kind)))
        except OutOfWork:
            outcomes.add(Truth.ERROR)
    if outcomes == {Truth.TRUE}:
        return ["is always true"]
    if not outcomes & {Truth.TRUE, Truth.UNKNOWN}:
        return ["can never be true"]
    return []
