"""Calls per minute as bars."""

import xml.etree.ElementTree as ET

from gateway.status_chart import HEIGHT, LEAST, chart


def heights(counts: list[int]) -> list[tuple[int, int]]:
    """Left edge and height of each bar."""
    bars = ET.fromstring(chart(counts)).iter("rect")
    return [(int(bar.attrib["x"]), int(bar.attrib["height"])) for bar in bars]


def test_the_busiest_minute_is_as_high_as_the_chart_and_an_empty_one_has_no_bar() -> None:
    assert heights([0, 5, 10]) == [(11, HEIGHT // 2), (21, HEIGHT)]


def test_one_call_is_seen_beside_many() -> None:
    assert heights([1, 100_000]) == [(1, LEAST), (11, HEIGHT)]


def test_without_calls_it_says_so() -> None:
    assert heights([0] * 60) == []
    assert "0 calls in the last 60 minutes" in chart([0] * 60)


def test_each_bar_says_its_minute() -> None:
    assert "<title>1 min ago: 3</title>" in chart([3, 4])
    assert "<title>this minute: 4</title>" in chart([3, 4])
