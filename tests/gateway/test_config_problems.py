"""The words of mistakes: key paths, the nearest known name, what a later release brings."""

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.config_problems import ConfigError, Key, Problem, explain, key_path, nearest, take_later, unknown


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: int = 0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner = Inner()
    perhaps: Inner | None = None
    many: dict[str, Inner] = {}
    rows: list[Inner] = []


def said(data: object, later: tuple[str, ...] = ("inner", "legend")) -> list[tuple[Key, str]]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    return list(explain(caught.value, Outer, {later: lambda _: True}, frozenset({"inner", "many", "rows", "servers"})))


@pytest.mark.parametrize(
    ("key", "path"), [((), ""), (("a",), "a"), (("a", "b", 0, "c"), "a.b[0].c"), (("routes", "/x"), "routes./x")]
)
def test_a_key_path_is_written_as_people_write_it(key: Key, path: str) -> None:
    assert key_path(key) == path


def test_a_problem_has_only_the_parts_that_are_known() -> None:
    assert str(Problem("f.yaml", ("a",), "is wrong")) == "f.yaml: a: is wrong"
    assert str(Problem("f.yaml", (), "is wrong")) == "f.yaml: is wrong"
    assert str(Problem("", (), "no file")) == "no file"
    assert str(ConfigError([Problem("f", ("a",), "x"), Problem("f", ("b",), "y")])) == "f: a: x\nf: b: y"


def test_the_nearest_name_is_found_without_regard_to_case() -> None:
    assert nearest("mcpservers", ["mcpServers", "server"]) == "mcpServers"
    assert nearest("colour", ["mcpServers", "server"]) is None


def test_an_unknown_name_without_a_near_one_lists_all() -> None:
    assert unknown("colour", ["b", "a"]) == "unknown key; known are a, b"
    assert unknown("gitub", ["github"], "server") == "unknown server; did you mean github?"
    assert unknown("servers", ["server", "mcpServers"]) == "unknown key; did you mean mcpServers?"
    assert unknown("x", []) == "unknown key; remove it"


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"inner": {"levl": 1}}, ("inner", "levl")),
        ({"perhaps": {"levl": 1}}, ("perhaps", "levl")),
        ({"many": {"x": {"levl": 1}}}, ("many", "x", "levl")),
        ({"rows": [{"levl": 1}]}, ("rows", 0, "levl")),
    ],
)
def test_an_unknown_key_at_any_depth_names_the_nearest_of_its_place(data: object, key: Key) -> None:
    assert said(data) == [(key, "unknown key; did you mean level?")]


def test_keys_of_a_later_release_and_of_the_root_are_known_too() -> None:
    assert said({"inner": {"legnd": 1}}) == [(("inner", "legnd"), "unknown key; did you mean legend?")]
    assert said({"serverz": 1}) == [(("serverz",), "unknown key; did you mean servers?")]


def test_no_value_is_ever_quoted() -> None:
    for data in ({"inner": {"level": "hush"}}, {"inner": "hush"}, {"rows": "hush"}, {"many": ["hush"]}):
        assert not any("hush" in text for _, text in said(data))


def test_what_a_later_release_brings_is_taken_out_and_said_once() -> None:
    tree = {"a": {"x": {"pin": "warn"}, "y": {"pin": "off"}, "z": 3}, "b": 1}
    found = take_later(tree, {("a", "*", "pin"): lambda value: value == "warn", ("c", "d"): lambda _: True})
    assert found == [(("a", "x", "pin"), "not in this release; remove the key")]
    assert tree == {"a": {"x": {}, "y": {"pin": "off"}, "z": 3}, "b": 1}
