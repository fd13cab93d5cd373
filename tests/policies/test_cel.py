"""Rules are checked at load: syntax, names, size; what they read and are about is known then."""

import subprocess
import sys

import pytest

from policies.cel import MAX_TEXT, RuleError, Truth, Variables, compile_rule


@pytest.mark.parametrize(
    ("text", "words", "position"),
    [
        ("jwt.role ==", "not an expression", 9),
        ("jwt.role == 'x", "not an expression", 12),
        ("", "not an expression", 0),
        ("// nothing", "not an expression", 0),
        ("jwt.a &&\n  mcp.tol.name == 'x'", "mcp.tol is not a variable; did you mean mcp.tool?", 11),
        ("jtw.role == 'x'", "jtw is not a variable; did you mean jwt?", 0),
        ("true && mcp.tool.nme == 'x'", "did you mean mcp.tool.name?", 8),
        ("identity.name == 'x'", "identity.name is not a variable", 0),
        ("mcp == {}", "mcp is no value by itself", 0),
        ("mcp.tool == {}", "read one of its fields: annotations, arguments, name", 0),
        ("size(mcp['tool']) == 1", "mcp.tool is no value by itself", 5),
        ("[mcp.tool].exists(t, t.name == 'x')", "mcp.tool is no value by itself", 1),
        ("has(mcp.tool)", "mcp.tool is no value by itself", 4),
        ("request['path' + ''] == '/'", "request is no value by itself", 0),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_the_place_and_a_mend(text: str, words: str, position: int) -> None:
    with pytest.raises(RuleError) as caught:
        compile_rule(text)
    assert words in str(caught.value)
    assert caught.value.position == position
    assert f"(at character {position + 1})" in str(caught.value)


def test_a_rule_of_many_kilobytes_is_refused() -> None:
    assert compile_rule("true" + " " * (MAX_TEXT - 4)).text.startswith("true")
    with pytest.raises(RuleError, match="split it"):
        compile_rule("true" + " " * MAX_TEXT)


@pytest.mark.parametrize(
    ("text", "reads", "about"),
    [
        ("jwt.role == 'x'", {"jwt"}, set()),
        ("identity.kind == 'x' && source.address == ''", {"identity", "source.address"}, set()),
        ("mcp.tool.name == mcp.target", {"mcp.tool.name", "mcp.target"}, {"tool"}),
        ("mcp['tool']['name'] == 'x'", {"mcp.tool.name"}, {"tool"}),
        ("has(mcp.tool.arguments.x)", {"mcp.tool.arguments"}, {"tool"}),
        ("has(mcp.tool.annotations)", {"mcp.tool.annotations"}, {"tool"}),
        (
            "mcp.prompt.name == 'x' || mcp.resource.uri == 'y'",
            {"mcp.prompt.name", "mcp.resource.uri"},
            {"prompt", "resource"},
        ),
        ("request.headers['X-Team'] == 'a'", {"request.headers.x-team"}, set()),
        ("'X-Team' in request.headers", {"request.headers.x-team"}, set()),
        ("has(request.headers.team)", {"request.headers.team"}, set()),
        ("size(request.headers) > 0", {"request.headers"}, set()),
        ("[1].exists(n, n == mcp.tool.arguments.x)", {"mcp.tool.arguments"}, {"tool"}),
        ("true ? jwt.a : mcp.method == 'x'", {"jwt", "mcp.method"}, set()),
        ("'mcp.tool.arguments' == 'x'", set(), set()),
    ],
)
def test_what_a_rule_reads_and_is_about_is_known(text: str, reads: set[str], about: set[str]) -> None:
    rule = compile_rule(text)
    assert (rule.reads, rule.about) == (reads, about)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        (
            "jwt.role == 'x' && has(jwt.team.name) && jwt['https://example.com/x'] == 1",
            {"role", "team", "https://example.com/x"},
        ),
        ("'role' in jwt", None),
        ("jwt[mcp.target] == 'x'", None),
        ("jwt.exists(c, c == 'x')", None),
        ("mcp.target == 'x'", set()),
    ],
)
def test_the_claims_that_a_rule_reads_are_known(text: str, claims: set[str] | None) -> None:
    assert compile_rule(text).claims == claims


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("mcp.kind == 'tol'", ("can never be true",)),
        ("identity.kind == 'apikey' && jwt.role == 'x'", ("can never be true",)),
        ("mcp.kind == 'prompt' && mcp.tool.name == 'x'", ("can never be true",)),
        ("jwt.role == 'x' && false", ("can never be true",)),
        ("1 + 1", ("can never be true",)),
        ("'a'.size()", ("can never be true",)),
        ("mcp.kind in ['tool', 'prompt', 'resource']", ("is always true",)),
        ("true || jwt.role == 'x'", ("is always true",)),
        ("mcp.kind == 'tool'", ()),
        ("mcp.kind == 'tool' || mcp.kind == 'prompts'", ()),
        ("jwt.role == 'x' || false", ()),
        ("mcp.tool.arguments.x == 1", ()),
        ("identity.kind == 'anonymous'", ()),
    ],
)
def test_a_rule_that_says_the_same_for_everybody_is_warned_about(text: str, warnings: tuple[str, ...]) -> None:
    assert compile_rule(text).warnings == warnings


def test_a_rule_about_one_kind_does_not_apply_to_others() -> None:
    about_tools = compile_rule("mcp.tool.name == 'x'")
    assert [about_tools.applies_to(kind) for kind in ("tool", "prompt", "resource")] == [True, False, False]
    assert all(compile_rule("jwt.a == 1").applies_to(kind) for kind in ("tool", "prompt", "resource"))


def test_work_without_end_is_an_error() -> None:
    variables = Variables(jwt={"a": list(range(200)), "b": [1] * 5000})
    assert compile_rule("jwt.a.all(e, !(('x' + string(e)) in jwt.b))").evaluate(variables) is Truth.ERROR
    assert variables.work < 0


def test_the_parser_is_loaded_by_the_first_rule_and_the_rest_of_the_cel_library_never() -> None:
    code = (
        "import sys; import policies.rules, policies.limits; limit = sys.getrecursionlimit();"
        "assert 'lark' not in sys.modules;"
        "from policies.cel import compile_rule; compile_rule('true');"
        "assert 'lark' in sys.modules and sys.getrecursionlimit() == limit;"
        "assert not {'celpy', 're2', 'pendulum'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize(
    "text", ["true && jtw == 1", "jwt.a.matches(true)", "!true.b.c()", "[true, false, x]", "{true: 1}"]
)
def test_a_mistake_beside_true_or_false_has_a_place_too(text: str) -> None:
    with pytest.raises(RuleError, match=r"at character [0-9]+"):
        compile_rule(text)
