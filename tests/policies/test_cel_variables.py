"""The table of variables is the contract's, and reading what is missing says which kind of missing."""

import pytest

from policies.cel_values import EvaluationError, OutOfWork
from policies.cel_variables import ABSENT, FIELDS, SPACES, UNKNOWN, UnknownInput, Variables


def test_the_declared_variables_are_those_of_the_contract() -> None:
    assert {".".join(path) for path in FIELDS} == {
        *("jwt", "identity.kind", "identity.sub", "identity.issuer", "identity.scopes"),
        *("mcp.kind", "mcp.target", "mcp.method", "mcp.tool.name", "mcp.tool.annotations", "mcp.tool.arguments"),
        *("mcp.prompt.name", "mcp.resource.uri", "request.path", "request.host", "request.headers", "source.address"),
    }
    assert {".".join(path) for path in SPACES} == {
        *("identity", "mcp", "mcp.tool", "mcp.prompt", "mcp.resource", "request", "source"),
    }


@pytest.mark.parametrize("path", sorted(FIELDS))
def test_reading_raises_what_the_absence_means(path: tuple[str, ...]) -> None:
    declared = FIELDS[path]
    with pytest.raises(UnknownInput):
        declared.getter(Variables(**{declared.attribute: UNKNOWN}))
    with pytest.raises(EvaluationError):
        declared.getter(Variables(**{declared.attribute: ABSENT}))
    assert declared.getter(Variables(**{declared.attribute: "value"})) == "value"
    assert declared.of_caller is (path[0] != "mcp")


def test_work_ends() -> None:
    variables = Variables(work=10)
    variables.spend(9)
    with pytest.raises(OutOfWork):
        variables.spend(0)
