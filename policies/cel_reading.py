"""What an expression reads, and the functions that read it; refuses names that are not declared."""

from dataclasses import dataclass, field
from difflib import get_close_matches

from policies.cel_logic import Term
from policies.cel_syntax import Node, RuleError
from policies.cel_values import at_key
from policies.cel_variables import FIELDS, HEADERS, JWT, ROOTS, SPACES, Field, Variables


@dataclass(slots=True)
class Reads:
    """What an expression reads. `claims` names the claims; `all_claims` says that it reads them as a whole."""

    names: set[str] = field(default_factory=set)
    about: set[str] = field(default_factory=set)
    claims: set[str] = field(default_factory=set)
    all_claims: bool = False
    target: bool = False  # something of the target, so it differs from call to call

    def include(self, other: "Reads") -> None:
        """Add what a part reads."""
        self.names |= other.names
        self.about |= other.about
        self.claims |= other.claims
        self.all_claims |= other.all_claims
        self.target |= other.target

    def field(self, node: Node, path: tuple[str, ...]) -> Term:
        """Reads a declared variable; raises RuleError for another name, with the nearest known one."""
        if path in FIELDS:
            self.all_claims |= path == JWT
            return self._declared(FIELDS[path])
        name = ".".join(path)
        if path in SPACES:
            inside = ", ".join(sorted({other[len(path)] for other in FIELDS if other[: len(path)] == path}))
            raise RuleError(f"{name} is no value by itself; read one of its fields: {inside}", node.position)
        known = [".".join(other) for other in FIELDS] + [".".join(space) for space in SPACES]
        nearest = get_close_matches(name, known, 1)
        mend = f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(sorted(ROOTS))}"
        raise RuleError(f"{name} is not a variable; {mend}", node.position)

    def claim(self, name: str) -> Term:
        """Reads the claims for the sake of one of them."""
        self.claims.add(name)
        return self._declared(FIELDS[JWT])

    def header(self, name: str) -> Term:
        """Reads one header; case does not count in its name (RFC 9110 §5.1)."""
        lower = name.lower()
        headers = self._headers(lower)

        def read(variables: Variables) -> object:
            return at_key(headers(variables), lower, variables.spend)

        return read

    def has_header(self, name: str) -> Term:
        """Tells whether the request has a header."""
        lower = name.lower()
        headers = self._headers(lower)
        return lambda variables: lower in headers(variables)

    def _headers(self, name: str) -> Term:
        self.names.add(f"request.headers.{name}")
        return FIELDS[HEADERS].getter

    def _declared(self, declared: Field) -> Term:
        self.names.add(declared.reads)
        if declared.about is not None:
            self.about.add(declared.about)
        self.target |= not declared.of_caller
        return declared.getter


def dotted(node: Node) -> tuple[str, ...] | None:
    """The path that a chain of field selections from a name spells, or None for another expression."""
    names = []
    while node.kind == "select":
        names.append(node.value)
        node = node.parts[0]
    return (node.value, *reversed(names)) if node.kind == "name" else None


def is_declared(path: tuple[str, ...]) -> bool:
    """Whether the path itself must be a variable, rather than something within the value of one."""
    return path in FIELDS or path in SPACES or path[:-1] in SPACES
