"""What a client carries for us comes back unread, unchanged, to its owner and for its purpose, or not at all."""

import pytest

from gateway.seal import LIFETIME_SECONDS, MAX_TEXT, Sealer
from upstreams.wire import BigInt

BINDING = ["alice", "/mcp", 1]
CONTENT = {"state": "canary", "n": [1, BigInt(2**70), None, True]}


@pytest.fixture
def sealer() -> Sealer:
    return Sealer()


def test_what_was_sealed_comes_back(sealer: Sealer) -> None:
    assert sealer.open("cursor", BINDING, sealer.seal("cursor", BINDING, CONTENT)) == CONTENT


def test_what_is_sealed_cannot_be_read_and_never_looks_the_same_twice(sealer: Sealer) -> None:
    texts = {sealer.seal("cursor", BINDING, CONTENT) for _ in range(100)}
    assert len(texts) == 100
    assert not any("canary" in text or "Y2FuYXJ5" in text for text in texts)
    assert all(text.replace("-", "").replace("_", "").isalnum() for text in texts)


@pytest.mark.parametrize("purpose", ["", "Cursor", "request state", "cursor "])
def test_another_purpose_opens_nothing(sealer: Sealer, purpose: str) -> None:
    assert sealer.open(purpose, BINDING, sealer.seal("cursor", BINDING, CONTENT)) is None


@pytest.mark.parametrize(
    "binding",
    [
        ["bob", "/mcp", 1],
        ["alice", "/mcp", "1"],
        ["alice", "/mcp", True],
        ["alice", "/mcp"],
        ["alice/mcp", "", 1],
        [],
        None,
    ],
    ids=str,
)
def test_another_binding_opens_nothing(sealer: Sealer, binding: object) -> None:
    assert sealer.open("cursor", binding, sealer.seal("cursor", BINDING, CONTENT)) is None


def test_another_gateway_opens_nothing(sealer: Sealer) -> None:
    assert Sealer().open("cursor", BINDING, sealer.seal("cursor", BINDING, CONTENT)) is None


def test_what_was_sealed_too_long_ago_opens_nothing() -> None:
    now = [0.0]
    sealer = Sealer(lambda: now[0])
    text = sealer.seal("cursor", BINDING, CONTENT)
    now[0] = LIFETIME_SECONDS - 1
    assert sealer.open("cursor", BINDING, text) == CONTENT
    now[0] = LIFETIME_SECONDS
    assert sealer.open("cursor", BINDING, text) is None


def test_one_changed_character_opens_nothing(sealer: Sealer) -> None:
    text = sealer.seal("cursor", BINDING, CONTENT)
    for place in range(len(text) - 1):  # the last one may hold bits that encode nothing
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert sealer.open("cursor", BINDING, changed) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "A",
        "AAAA",
        "A" * 16,
        "A" * 38,
        "é",
        "\x00",
        " ",
        "a b",
        "\ud800",
        "A" * (MAX_TEXT + 1),
        5,
        True,
        None,
        [],
        {},
        b"A",
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_what_was_never_sealed_opens_nothing(sealer: Sealer, text: object) -> None:
    assert sealer.open("cursor", BINDING, text) is None
