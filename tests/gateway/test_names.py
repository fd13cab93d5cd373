import hashlib
import re

import pytest

from gateway.names import exposed_name, marked_uri, selected

FIT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def digest(server: str, tool: str) -> str:
    return hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:8]


@pytest.mark.parametrize(
    ("prefix", "name", "exposed"),
    [
        ("gh", "create_issue", "gh_create_issue"),
        ("", "create_issue", "create_issue"),
        ("gh", "Create-Issue", "gh_Create-Issue"),
        ("my server", "a.b/c", "my_server_a_b_c"),
        ("", "naïve", "na_ve"),
        ("", "日本", "__"),
        ("", "e\u0301", "e_"),
        ("", "²", "_"),
        ("", "٣", "_"),
        ("", "1st", "_1st"),
        ("3d", "x", "_3d_x"),
        ("", "-x", "_-x"),
        ("-", "x", "_-_x"),
        ("", "_x", "_x"),
        ("", "a b\n", "a_b_"),
    ],
)
def test_names_are_made_to_fit(prefix: str, name: str, exposed: str) -> None:
    assert exposed_name(prefix, name, "s", name) == exposed


def test_a_name_of_64_characters_stays_and_one_of_65_is_cut_to_55_and_a_digest() -> None:
    assert exposed_name("", "x" * 64, "s", "t") == "x" * 64
    assert exposed_name("", "x" * 65, "s", "t") == "x" * 55 + "_" + digest("s", "t")
    assert exposed_name("gh", "x" * 61, "s", "t") == "gh_" + "x" * 61
    assert exposed_name("gh", "x" * 62, "s", "t") == "gh_" + "x" * 52 + "_" + digest("s", "t")


def test_the_underscore_before_a_digit_counts_too() -> None:
    assert exposed_name("", "1" * 63, "s", "t") == "_" + "1" * 63
    assert exposed_name("", "1" * 64, "s", "t") == "_" + "1" * 54 + "_" + digest("s", "t")


def test_two_long_names_stay_two_whether_tool_or_server_differ() -> None:
    names = {exposed_name("", "x" * 80, server, tool) for server in ("a", "b") for tool in ("t", "u", "ü")}
    assert len(names) == 6
    assert exposed_name("", "x" * 80, "a\0b", "c") == exposed_name("", "x" * 80, "a", "b\0c")


@pytest.mark.parametrize("name", ["x" * 1000, "1" * 70, "😀" * 30, "-" * 64, "a" * 63 + "é", " "])
@pytest.mark.parametrize("prefix", ["", "p", "9", "ü" * 70])
def test_whatever_comes_the_name_fits(prefix: str, name: str) -> None:
    assert FIT.fullmatch(exposed_name(prefix, name, "server", name))


@pytest.mark.parametrize(
    ("name", "include", "exclude", "chosen"),
    [
        ("delete_x", ["*"], [], True),
        ("delete_x", ["*"], ["delete_*"], False),
        ("delete_x", ["delete_x"], ["delete_x"], False),
        ("Delete_x", ["*"], ["delete_*"], True),
        ("x", [], [], False),
        ("x1", ["x[0-9]", "y?"], [], True),
        ("y", ["x[0-9]", "y?"], [], False),
    ],
)
def test_globs_choose_by_exact_case_and_exclude_wins(
    name: str, include: list[str], exclude: list[str], chosen: bool
) -> None:
    assert selected(name, include, exclude) is chosen


@pytest.mark.parametrize(
    ("server", "marked"),
    [
        ("two", "two+x://1"),
        ("my server", "my-server+x://1"),
        ("a.b-c+d", "a.b-c+d+x://1"),
        ("a_b", "a-b+x://1"),
        ("ünder", "x-nder+x://1"),
        ("2nd", "x2nd+x://1"),
        ("日本", "x--+x://1"),
    ],
)
def test_a_mark_is_a_scheme_that_uris_can_have(server: str, marked: str) -> None:
    assert marked_uri(server, "x://1") == marked
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://1", marked)
