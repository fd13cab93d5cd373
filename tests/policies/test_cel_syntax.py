"""Literals are read exactly, and what is too deep or no expression of ours is refused."""

import pytest

from policies.cel import RuleError, Truth, compile_rule
from tests.fixtures.rules import truth


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("'a'", "a"),
        ('"it\'s"', "it's"),
        (r"'it\'s'", "it's"),
        (r"'\a\b\f\n\r\t\v\\\?\`'", "\a\b\f\n\r\t\v\\?`"),
        (r"'\x41\u0042\U00000043\104'", "ABCD"),
        (r"r'\n'", r"\n"),
        (r'R"\d+"', r"\d+"),
        ("'''a\nb'''", "a\nb"),
        ("r'''a\\\nb'''", "a\\\nb"),
        ('"""a"b"""', 'a"b'),
        ("''", ""),
        ("''''''", ""),
        ("'$x ${y} {z} %s'", "$x ${y} {z} %s"),
        ("'// no comment'", "// no comment"),
        ("'\u00e9\U0001f600'", "\u00e9\U0001f600"),
    ],
)
def test_a_string_is_what_it_spells(literal: str, value: str) -> None:
    assert truth(f"jwt.x == {literal}", {"x": value}) is Truth.TRUE
    assert truth(f"jwt.x == {literal}", {"x": value + "."}) is Truth.FALSE


@pytest.mark.parametrize("literal", [r"'\d'", r"'\q'", r"'\u12'", r"'\ud800'", r"'\U00110000'", r"'\8'", r"b'\x00'"])
def test_an_escape_that_is_none_is_refused(literal: str) -> None:
    with pytest.raises(RuleError):
        compile_rule(f"jwt.x == {literal}")


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("-1", -1),
        ("0x1f", 31),
        ("-0x10", -16),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("1.5e3", 1500.0),
        (".5", 0.5),
    ],
)
def test_a_number_is_what_it_spells(literal: str, value: float) -> None:
    assert truth(f"jwt.x == {literal}", {"x": value}) is Truth.TRUE


@pytest.mark.parametrize("literal", ["9223372036854775808", "-9223372036854775809", "18446744073709551616u"])
def test_a_number_beyond_64_bits_is_refused(literal: str) -> None:
    with pytest.raises(RuleError, match="64 bits"):
        compile_rule(f"jwt.x == {literal}")


@pytest.mark.parametrize("text", [".jwt.x", ".size(jwt)", "jwt{x: 1}", "google.protobuf.Int32Value{value: 1} == 1"])
def test_what_has_no_meaning_in_a_rule_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        compile_rule(text)


@pytest.mark.parametrize(
    "text", ["!" * 100 + "true", "-" * 500 + "jwt.x == 1", "1" + " + 1" * 500 + " == 1", "[" * 99 + "]" * 99]
)
def test_nesting_without_end_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="nested more than"):
        compile_rule(text)


def test_brackets_and_long_chains_are_no_nesting() -> None:
    assert truth("(" * 1000 + "true" + ")" * 1000) is Truth.TRUE
    assert truth("false" + " || false" * 400 + " || true") is Truth.TRUE
    assert truth("true" + " && true" * 400 + " && false") is Truth.FALSE


def test_connectives_bind_as_they_do_in_cel() -> None:
    assert truth("true || false && false") is Truth.TRUE
    assert truth("!false && false || true") is Truth.TRUE
    assert truth("true ? false : true ? true : true") is Truth.FALSE
    assert truth("1 + 2 * 3 == 7 && 8 - 2 - 1 == 5") is Truth.TRUE


def test_comments_and_line_breaks_are_nothing() -> None:
    assert truth("true // why\n  && // because\n true") is Truth.TRUE
