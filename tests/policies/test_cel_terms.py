"""Whole rules mean what the CEL specification says, and what the library's interpreter says wherever that is right."""

import random
from typing import Any

import pytest

from policies.cel import RuleError, Truth, compile_rule
from policies.judging import variables_of
from policies.model import Target
from tests.fixtures.rules import TOOL, caller_with, interpreted, truth

TRUE, FALSE, ERROR, UNKNOWN = Truth.TRUE, Truth.FALSE, Truth.ERROR, Truth.UNKNOWN
CLAIMS: dict[str, Any] = {
    "role": "developer",
    "level": 3,
    "ratio": 0.5,
    "on": True,
    "off": False,
    "none": None,
    "groups": ["ops", "dev"],
    "team": {"name": "core", "size": 4},
    "word": "x",
    "number": 1,
}

BOTH_WAYS = [
    ("false && jwt.absent", FALSE),
    ("jwt.absent && false", FALSE),
    ("true && jwt.absent", ERROR),
    ("jwt.absent && true", ERROR),
    ("true || jwt.absent", TRUE),
    ("jwt.absent || true", TRUE),
    ("false || jwt.absent", ERROR),
    ("jwt.absent || false", ERROR),
    ("1 / 0 == 1 || true", TRUE),
    ("jwt.role && false", FALSE),
    ("jwt.role || true", TRUE),
    ("jwt.role && true", ERROR),
    ("!jwt.absent", ERROR),
    ("!jwt.role", ERROR),
    ("!!jwt.on", TRUE),
    ("jwt.on ? jwt.off : jwt.absent", FALSE),
    ("jwt.off ? jwt.absent : jwt.on", TRUE),
    ("jwt.absent ? true : true", ERROR),
    ("jwt.role ? true : true", ERROR),
    ("(jwt.on ? jwt.role : jwt.absent) == 'developer'", TRUE),
    ("has(jwt.role)", TRUE),
    ("has(jwt.absent)", FALSE),
    ("has(jwt.none)", TRUE),
    ("!has(jwt.absent)", TRUE),
    ("has(jwt.absent) && jwt.absent == 'x'", FALSE),
    ("has(jwt.absent) ? jwt.absent == 'x' : true", TRUE),
    ("has(jwt.team.name)", TRUE),
    ("has(jwt.team.absent)", FALSE),
    ("'ops' in jwt.groups", TRUE),
    ("'qa' in jwt.groups", FALSE),
    ("jwt.role in ['admin', 'developer']", TRUE),
    ("'name' in jwt.team", TRUE),
    ("'absent' in jwt.team", FALSE),
    ("jwt.level == 3", TRUE),
    ("jwt.level != 3", FALSE),
    ("jwt.level >= 3 && jwt.level < 4", TRUE),
    ("jwt.ratio * 2.0 == 1.0", TRUE),
    ("jwt.role < 'e'", TRUE),
    ("size(jwt.groups) == 2 && size(jwt.role) == 9 && size(jwt.team) == 2", TRUE),
    ("jwt.groups.size() == 2", TRUE),
    ("jwt.groups[0] == 'ops'", TRUE),
    ("jwt.groups[2] == 'ops'", ERROR),
    ("jwt['role'] == 'developer'", TRUE),
    ("jwt.team['size'] + 1 == 5", TRUE),
    ("jwt.role.startsWith('dev') && jwt.role.endsWith('oper') && jwt.role.contains('elo')", TRUE),
    ("jwt.role.matches('^dev[a-z]+$')", TRUE),
    ("jwt.role.matches('^[0-9]+$')", FALSE),
    ("jwt.level.startsWith('3')", ERROR),
    ("jwt.groups.exists(g, g == 'dev')", TRUE),
    ("jwt.groups.all(g, g.size() == 3)", TRUE),
    ("jwt.groups.exists_one(g, g == 'dev')", TRUE),
    ("jwt.groups.filter(g, g != 'dev') == ['ops']", TRUE),
    ("jwt.groups.map(g, g + '!') == ['ops!', 'dev!']", TRUE),
    ("[1, 2, 3].all(n, 6 / n > 1)", TRUE),
    ("[0, 1].exists(n, 2 / n > 1)", TRUE),
    ("[0, 4].all(n, 2 / n > 1)", FALSE),
    ("[0].exists(n, 2 / n > 1)", ERROR),
    ("[].all(n, n)", TRUE),
    ("[].exists(n, n)", FALSE),
    ("9223372036854775807 + 1 > 0", ERROR),
    ("-9223372036854775808 - 1 < 0", ERROR),
    ("9223372036854775807 * 2 > 0", ERROR),
    ("5 / -3 == -1 && -5 / 3 == -1 && -5 % 3 == -2 && 5 % -3 == 2", TRUE),
    ("5 / 0 == 0", ERROR),
    ("5 % 0 == 0", ERROR),
    ("1.0 / 0.0 > 1.0", TRUE),
    ("'a' + 'b' == 'ab' && [1] + [2] == [1, 2]", TRUE),
    ("'a' + 1 == 'a1'", ERROR),
    ("1 + 1.0 == 2.0", ERROR),
    ("-jwt.level == -3", TRUE),
    ("-jwt.role == 'x'", ERROR),
    ("int('42') == 42 && string(42) == '42' && double('1.5') == 1.5 && int(2.9) == 2", TRUE),
    ("int('many') == 1", ERROR),
    ("{'a': 1}.a == 1 && {'a': {'b': 2}}['a']['b'] == 2", TRUE),
    ("{'a': 1} == {'a': 1} && {'a': 1} != {'a': 2}", TRUE),
    ("[[1, 2]] == [[1, 2]]", TRUE),
    ("null == jwt.none", TRUE),
    ("1u + 2u == 3u", TRUE),
    ("1u - 2u == 0u", ERROR),
    ("type(jwt.level) == int && type(jwt.role) == string", TRUE),
    ("0x1F == 31", TRUE),
    ("r'a\\d' == 'a\\\\d'", TRUE),
    ("'caf\\u00e9' == 'café'", TRUE),
    ("size('é') == 1", TRUE),
    ("mcp.tool.name == 'kubectl-delete' && mcp.target == 'prod' && mcp.kind == 'tool'", TRUE),
    ("mcp.tool.annotations.destructiveHint", TRUE),
]

OURS = [  # where the interpreter departs from the specification
    ("1 == 1.0", TRUE),
    ("1u == 1", TRUE),
    ("1 < 1.5", TRUE),
    ("1 == true", FALSE),
    ("true == 1", FALSE),
    ("'1' == 1", FALSE),
    ("1 != '1'", TRUE),
    ("null == 'x'", FALSE),
    ("[1] == 1", FALSE),
    ("[1, 'a', true] == [1, 'a', 1]", FALSE),
    ("1 in [true, 'a', 1.0]", TRUE),
    ("true in [1, 1.0, 'true']", FALSE),
    ("{'a': 1} == {'a': true}", FALSE),
    ("has(jwt.absent.more)", ERROR),
    ("has(jwt.role.more)", ERROR),
    ("size(null) == 0", ERROR),
    ("jwt.groups.exists(g, has(g.name))", ERROR),
    ("[{'a': 1}, {'b': 1}].exists_one(m, has(m.a) && m.a == 1)", TRUE),
    ("[{'a': 1}, 'b'].exists(m, m.a == 1)", TRUE),
    ("['b', {'a': 1}].exists(m, m.a == 1)", TRUE),
    ("['a', 'b'].exists(m, m ? true : false)", ERROR),
    ("1.0 / 0.0 == -1.0 / -0.0", TRUE),
    ("0.0 / 0.0 == 0.0 / 0.0", FALSE),
    ("'''a\nb''' == 'a\\nb'", TRUE),
]


@pytest.mark.parametrize(("text", "expected"), BOTH_WAYS)
def test_a_rule_means_what_the_specification_and_the_interpreter_say(text: str, expected: Truth) -> None:
    assert truth(text, CLAIMS, {}) is expected
    assert interpreted(text, CLAIMS) is expected


@pytest.mark.parametrize(("text", "expected"), OURS)
def test_a_rule_means_what_the_specification_says_where_the_interpreter_does_not(text: str, expected: Truth) -> None:
    assert truth(text, CLAIMS, {}) is expected


LEAVES = [
    *("true", "false", "jwt.on", "jwt.off", "jwt.absent", "jwt.role", "1 / 0 == 1", "jwt.level > 2"),
    *("has(jwt.role)", "has(jwt.absent)", "jwt.role == 'developer'", "'qa' in jwt.groups", "mcp.target == 'prod'"),
    *("mcp.tool.arguments.flag", "has(mcp.tool.arguments.word)", "mcp.tool.arguments.word == 'a'"),
    *("mcp.tool.arguments.count > 1", "jwt.groups.exists(g, g == 'dev')", "mcp.tool.name.startsWith('kube')"),
]
ARGUMENTS: list[dict[str, Any]] = [
    *({}, {"flag": True}, {"flag": False}, {"flag": "yes"}, {"word": "a"}, {"word": "b", "count": 1}),
    *({"count": 2, "flag": True}, {"flag": False, "word": "a", "count": 0}, {"flag": None}),
]


def random_rule(dice: random.Random, depth: int) -> str:
    """A tree of connectives over the leaves."""
    if depth == 0 or dice.random() < 0.2:
        return dice.choice(LEAVES)
    parts = [f"({random_rule(dice, depth - 1)})" for _ in range(3)]
    shape = dice.choice(
        ["{0} && {1}", "{0} || {1}", "!{0}", "{0} ? {1} : {2}", "{0} || {1} && {2}", "{0} && {1} || !{2}"]
    )
    return shape.format(*parts)


@pytest.mark.parametrize("seed", range(300))
def test_a_random_rule_equals_the_interpreter_and_what_is_known_early_holds(seed: int) -> None:
    dice = random.Random(seed)
    text = random_rule(dice, dice.randint(1, 4))
    early = truth(text, CLAIMS)
    for arguments in ARGUMENTS:
        late = truth(text, CLAIMS, arguments)
        assert late is interpreted(text, CLAIMS, arguments), (text, arguments)
        assert early in (UNKNOWN, late), (text, arguments)


def test_what_reads_the_arguments_is_unknown_without_them() -> None:
    for text in (
        *("mcp.tool.arguments.x == 1", "has(mcp.tool.arguments.x)", "has(mcp.tool.arguments)"),
        *("size(mcp.tool.arguments) == 0", "'x' in mcp.tool.arguments", "[1].exists(n, n == mcp.tool.arguments.x)"),
        "mcp.tool.arguments.all(k, k == 'x')",
    ):
        assert truth(text) is UNKNOWN


def test_unknown_gives_way_to_what_decides_alone() -> None:
    assert truth("mcp.tool.arguments.x && false") is FALSE
    assert truth("mcp.tool.arguments.x || true") is TRUE
    assert truth("mcp.tool.arguments.x && jwt.absent") is UNKNOWN
    assert truth("mcp.tool.arguments.x ? true : true") is UNKNOWN
    assert truth("true ? jwt.absent : mcp.tool.arguments.x") is ERROR


@pytest.mark.parametrize(
    "other",
    [
        "Admin",
        "ADMIN",
        " admin",
        "admin ",
        "admin\n",
        "\uff41dmin",
        "admin\u200b",
        "adm\u0131n",
        "a\u0064min\u0301",
    ],
)
def test_nothing_is_folded_trimmed_or_normalised(other: str) -> None:
    assert truth("jwt.role == 'admin'", {"role": other}) is FALSE
    assert truth("jwt.role in ['admin']", {"role": other}) is FALSE
    assert truth("['admin'].exists(r, r == jwt.role)", {"role": other}) is FALSE
    assert truth("has(jwt.admin)", {other: True}) is FALSE
    assert truth("mcp.tool.name == 'admin'", target=Target("tool", "s", other)) is FALSE


def test_two_spellings_of_one_letter_stay_two() -> None:
    assert truth("jwt.name == 'caf\\u00e9'", {"name": "cafe\u0301"}) is FALSE
    assert truth("jwt.name == 'caf\\u00e9'", {"name": "caf\u00e9"}) is TRUE


def test_declared_fields_are_there_when_they_are_not_empty() -> None:
    assert truth("has(identity.sub) && has(identity.scopes) && has(mcp.tool.annotations)") is TRUE
    assert truth("has(source.address) || has(request.path)") is FALSE
    assert truth("has(source.address)", address="10.0.0.1") is TRUE


def test_scopes_and_request_are_read() -> None:
    assert truth("'tools.read' in identity.scopes && identity.kind == 'jwt' && identity.sub == 'ada'") is TRUE
    assert truth("request.path == '/mcp' && request.host == 'h'", path="/mcp", host="h") is TRUE


def test_a_number_beyond_64_bits_compares_exactly_and_calculates_to_an_error() -> None:
    assert truth("mcp.tool.arguments.n > 9223372036854775807", {}, {"n": 2**70}) is TRUE
    assert truth("mcp.tool.arguments.n == 9223372036854775807", {}, {"n": 2**63}) is FALSE
    assert truth("mcp.tool.arguments.n + 1 > 0", {}, {"n": 2**70}) is ERROR


def test_a_part_that_reads_the_caller_alone_is_worked_out_once() -> None:
    rule = compile_rule("mcp.tool.name == 'x' || jwt.on && has(jwt.role)")
    memo: dict[int, Any] = {}
    variables = variables_of(caller_with({"on": True, "role": "r"}), TOOL, memo)
    assert rule.evaluate(variables) is TRUE
    assert memo
    variables.jwt = {"on": False}
    assert rule.evaluate(variables) is TRUE
    variables.memo = {}
    assert rule.evaluate(variables) is FALSE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1].exists(x, [2].exists(y, x == y))", "stands in another macro"),
        ("[1].exists(jwt, jwt == 1)", "another name"),
        ("[1].exists(1, true)", "takes a name"),
        ("[1].map(x, true, x)", "takes a name"),
        ("has(jwt)", "one field"),
        ("has(1)", "one field"),
        ("{jwt.a: 1} == {}", "literals"),
        ("{'a': 1, 'a': 2} == {}", "different strings"),
        ("size(1, 2) == 1", "takes 1"),
        ("jwt.a.startsWith()", "takes 2"),
        ("startsWith(jwt.a, 'x')", "write x.startsWith(…)"),
        ("jwt.a.int() == 1", "write int(…)"),
        ("jwt.a.startWith('x')", "did you mean startsWith?"),
        ("jwt.a.lowerAscii() == 'x'", "no function lowerAscii"),
    ],
)
def test_what_can_never_be_evaluated_is_refused_at_load(text: str, words: str) -> None:
    with pytest.raises(RuleError, match=r".") as caught:
        compile_rule(text)
    assert words in str(caught.value)
