"""What the log shows: one line per event, escaped, with its fields, and a traceback only for who asks for it."""

import io
import json
import logging
from typing import Any

import pytest

from gateway import logs
from gateway.config_telemetry import LogConfig
from gateway.telemetry.current import SERVING, Serving


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def set_up(stream: io.StringIO, redact: logs.Redact = str, *, colour: bool = False, **config: Any) -> None:
    logs.set_up(LogConfig(**config), redact, stream, colour)


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(log: logging.Logger) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        log.exception("it failed")


def test_an_event_in_a_pipe_is_one_json_line_with_its_fields() -> None:
    stream = io.StringIO()
    set_up(stream)
    logging.getLogger("onegate.upstream").warning("%s is down", "files", extra={"upstream": "files"})
    (event,) = events(stream)
    assert list(event) == ["time", "level", "component", "message", "upstream"]
    assert event["time"].endswith("Z")
    assert (event["level"], event["component"]) == ("warning", "upstream")
    assert (event["message"], event["upstream"]) == ("files is down", "files")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x1b[31mred", "\x7f", "\u202e", "\u2028", "\x85", "\udc80"])
def test_no_character_breaks_a_line_or_hides_in_it(text: str) -> None:
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        set_up(stream)
        logging.getLogger("onegate.mcp").warning("said %s", text)
        line = stream.getvalue().removesuffix("\n")
        assert line.isprintable()
        assert line.isascii()
    assert events(pipe)[0]["message"] == f"said {text}"


def test_text_in_other_scripts_stays_readable() -> None:
    stream = io.StringIO()
    set_up(stream)
    logging.getLogger("onegate.mcp").warning("Zürich 東京")
    assert "Zürich 東京" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_is_shown_only_at_debug_level(stream: io.StringIO) -> None:
    set_up(stream)
    failing(logging.getLogger("onegate.mcp"))
    assert "Traceback" not in stream.getvalue()
    assert "ValueError: no such thing" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
    set_up(stream, level="debug")
    failing(logging.getLogger("onegate.mcp"))
    assert "Traceback" in stream.getvalue()


def test_a_traceback_in_a_pipe_is_part_of_its_line() -> None:
    stream = io.StringIO()
    set_up(stream, level="debug")
    failing(logging.getLogger("onegate.mcp"))
    (event,) = events(stream)
    assert event["error"] == "ValueError: no such thing"
    assert event["traceback"].splitlines()[0] == "Traceback (most recent call last):"


def test_a_component_has_its_own_level_and_the_others_the_common_one() -> None:
    stream = io.StringIO()
    set_up(stream, level="warning", levels={"mcp": "debug", "http": "error"})
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
    set_up(stream, levels={"upstreams": "debug"})
    (event,) = events(stream)
    assert event["message"].startswith("telemetry.log.levels: unknown component upstreams; known are mcp, upstream")


def test_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    set_up(stream, level="debug")
    logging.getLogger("some.library").info("quiet")
    logging.getLogger("some.library").warning("loud")
    assert [(event["component"], event["message"]) for event in events(stream)] == [("some.library", "loud")]


def test_a_line_on_a_terminal_is_short_and_names_a_field_once() -> None:
    stream = Terminal()
    set_up(stream)
    logging.getLogger("onegate.upstream").info("files is ready", extra={"upstream": "files"})
    logging.getLogger("onegate.upstream").info("renewed", extra={"upstream": "files"})
    first, second = stream.getvalue().splitlines()
    assert first[8:] == " info    upstream files is ready"
    assert second[8:] == " info    upstream renewed upstream=files"


def test_colour_is_used_when_asked_for() -> None:
    stream = Terminal()
    set_up(stream, colour=True)
    logging.getLogger("onegate.mcp").error("x")
    logging.getLogger("onegate.mcp").info("y")
    red, plain = stream.getvalue().splitlines()
    assert red.startswith("\x1b[31m")
    assert red.endswith("\x1b[0m")
    assert plain.isprintable()


def test_setting_up_twice_writes_each_event_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up(first)
    set_up(second)
    logging.getLogger("onegate.mcp").info("x")
    assert (len(events(first)), len(events(second))) == (0, 1)


def test_a_log_that_nobody_reads_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    set_up(stream)
    stream.close()
    logging.getLogger("onegate.mcp").info("x")
    assert capsys.readouterr().err == ""


def test_no_event_can_say_what_the_log_itself_says() -> None:
    own = {name: "forged" for name in logs.OWN_FIELDS if name != "message"}  # logging itself refuses that one
    for stream in (io.StringIO(), Terminal()):
        set_up(stream)
        logging.getLogger("onegate.mcp").info("x", extra={**own, "upstream": "files"})
        assert "forged" not in stream.getvalue()
        assert "files" in stream.getvalue()


class Trace:
    def ids(self) -> tuple[str, str]:
        return "t" * 32, "s" * 16


def test_every_line_of_a_request_names_it_and_its_trace() -> None:
    stream = io.StringIO()
    set_up(stream)
    serving = Serving(request_id="r-1")
    token = SERVING.set(serving)
    try:
        logging.getLogger("onegate.mcp").info("untraced")
        serving.trace = Trace()  # type: ignore[assignment]
        logging.getLogger("some.library").warning("traced")
    finally:
        SERVING.reset(token)
    logging.getLogger("onegate.mcp").info("of no request")
    untraced, traced, none = events(stream)
    assert untraced["request_id"] == traced["request_id"] == "r-1"
    assert (traced["trace_id"], traced["span_id"]) == ("t" * 32, "s" * 16)
    assert "trace_id" not in untraced
    assert "request_id" not in none


def test_a_line_on_a_terminal_names_its_request_too() -> None:
    stream = Terminal()
    set_up(stream)
    token = SERVING.set(Serving(request_id="r-1"))
    try:
        logging.getLogger("onegate.mcp").info("x", extra={"upstream": "files"})
    finally:
        SERVING.reset(token)
    assert stream.getvalue()[8:] == " info    mcp      x upstream=files request_id=r-1\n"


@pytest.mark.parametrize(
    ("wanted", "stream", "as_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("text", io.StringIO(), False),
    ],
)
def test_lines_have_the_form_that_is_asked_for(wanted: str, stream: io.StringIO, as_json: bool) -> None:
    set_up(stream, format=wanted)
    logging.getLogger("onegate.mcp").info("x")
    assert stream.getvalue().startswith("{") == as_json


def test_another_config_changes_form_and_levels_of_a_running_log() -> None:
    stream = io.StringIO()
    set_up(stream, level="warning")
    logs.renew(LogConfig(level="info", format="text", levels={"http": "error"}))
    logging.getLogger("onegate.mcp").info("heard")
    logging.getLogger("onegate.http").warning("unheard")
    assert stream.getvalue()[8:] == " info    mcp      heard\n"
    logs.renew(LogConfig())
    logging.getLogger("onegate.http").warning("heard again")
    assert json.loads(stream.getvalue().splitlines()[1])["message"] == "heard again"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_whatever_a_line_says_is_masked(stream: io.StringIO) -> None:
    set_up(stream, lambda text: text.replace("hush", "***"), level="debug")
    log = logging.getLogger("onegate.mcp")
    log.info("said %s", "hush", extra={"upstream": "hush", "seconds": 0.5, "odd": ["hush"]})
    try:
        raise ValueError("hush")
    except ValueError:
        log.exception("failed")
    logs.mask_with(lambda text: text.replace("later", "***"))
    log.info("later")
    assert "hush" not in stream.getvalue()
    assert "later" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 6


def test_a_number_stays_a_number() -> None:
    stream = io.StringIO()
    set_up(stream)
    logging.getLogger("onegate.mcp").info("x", extra={"seconds": 0.5, "calls": 3, "upstream": None})
    (event,) = events(stream)
    assert (event["seconds"], event["calls"], event["upstream"]) == (0.5, 3, None)
