"""What the log says of a collector that takes nothing, and how seldom."""

import logging
from collections.abc import Iterator

import pytest

from gateway.telemetry import collector
from gateway.telemetry.collector import Word

LIBRARY = logging.getLogger(__name__)


class Exporter:
    """Stands for the library's, whose logger is called as this module is."""


@pytest.fixture
def word(caplog: pytest.LogCaptureFixture) -> Iterator[Word]:
    caplog.set_level(logging.INFO)
    yield Word("spans", Exporter)
    LIBRARY.filters.clear()
    collector._reason.cache_clear()


def fail(word: Word, count: int = 1) -> None:
    for _ in range(count):
        LIBRARY.warning("nobody listens")
        LIBRARY.error("giving up")
        word.heard(False)


def test_a_failure_is_told_once_with_what_was_said_of_it_first(word: Word, caplog: pytest.LogCaptureFixture) -> None:
    fail(word, 5)
    assert caplog.messages == ["spans cannot be sent to the collector: nobody listens"]


def test_that_it_works_again_is_told_and_the_next_failure_too(word: Word, caplog: pytest.LogCaptureFixture) -> None:
    fail(word)
    word.heard(True)
    word.heard(True)
    fail(word)
    assert caplog.messages[1:] == [
        "spans are sent to the collector again",
        "spans cannot be sent to the collector: nobody listens",
    ]


def test_a_failure_that_lasts_is_told_again(
    word: Word, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "QUIET_SECONDS", -1.0)
    fail(word, 2)
    assert len(caplog.messages) == 2


def test_after_the_end_nothing_is_told(word: Word, caplog: pytest.LogCaptureFixture) -> None:
    word.end()
    fail(word)
    assert caplog.messages == []


def test_an_exporter_that_is_made_anew_hears_the_reason_too(word: Word, caplog: pytest.LogCaptureFixture) -> None:
    fail(Word("metrics", Exporter))
    assert caplog.messages == ["metrics cannot be sent to the collector: nobody listens"]
