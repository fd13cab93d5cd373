"""A person answers a tool's form, and sees its progress: what is asked, what counts as an answer, what is sent."""

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway import cli_ask
from gateway.cli_ask import EndOfInput, TerminalChannel, fill
from upstreams.errors import ErrorReply


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Person:
    """Answers prompts in turn, then closes stdin."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.prompts: list[str] = []

    async def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if not self.answers:
            raise EndOfInput
        return self.answers.pop(0)


def filled(person: Callable[[str], Awaitable[str]], properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return asyncio.run(fill(schema, person))


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called in the test itself: pytest puts its own streams back between a fixture and its test."""
    stderr = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stderr", stderr)
    return stderr


@pytest.mark.parametrize(
    ("rule", "answer", "value"),
    [
        ({"type": "string"}, "Bern", "Bern"),
        ({"type": "integer"}, "-4", -4),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "boolean"}, "Y", True),
        ({"type": "boolean"}, "no", False),
        ({"type": "string", "enum": ["a", "b"]}, "b", "b"),
        ({"type": "string", "oneOf": [{"const": "r", "title": "Red"}]}, "r", "r"),
        ({"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}, "a, b", ["a", "b"]),
        ({"type": "array", "items": {"anyOf": [{"const": "x", "title": "X"}]}}, "x", ["x"]),
    ],
)
def test_an_answer_becomes_a_value_of_its_type(rule: dict[str, Any], answer: str, value: Any) -> None:
    assert filled(Person(answer), {"field": rule}, "field") == {"field": value}


@pytest.mark.parametrize(
    ("rule", "wrong", "hint"),
    [
        ({"type": "integer"}, "many", "a whole number"),
        ({"type": "number"}, "many", "a number"),
        ({"type": "boolean"}, "maybe", "y or n"),
        ({"type": "string", "enum": ["a", "b"]}, "c", "one of: a, b"),
        ({"type": "array", "items": {"enum": ["a"]}}, "a,c", "one of: a"),
    ],
)
def test_an_answer_that_does_not_fit_is_asked_for_again(
    rule: dict[str, Any], wrong: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    person = Person(wrong)
    with pytest.raises(EndOfInput):
        filled(person, {"field": rule}, "field")
    assert hint in capsys.readouterr().err
    assert len(person.prompts) == 2


def test_an_empty_answer_is_the_default_or_nothing_and_a_required_field_insists() -> None:
    fields = {"a": {"type": "string", "default": "x"}, "b": {"type": "string"}, "c": {"type": "string"}}
    person = Person("", "", "", "at last")
    assert filled(person, fields, "c") == {"a": "x", "c": "at last"}
    assert [prompt.split(" ")[2] for prompt in person.prompts] == ["a", "b", "c:", "c:"]


def test_a_prompt_says_what_is_wanted_and_holds_no_control_characters() -> None:
    person = Person("a")
    filled(person, {"size": {"type": "string", "enum": ["a", "b"], "description": "How \x1b[2J big", "default": "b"}})
    assert person.prompts == ["  size (How \\x1b[2J big) [a | b; default b]: "]


def test_a_form_without_fields_asks_for_consent() -> None:
    assert filled(Person("y"), {}) == {}
    with pytest.raises(EndOfInput):
        filled(Person("n"), {})


def test_a_tool_gets_the_persons_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = at_terminal(monkeypatch)
    monkeypatch.setattr(cli_ask, "read_line", Person("y"))
    channel = TerminalChannel()
    schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
    answer = asyncio.run(channel.ask("elicitation/create", {"message": "Go on?", "requestedSchema": schema}))
    assert answer == {"action": "accept", "content": {"sure": True}}
    assert "Go on?" in stderr.getvalue()
    assert channel.capabilities == {"elicitation": {"form": {}}}


def test_closing_stdin_declines(monkeypatch: pytest.MonkeyPatch) -> None:
    at_terminal(monkeypatch)
    monkeypatch.setattr(cli_ask, "read_line", Person())
    answer = asyncio.run(TerminalChannel().ask("elicitation/create", {"message": "Go on?"}))
    assert answer == {"action": "decline"}


@pytest.mark.parametrize("method", ["sampling/createMessage", "roots/list"])
def test_what_a_person_cannot_answer_is_refused(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    at_terminal(monkeypatch)
    with pytest.raises(ErrorReply, match=method):
        asyncio.run(TerminalChannel().ask(method, {}))


def test_a_link_to_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    at_terminal(monkeypatch)
    with pytest.raises(ErrorReply):
        asyncio.run(TerminalChannel().ask("elicitation/create", {"mode": "url", "url": "https://x"}))


def test_without_a_terminal_nothing_is_asked_and_nothing_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    channel = TerminalChannel()
    channel.notify("notifications/progress", {"progress": 1})
    with pytest.raises(ErrorReply):
        asyncio.run(channel.ask("elicitation/create", {"message": "Go on?"}))
    assert (channel.capabilities, channel.log_level, capsys.readouterr().err) == ({}, None, "")


def test_progress_and_log_messages_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = at_terminal(monkeypatch)
    channel = TerminalChannel()
    channel.notify("notifications/progress", {"progress": 1, "total": 3, "message": "one\x07"})
    channel.notify("notifications/message", {"level": "info", "data": "started"})
    channel.notify("notifications/message", {"level": "debug", "data": "chatter"})
    channel.notify("notifications/other", {})
    assert stderr.getvalue() == "  1/3 one\\x07\n  info: started\n"
