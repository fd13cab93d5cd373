"""The tables that are shipped are those of the installed library, and the parser that they make parses as it does."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lark
import pytest
from celpy.celparser import CELParseError, CELParser
from lark.exceptions import UnexpectedInput

import policies
from policies import cel, cel_table
from policies.cel import RuleError, compile_rule

ROOT = Path(policies.__file__).parent.parent
SHIPPED = ROOT / "policies" / cel_table.FILE

RULES = [
    "jwt.role == 'admin' && mcp.tool.name in ['a', \"b\", r'c', '''d'''] || !(size(jwt.groups) >= 3u)",
    "jwt.groups.exists(g, g.startsWith('x')) ? true : mcp.tool.arguments.n <= -1.5e3",
    "has(jwt.a) && jwt['b'].c[0] != null && jwt.x < 0x1F && jwt.y > 2 % 3 * 4 / 5 + 6 - -7",
    "true",
    "false || !true // said last",
    "trueish == falsehood",
    "{'a': 1, 'b': [true, {}]} == {}",
    "a.b{c: 1, d: true}",
    ".a.b || .c(1)",
    'b\'x\' + B"""y\n""" == bytes(\'z\')',
    "-(--1) == !!true",
    "  jwt.a\n  &&\tjwt.b  ",
    "in == 1",
    "jwt.in",
    "for",
]
MISTAKES = [
    "",
    " ",
    "//",
    "jwt.a ==",
    "jwt.a == 'x",
    "(a",
    "a b",
    "true true",
    "a &&\n || b",
    "a # b",
    "{a: }",
    "1 ? 2",
    "é",
]


@pytest.fixture
def library() -> CELParser:
    """The parser as the library itself makes it; it keeps the tables for the next one."""
    return CELParser()


@pytest.fixture(scope="module")
def ours() -> lark.Lark:
    parser = cel_table.load_parser()
    assert parser is not None, "the tables are those of other versions: run `make cel-table`"
    return parser


@pytest.fixture
def other_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if another lark were installed than the one that the tables were made with."""
    monkeypatch.setattr(lark, "__version__", "0.0.0")
    cel._parser.cache_clear()
    yield
    cel._parser.cache_clear()


def shape(tree: Any) -> Any:
    """A parse tree with all that it says of places."""
    if isinstance(tree, lark.Token):
        return tree.type, str(tree), tree.start_pos, tree.end_pos
    places = [getattr(tree.meta, name, None) for name in ("empty", "start_pos", "end_pos", "line", "column")]
    return str(tree.data), places, [shape(child) for child in tree.children]


def test_the_shipped_tables_are_what_the_installed_library_works_out() -> None:
    spec = importlib.util.spec_from_file_location("cel_table_script", ROOT / "scripts" / "cel_table.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert json.loads(SHIPPED.read_text()) == script.made(), "run `make cel-table`"


@pytest.mark.parametrize("text", RULES)
def test_the_shipped_tables_parse_as_the_library_does(text: str, library: CELParser, ours: lark.Lark) -> None:
    assert shape(ours.parse(text)) == shape(library.parse(text))


@pytest.mark.parametrize("text", MISTAKES)
def test_the_shipped_tables_find_a_mistake_where_the_library_does(
    text: str, library: CELParser, ours: lark.Lark
) -> None:
    with pytest.raises(CELParseError) as expected:
        library.parse(text)
    with pytest.raises(UnexpectedInput) as found:
        ours.parse(text)
    assert (found.value.line, found.value.column) == (expected.value.line, expected.value.column)


@pytest.mark.usefixtures("other_version")
def test_with_another_version_the_library_makes_the_parser() -> None:
    assert cel_table.load_parser() is None
    assert compile_rule("jwt.role == 'x'").reads == {"jwt"}
    assert cel._parser() is CELParser.CEL_PARSER
    with pytest.raises(RuleError, match="not an expression"):
        compile_rule("jwt.role ==")


def test_with_another_grammar_there_are_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_table, "MADE_OF", ("celparser.py", "__init__.py"))
    assert cel_table.load_parser() is None


def test_without_the_file_there_are_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_table, "FILE", "missing.json")
    assert cel_table.load_parser() is None


def test_the_tables_are_read_from_the_package_whatever_the_working_folder_holds(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / cel_table.FILE).write_text("{}")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from policies import cel_table; assert cel_table.load_parser()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=tmp_path)
