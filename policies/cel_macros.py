"""CEL's macros over lists and the keys of maps, with a bound on how much they loop over."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from policies.cel_logic import And, Logic, Or, Term, Truth, as_term
from policies.cel_values import EvaluationError
from policies.cel_variables import Variables

MAX_ELEMENTS: Final = 200  # a list of groups or paths is far shorter; a longer one is an error, which denies


def _elements(value: Any, variables: Variables, size: int) -> list[Any]:
    if type(value) is not list and type(value) is not dict:
        raise EvaluationError("a macro over something that is no list and no map")
    if len(value) > MAX_ELEMENTS:
        raise EvaluationError(f"a macro over more than {MAX_ELEMENTS} elements")
    variables.spend(len(value) * size)
    return list(value)


class _Turn:
    """The body of a macro at one element: what a connective takes for an operand."""

    __slots__ = ("body", "item")

    def __init__(self, body: Logic, item: Any) -> None:
        self.body = body
        self.item = item

    def evaluate(self, variables: Variables) -> Truth:
        variables.item = self.item
        return self.body.evaluate(variables)

    def may_be(self, wanted: bool, variables: Variables) -> bool:
        variables.item = self.item
        return self.body.may_be(wanted, variables)


def _joined(connective: type[And] | type[Or]) -> Callable[[Term, Any, int], Term]:
    """`all` is `&&` of the body at each element, `exists` is `||` of it, with their rules for errors."""

    def make(source: Term, body: Logic, size: int) -> Term:
        def run(variables: Variables) -> Any:
            elements = _elements(source(variables), variables, size)
            return as_term(connective(tuple(_Turn(body, element) for element in elements)))(variables)

        return run

    return make


def _selected(finish: Callable[[list[Any]], Any]) -> Callable[[Term, Any, int], Term]:
    """The elements at which the body is true; an error at any of them is one of the whole."""

    def make(source: Term, body: Logic, size: int) -> Term:
        holds = as_term(body)

        def run(variables: Variables) -> Any:
            found = []
            for element in _elements(source(variables), variables, size):
                variables.item = element
                truth = holds(variables)
                if truth is True:
                    found.append(element)
                elif truth is not False:
                    raise EvaluationError("the body of a macro is no boolean")
            return finish(found)

        return run

    return make


def _mapped(source: Term, body: Term, size: int) -> Term:
    def run(variables: Variables) -> list[Any]:
        results = []
        for element in _elements(source(variables), variables, size):
            variables.item = element
            results.append(body(variables))
        return results

    return run


MACROS: Final[Mapping[str, Callable[[Term, Any, int], Term]]] = {
    "all": _joined(And),
    "exists": _joined(Or),
    "exists_one": _selected(lambda found: len(found) == 1),
    "filter": _selected(lambda found: found),
    "map": _mapped,
}
