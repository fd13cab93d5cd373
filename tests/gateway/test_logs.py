"""What the log shows: one line per event, escaped, with its fields, and a traceback only for who asks for it."""

import io
import json
import logging
from typing import Any

import pytest

from gateway import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(log: logging.Logger) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        log.exception("it failed")


def test_an_event_in_a_pipe_is_one_json_line_with_its_fields() -> None:
    stream = io.StringIO()
    logs.set_up("info", {}, stream)
    logging.getLogger("onegate.upstream").warning("%s is down", "files", extra={"upstream": "files", "level": "x"})
    (event,) = events(stream)
    assert list(event) == ["time", "level", "component", "message", "upstream"]
    assert event["time"].endswith("Z")
    assert (event["level"], event["component"]) == ("warning", "upstream")
    assert (event["message"], event["upstream"]) == ("files is down", "files")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x1b[31mred", "\x7f", "\u202e", "\u2028", "\x85", "\udc80"])
def test_no_character_breaks_a_line_or_hides_in_it(text: str) -> None:
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        logs.set_up("info", {}, stream)
        logging.getLogger("onegate.mcp").warning("said %s", text)
        line = stream.getvalue().removesuffix("\n")
        assert line.isprintable()
        assert line.isascii()
    assert events(pipe)[0]["message"] == f"said {text}"


def test_text_in_other_scripts_stays_readable() -> None:
    stream = io.StringIO()
    logs.set_up("info", {}, stream)
    logging.getLogger("onegate.mcp").warning("Zürich 東京")
    assert "Zürich 東京" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_is_shown_only_at_debug_level(stream: io.StringIO) -> None:
    logs.set_up("info", {}, stream)
    failing(logging.getLogger("onegate.mcp"))
    assert "Traceback" not in stream.getvalue()
    assert "ValueError: no such thing" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
    logs.set_up("debug", {}, stream)
    failing(logging.getLogger("onegate.mcp"))
    assert "Traceback" in stream.getvalue()


def test_a_traceback_in_a_pipe_is_part_of_its_line() -> None:
    stream = io.StringIO()
    logs.set_up("debug", {}, stream)
    failing(logging.getLogger("onegate.mcp"))
    (event,) = events(stream)
    assert event["error"] == "ValueError: no such thing"
    assert event["traceback"].splitlines()[0] == "Traceback (most recent call last):"


def test_a_component_has_its_own_level_and_the_others_the_common_one() -> None:
    stream = io.StringIO()
    logs.set_up("warning", {"mcp": "debug", "http": "error"}, stream)
    for component in ("mcp", "http", "upstream"):
        for level in (logging.DEBUG, logging.WARNING, logging.ERROR):
            logging.getLogger(f"onegate.{component}").log(level, "x")
    seen = [(event["component"], event["level"]) for event in events(stream)]
    assert seen == [
        ("mcp", "debug"),
        ("mcp", "warning"),
        ("mcp", "error"),
        ("http", "error"),
        ("upstream", "warning"),
        ("upstream", "error"),
    ]


def test_a_component_that_does_not_exist_is_warned_of() -> None:
    stream = io.StringIO()
    logs.set_up("info", {"upstreams": "debug"}, stream)
    (event,) = events(stream)
    assert event["message"].startswith("telemetry.log.levels: unknown component upstreams; known are mcp, upstream")


def test_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    logs.set_up("debug", {}, stream)
    logging.getLogger("some.library").info("quiet")
    logging.getLogger("some.library").warning("loud")
    assert [(event["component"], event["message"]) for event in events(stream)] == [("some.library", "loud")]


def test_a_line_on_a_terminal_is_short_and_names_a_field_once() -> None:
    stream = Terminal()
    logs.set_up("info", {}, stream)
    logging.getLogger("onegate.upstream").info("files is ready", extra={"upstream": "files"})
    logging.getLogger("onegate.upstream").info("renewed", extra={"upstream": "files"})
    first, second = stream.getvalue().splitlines()
    assert first[8:] == " info    upstream files is ready"
    assert second[8:] == " info    upstream renewed upstream=files"


def test_colour_is_used_when_asked_for() -> None:
    stream = Terminal()
    logs.set_up("info", {}, stream, colour=True)
    logging.getLogger("onegate.mcp").error("x")
    logging.getLogger("onegate.mcp").info("y")
    red, plain = stream.getvalue().splitlines()
    assert red.startswith("\x1b[31m")
    assert red.endswith("\x1b[0m")
    assert plain.isprintable()


def test_setting_up_twice_writes_each_event_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.set_up("info", {}, first)
    logs.set_up("info", {}, second)
    logging.getLogger("onegate.mcp").info("x")
    assert (len(events(first)), len(events(second))) == (0, 1)


def test_a_log_that_nobody_reads_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.set_up("info", {}, stream)
    stream.close()
    logging.getLogger("onegate.mcp").info("x")
    assert capsys.readouterr().err == ""
