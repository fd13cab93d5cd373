"""Functions take what they are made for; patterns are RE2's and known at load."""

import pytest

from policies.cel import RuleError, Truth, compile_rule
from tests.fixtures.rules import truth


@pytest.mark.parametrize("pattern", ["jwt.pattern", "'a' + 'b'", "string(1)", "1", "(true ? 'a' : 'b')"])
def test_a_pattern_that_is_no_literal_is_refused(pattern: str) -> None:
    for text in (f"jwt.x.matches({pattern})", f"matches(jwt.x, {pattern})"):
        with pytest.raises(RuleError, match="literal"):
            compile_rule(text)


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?=a)", r"(a)\\1", "a{2000}", "((a{100}){100}){100}"])
def test_a_pattern_that_re2_does_not_take_is_refused_at_load_without_a_word_on_stderr(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuleError, match="regular expression"):
        compile_rule(f"jwt.x.matches('{pattern}')")
    assert capfd.readouterr().err == ""


def test_a_pattern_matches_anywhere_unless_it_is_anchored() -> None:
    assert truth("jwt.x.matches('b+')", {"x": "abbc"}) is Truth.TRUE
    assert truth("matches(jwt.x, '^b+$')", {"x": "abbc"}) is Truth.FALSE
    assert truth("jwt.x.matches('^b$')", {"x": "b\n"}) is Truth.FALSE


def test_a_pattern_that_hangs_other_engines_ends() -> None:
    assert truth("jwt.x.matches('(a+)+$')", {"x": "a" * 100_000 + "b"}) is Truth.FALSE


@pytest.mark.parametrize("value", [1, None, ["a"], {"a": 1}, True])
@pytest.mark.parametrize("call", ["matches('a')", "contains('a')", "startsWith('a')", "endsWith('a')"])
def test_string_functions_refuse_what_is_no_string(call: str, value: object) -> None:
    assert truth(f"jwt.x.{call}", {"x": value}) is Truth.ERROR


def test_a_lone_surrogate_in_a_matched_string_is_an_error() -> None:
    assert truth("jwt.x.matches('a')", {"x": "\ud800a"}) is Truth.ERROR
