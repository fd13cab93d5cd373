"""The room imports neither of its neighbours, and one file alone imports the CEL library."""

import ast
from pathlib import Path

import pytest

import policies

FILES = sorted(Path(policies.__file__).parent.glob("*.py"))


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_policies_know_nothing_of_the_gateway_the_upstreams_and_the_outside(path: Path) -> None:
    names = imports_of(path)
    assert not names & {"gateway", "upstreams", "socket", "asyncio", "anyio", "os", "time", "logging", "pathlib"}
    assert ("celpy" in names) is (path.name == "cel.py")
    assert "lark" not in names or path.name in ("cel.py", "cel_table.py")
    assert "pickle" not in names  # the parser's tables are data, whoever could write them
