"""One value, and every way in which programs write it down."""

import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from gateway.telemetry.spelling import core, is_plain, spellings

VALUES = [
    "pa\"ss\\wörd/+& <1>'s",
    "line\nline\ttab",
    "Bearer abc==",
    "smile \U0001f600",
    "\udcff raw",
    "a\\\nb",
    "c:\\\\d",
    "plain-1_2.~",
]
WRITERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": lambda value: json.dumps(value)[1:-1],
    "json, not ascii": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json, in capitals": lambda value: json.dumps(value)[1:-1].replace("\\u00f6", "\\u00F6"),
    "a repr": lambda value: repr(value)[1:-1],
    "an ascii repr": lambda value: ascii(value)[1:-1],
    "a url": lambda value: quote(value, safe="", errors="surrogateescape"),
    "a url in small letters": lambda value: quote(value, safe="", errors="surrogateescape").replace("%C3%B6", "%c3%b6"),
    "a form": lambda value: quote_plus(value, errors="surrogateescape"),
    "html": html.escape,
}


@pytest.mark.parametrize("first", WRITERS)
@pytest.mark.parametrize("second", WRITERS)
@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_found_in_every_writing_of_every_writing(value: str, first: str, second: str) -> None:
    written = WRITERS[second](WRITERS[first](value))
    assert core(value) in written
    assert spellings(value).search(written), written


def test_four_times_json_is_still_found() -> None:
    text = VALUES[0]
    for _ in range(4):
        text = json.dumps(text)
    assert spellings(VALUES[0]).search(text)


@pytest.mark.parametrize("other", ["Bearer abd==", "Bearer abc=", "Bearerabc==", "bearer abc==", ""])
def test_nothing_else_is_found(other: str) -> None:
    assert not spellings("Bearer abc==").search(other)


def test_what_is_written_in_one_way_only_is_plain() -> None:
    assert [value for value in VALUES if is_plain(value)] == ["plain-1_2.~"]
    assert core('a"bcd"ef') == "bcd"
    assert core('"\\"') == ""


@pytest.mark.parametrize("value", ["\\\\\\\\\\\\\\\\", '\\"\\"\\"\\"', "    \\    ", "&&&&&&&&"])
def test_no_value_makes_a_search_long(value: str) -> None:
    """A pattern that tries every way to share out a run of backslashes would take hours."""
    text = ("\\" * 60 + "x") * 1000
    begun = time.process_time()
    spellings(value).search(text)
    assert time.process_time() - begun < 2.0
