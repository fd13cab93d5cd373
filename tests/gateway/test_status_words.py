"""Figures in words."""

import pytest

from gateway.status_words import clock, condition, duration, milliseconds, protocols, reloaded


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (7_500, "2 h 5 min"),
        (86_400 * 3 + 3_600 * 4 + 60, "3 d 4 h"),
    ],
)
def test_a_time_span_has_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("value", "said"), [(None, ""), (0.0, "0"), (0.424, "0.42"), (3.5, "3.5"), (17.4, "17")])
def test_milliseconds_are_as_exact_as_is_of_use(value: float | None, said: str) -> None:
    assert milliseconds(value) == said


def test_the_rest_reads_like_a_sentence() -> None:
    assert protocols({"protocols": [{"era": "modern", "version": "1"}, {"era": "legacy", "version": "0"}]}) == (
        "1 (modern) 0 (legacy)"
    )
    assert condition({"ready": True}) == "ready"
    assert condition({"ready": False, "not_ready_because": ["a", "b"]}) == "not ready: a, b"
    assert clock("2027-01-15T07:58:30.000Z") == "07:58:30 UTC"
    assert reloaded({"reload": None}) == "never reloaded"
    reading = {"time": "2027-01-15T07:58:30.000Z", "said": "changed: policy"}
    assert reloaded({"reload": reading}) == "changed: policy (07:58:30 UTC)"
