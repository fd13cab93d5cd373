"""References in strings: what they stand for, and what is said when they stand for nothing."""

from pathlib import Path

import pytest

from gateway.config_expand import ExpandError, Scope, expand, expand_home, expand_text

SCOPE = Scope(
    {"A": "1", "EMPTY": "", "ONEGATE_INPUT_API_KEY": "k", "HOME": "/home/me", "NESTED": "${A}"}, Path("/work")
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("${env:A}", "1"),
        ("x${A}y${A}z", "x1y1z"),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${NOPE:-other}", "other"),
        ("${env:NOPE:-other}", "other"),
        ("${NOPE:-}", ""),
        ("${NOPE:-https://x:1/}", "https://x:1/"),
        ("${A:-other}", "1"),
        ("${workspaceFolder}/x", "/work/x"),
        ("${input:api-key}", "k"),
        ("$${A}", "${A}"),
        ("$A and ${ open", "$A and ${ open"),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_replaced_once(text: str, found: str) -> None:
    assert expand_text(text, SCOPE) == found.replace("/work", str(SCOPE.folder))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${NOPE}", "variable NOPE is not set; set it, or write ${NOPE:-default}"),
        ("${env:NOPE}", "variable NOPE is not set; set it, or write ${NOPE:-default}"),
        ("${input:Jira Token}", "input Jira Token is not set; set the variable ONEGATE_INPUT_JIRA_TOKEN"),
        (
            "${command:pick}",
            "${command:pick} is not understood; write ${VAR} or ${VAR:-default}, or $${ for a plain ${",
        ),
    ],
)
def test_what_stands_for_nothing_is_said_with_the_mend(text: str, said: str) -> None:
    with pytest.raises(ExpandError) as caught:
        expand_text(text, SCOPE)
    assert str(caught.value) == said


@pytest.mark.parametrize("text", ["${}", "${A:+x}", "${a b}", "${A:-${B}}", "${1}"])
def test_other_forms_are_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(ExpandError, match="is not understood"):
        expand_text(text, SCOPE)


def test_every_string_in_a_tree_is_expanded_but_no_key_and_the_original_stays() -> None:
    tree = {"${A}": ["${A}", 1, None, {"x": "${A}"}], "open": {"y": ["${NOPE}"]}}
    found, problems = expand(tree, SCOPE)
    assert found == {"${A}": ["1", 1, None, {"x": "1"}], "open": {"y": ["${NOPE}"]}}
    assert [key for key, _ in problems] == [("open", "y", 0)]
    assert tree["${A}"][0] == "${A}"


@pytest.mark.parametrize(
    ("path", "found"), [("~", "/home/me"), ("~/bin/x", "/home/me/bin/x"), ("~other/x", "~other/x"), ("a/~", "a/~")]
)
def test_a_tilde_is_the_home_folder_of_the_given_environment(path: str, found: str) -> None:
    assert expand_home(path, SCOPE) == found.replace("/home/me", str(Path("/home/me")))
