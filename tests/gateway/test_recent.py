"""The bounded memory of what happened lately."""

from gateway.telemetry.recent import MAX_DURATIONS, MAX_EVENTS, MINUTES, Event, Recent


def test_quantiles_are_those_of_the_last_calls() -> None:
    recent = Recent()
    assert recent.quantiles("a", (0.5, 0.99)) is None
    for _ in range(MAX_DURATIONS):
        recent.duration("a", 9.0)
    for number in range(MAX_DURATIONS):
        recent.duration("a", number / 1000)
    assert recent.quantiles("a", (0.0, 0.5, 0.99, 1.0)) == [0.0, 0.256, 0.506, 0.511]


def test_calls_are_counted_by_the_minute() -> None:
    recent = Recent()
    for now in (0.0, 59.9, 60.0, 181.0):
        recent.call(now)
    assert recent.per_minute(200.0)[-4:] == [2, 1, 0, 1]
    assert len(recent.per_minute(200.0)) == MINUTES


def test_only_the_last_failures_are_kept() -> None:
    recent = Recent()
    for number in range(MAX_EVENTS + 5):
        recent.failure(Event(float(number), "r", "error", "tools/call", "a_t", "a", "me", "500"))
    assert [recent.events[0].time, len(recent.events)] == [5.0, MAX_EVENTS]


def test_nothing_is_kept_of_an_upstream_that_is_gone() -> None:
    recent = Recent()
    recent.duration("a", 1.0)
    recent.duration("b", 1.0)
    recent.forget(["b"])
    assert (recent.quantiles("a", (0.5,)), recent.quantiles("b", (0.5,))) == (None, [1.0])
