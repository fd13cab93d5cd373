"""One call from the command line: its arguments, the nearest names, and how a result is printed."""

import io
import json
import sys
from typing import Any

import pytest

from gateway import cli
from gateway.cli_call import MAX_ROUNDS, _call, _show, nearest, parse_arguments
from gateway.cli_output import Mistake
from policies.model import LOCAL, Caller

TEXT = {"type": "text", "text": "warm"}
IMAGE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Relay:
    """Answers each call with the next result."""

    def __init__(self, *results: dict[str, Any]) -> None:
        self.results = list(results)
        self.params: list[dict[str, Any]] = []

    async def handle(self, request: Any) -> dict[str, Any]:
        self.params.append(request.params)
        return self.results.pop(0)


def shown(result: dict[str, Any], stdout: io.StringIO, monkeypatch: pytest.MonkeyPatch, as_json: bool = False) -> str:
    monkeypatch.setattr(sys, "stdout", stdout)
    _show(result, as_json)
    return stdout.getvalue()


def called(relay: Relay) -> dict[str, Any]:
    import asyncio
    from types import SimpleNamespace

    service, caller = SimpleNamespace(relay=relay), Caller(LOCAL, path="/mcp")
    return asyncio.run(_call(service, caller, {"name": "x", "arguments": {}}))  # type: ignore[arg-type]


def test_arguments_are_an_object_from_the_command_line_or_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_arguments(None) == {}
    assert parse_arguments('{"n": 123456789012345678901234567890}') == {"n": 123456789012345678901234567890}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"city": "Bern"}\n'))
    assert parse_arguments("-") == {"city": "Bern"}


@pytest.mark.parametrize("text", ["{", "{'a': 1}", "NaN", "[1]", '"a"'])
def test_arguments_that_are_no_json_object_are_refused_before_anything_starts(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["call", "x", text, "-c", "/nowhere"]) == 1
    err = capsys.readouterr().err
    assert "JSON" in err
    assert len(err.splitlines()) <= 3


def test_the_nearest_names_are_those_of_the_tool_with_its_prefix_or_those_alike() -> None:
    known = ["weather_forecast", "weather_icon", "notes_add_note"]
    assert nearest("forecast", known) == ["weather_forecast"]
    assert nearest("weather_forcast", known)[0] == "weather_forecast"
    assert nearest("zzz", known) == []


def test_text_is_printed_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown({"content": [TEXT, TEXT]}, io.StringIO(), monkeypatch) == "warm\nwarm\n"


def test_a_control_sequence_reaches_a_pipe_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"content": [{"type": "text", "text": "a\x1b[2J\n\tb"}]}
    assert shown(result, io.StringIO(), monkeypatch) == "a\x1b[2J\n\tb\n"
    assert shown(result, Terminal(), monkeypatch) == "a\\x1b[2J\n\tb\n"


def test_more_than_text_is_json_in_a_pipe_and_a_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    link = {"type": "resource_link", "uri": "note:///1", "name": "one"}
    inner = {"type": "resource", "resource": {"uri": "note:///2", "text": "milk"}}
    result = {"content": [TEXT, IMAGE, link, inner]}
    assert json.loads(shown(result, io.StringIO(), monkeypatch)) == result
    assert shown(result, Terminal(), monkeypatch) == "warm\n[image image/png]\n[note:///1 one]\nmilk\n"


def test_json_is_the_whole_result(monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"content": [TEXT], "structuredContent": {"t": 1}}
    assert json.loads(shown(result, io.StringIO(), monkeypatch, as_json=True)) == result


def test_a_result_of_data_alone_is_printed_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"content": [], "structuredContent": {"t": 1}}
    assert json.loads(shown(result, io.StringIO(), monkeypatch)) == {"t": 1}


def test_what_a_tool_asks_for_is_answered_and_sent_with_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway import cli_ask

    async def agree(_: object, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"action": "accept", "content": {"asked": [method, params]}}

    monkeypatch.setattr(cli_ask.TerminalChannel, "ask", agree)
    question = {"resultType": "input_required", "inputRequests": {"q": {"method": "m", "params": {"a": 1}}}}
    relay = Relay({**question, "requestState": "s"}, {"content": [TEXT]})
    assert called(relay) == {"content": [TEXT]}
    answer = {"q": {"action": "accept", "content": {"asked": ["m", {"a": 1}]}}}
    assert relay.params[1] == {"name": "x", "arguments": {}, "inputResponses": answer, "requestState": "s"}


def test_a_tool_that_never_stops_asking_is_given_up() -> None:
    with pytest.raises(Mistake, match="asked for something"):
        called(Relay(*[{"resultType": "input_required", "requestState": "s"}] * MAX_ROUNDS))


def test_a_question_that_nobody_can_answer_ends_the_call() -> None:
    question = {"resultType": "input_required", "inputRequests": {"q": {"method": "elicitation/create"}}}
    with pytest.raises(Mistake, match="cannot answer"):
        called(Relay(question))
