"""Where a config is looked for, and how YAML and JSON with comments are read."""

from pathlib import Path
from typing import Any

import pytest

from gateway.config_files import locate, read
from gateway.config_problems import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(name: str, text: str) -> dict[str, Any]:
    Path(name).write_text(text, encoding="utf-8")
    return read(Path(name)).data


def refused(name: str, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(name, text)
    return str(caught.value)


def test_the_lookup_goes_from_the_option_to_the_home_folder(folder: Path) -> None:
    in_home = folder / "home" / ".config" / "onegate" / "onegate.yaml"
    in_home.parent.mkdir(parents=True)
    in_home.touch()
    environ = {"HOME": str(folder / "home")}
    assert locate(None, environ) == in_home
    Path("onegate.yaml").touch()
    assert locate(None, environ) == Path("onegate.yaml")
    assert locate(None, {**environ, "ONEGATE_CONFIG": ""}) == Path("onegate.yaml")
    assert locate(None, {**environ, "ONEGATE_CONFIG": "named.yaml"}) == Path("named.yaml")
    assert locate(Path("given.yaml"), {**environ, "ONEGATE_CONFIG": "named.yaml"}) == Path("given.yaml")


def test_without_any_file_the_error_lists_where_it_looked(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        locate(None, {"HOME": "/nowhere"})
    at_home = Path("/nowhere/.config/onegate/onegate.yaml")
    assert str(caught.value) == (
        f"no config file; looked at $ONEGATE_CONFIG, onegate.yaml, {at_home}\nwrite one, or name one with -c FILE"
    )


def test_a_named_file_that_is_missing_is_not_replaced_by_another(folder: Path) -> None:
    Path("onegate.yaml").write_text("mcpServers: {}")
    with pytest.raises(ConfigError, match=r"^onegat\.yaml: no such file; check the path$"):
        read(locate(Path("onegat.yaml"), {}))


def test_a_folder_is_no_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(folder)


def test_bytes_that_are_no_utf8_are_refused_and_a_byte_order_mark_is_not(folder: Path) -> None:
    Path("a.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read(Path("a.yaml"))
    Path("a.json").write_bytes(b'\xef\xbb\xbf{"name": "x"}')
    assert read(Path("a.json")).data == {"name": "x"}


@pytest.mark.parametrize(
    ("name", "text", "syntax"),
    [
        ("a.yaml", "name: x", "yaml"),
        ("a.YML", '{"name": "x"}', "yaml"),
        ("a.jsonc", '{"name": "x"}', "json"),
        ("config", "name: x", "yaml"),
        ("config", '// ours\n/* and yours */ {"name": "x"}', "json"),
    ],
)
def test_the_suffix_or_else_the_first_character_tells_the_syntax(
    folder: Path, name: str, text: str, syntax: str
) -> None:
    Path(name).write_text(text)
    assert (read(Path(name)).syntax, read(Path(name)).data) == (syntax, {"name": "x"})


def test_json_may_have_comments_and_trailing_commas_but_not_inside_strings(folder: Path) -> None:
    text = r"""{
      // a comment, with "quotes" and a comma,
      "url": "https://example.com/*not a comment*/", /* two
      lines */
      "list": [1, 2, /* last */ ],
      "text": "a \" // b, ]",
    }"""
    assert parsed("a.json", text) == {
        "url": "https://example.com/*not a comment*/",
        "list": [1, 2],
        "text": 'a " // b, ]',
    }


def test_wrong_json_is_named_by_line_and_column_with_comments_counted(folder: Path) -> None:
    assert refused("a.json", '{\n  /* one\n  two */ "a": nope\n}') == (
        "a.json: line 3, column 15: not valid JSON: expecting value"
    )


def test_wrong_yaml_is_named_by_line_and_column(folder: Path) -> None:
    assert refused("onegate.yaml", "name: x\nmcpServers:\n  a: {command: npx\n") == (
        "onegate.yaml: line 4, column 1: not valid YAML: expected ',' or '}', but got '<stream end>'"
    )
    assert refused("onegate.yaml", "a: b: c") == (
        "onegate.yaml: line 1, column 5: not valid YAML: mapping values are not allowed here"
    )
    assert refused("onegate.yaml", "a: \x01").startswith("onegate.yaml: not valid YAML: ")


def test_a_key_that_appears_twice_is_refused(folder: Path) -> None:
    assert refused("a.yaml", "m:\n  a: 1\n  b: 2\n  a: 3\n") == (
        "a.yaml: line 4, column 3: not valid YAML: key a appears twice; remove one"
    )
    assert refused("a.json", '{"m": {"a": 1, "b": {}, "a": 3}}') == (
        "a.json: key a appears twice in one object; remove one"
    )


@pytest.mark.parametrize("text", ["- a", "word", "3"])
def test_a_file_that_is_no_mapping_is_refused(folder: Path, text: str) -> None:
    assert refused("a.yaml", text).startswith("a.yaml: must be a mapping of keys to values")


@pytest.mark.parametrize(("name", "text"), [("a.yaml", ""), ("a.yaml", "# nothing\n"), ("a.json", " // nothing\n")])
def test_an_empty_file_is_an_empty_mapping(folder: Path, name: str, text: str) -> None:
    assert parsed(name, text) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"a": ' + "[" * 70 + "]" * 70 + "}"),
        ("a.json", '{"a": ' + "[" * 90000 + "]" * 90000 + "}"),
        ("a.yaml", "a: " + "[" * 70 + "]" * 70),
        ("a.yaml", "a: &a\n  b: *a\n"),
        ("a.yaml", "a: " + "[" * 5000 + "]" * 5000),
    ],
)
def test_what_is_nested_too_deep_or_in_itself_is_refused(folder: Path, name: str, text: str) -> None:
    assert "is nested more than 64 levels deep" in refused(name, text)


def test_numbers_that_json_does_not_have_are_refused(folder: Path) -> None:
    assert refused("a.json", '{"a": NaN}') == "a.json: NaN is not JSON; write a number"
    assert refused("a.json", '{"a": %s}' % ("9" * 5000)) == (
        "a.json: holds a number that is too long; put it in quotes"
    )
