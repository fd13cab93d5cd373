"""Names resolve to what is declared, and to nothing else."""

import pytest

from policies.cel import Truth, compile_rule
from policies.cel_reading import dotted, is_declared
from policies.cel_syntax import Node
from policies.cel_variables import FIELDS, ROOTS, SPACES
from policies.model import Target
from tests.fixtures.rules import truth


def test_a_chain_of_fields_from_a_name_is_a_path() -> None:
    jwt = Node("name", 0, value="jwt")
    assert dotted(Node("select", 0, (Node("select", 0, (jwt,), "a"),), "b")) == ("jwt", "a", "b")
    assert dotted(Node("select", 0, (Node("literal", 0, value=1),), "b")) is None


@pytest.mark.parametrize("path", sorted(FIELDS))
def test_every_declared_variable_can_be_read(path: tuple[str, ...]) -> None:
    rule = compile_rule(f"{'.'.join(path)} == 'x'")
    assert rule.reads == {FIELDS[path].reads}
    assert is_declared(path)


@pytest.mark.parametrize("space", sorted(SPACES))
def test_what_only_holds_variables_is_no_value(space: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no value by itself"):
        compile_rule(f"{'.'.join(space)} == 'x'")


@pytest.mark.parametrize("name", ["item", "memo", "work", "kind", "__class__", "tool_arguments", "self", "spend"])
def test_what_the_engine_keeps_for_itself_is_out_of_reach(name: str) -> None:
    for text in (f"{name} == 1", f"mcp.{name} == 1" if name != "kind" else "kind == 1", f"request.{name} == 1"):
        with pytest.raises(ValueError, match="is not a variable"):
            compile_rule(text)
    assert truth(f"jwt.{name} == 1") is Truth.ERROR
    assert truth(f"jwt.x.{name} == 1", {"x": "text"}) is Truth.ERROR
    assert name not in ROOTS


def test_headers_are_found_whatever_their_case_in_the_rule() -> None:
    for text in ("request.headers['X-Team'] == 'a'", "'X-TEAM' in request.headers", "has(request.headers['x-team'])"):
        assert truth(text, headers={"x-team": "a"}) is Truth.TRUE
    assert truth("request.headers.absent == 'a'", headers={"x-team": "a"}) is Truth.ERROR
    assert truth("request.headers.exists(h, h == 'x-team')", headers={"x-team": "a"}) is Truth.TRUE


def test_fields_of_another_kind_of_target_are_errors() -> None:
    prompt = Target("prompt", "prod", "review")
    resource = Target("resource", "prod", "file:///a")
    assert truth("mcp.tool.name == 'review'", target=prompt) is Truth.ERROR
    assert truth("mcp.prompt.name == 'review'", target=prompt) is Truth.TRUE
    assert truth("mcp.resource.uri == 'file:///a'", target=resource) is Truth.TRUE
    assert truth("mcp.resource.uri == 'file:///a'") is Truth.ERROR
    assert truth("mcp.kind == 'prompt' && mcp.prompt.name == 'x' || mcp.kind == 'tool'") is Truth.TRUE
