"""Counts and histograms in plain tables."""

from itertools import pairwise

from gateway.telemetry import measures
from gateway.telemetry.measures import BOUNDS, OTHER, Histogram, Measures


def test_a_duration_is_counted_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram()
    for seconds in (0.0005, 0.001, 0.0011, 299.0, 301.0):
        histogram.add(seconds)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-2], histogram.counts[-1]) == (2, 1, 1, 1)
    assert (histogram.count, round(histogram.total, 4)) == (5, 600.0026)


def test_the_bounds_go_from_a_millisecond_to_five_minutes() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (0.001, 300.0)
    assert all(lower < upper for lower, upper in pairwise(BOUNDS))


def test_calls_and_denials_are_counted_by_their_labels() -> None:
    counted = Measures()
    for status in ("success", "success", "error"):
        counted.call("a_t", "a", status)
    counted.denial("a_t", "viewer")
    counted.auth_failure(401)
    assert counted.calls == {("a_t", "a", "success"): 2, ("a_t", "a", "error"): 1}
    assert counted.denials == {("a_t", "viewer"): 1}
    assert counted.auth_failures == {"401": 1}


def test_roles_without_end_are_counted_as_one() -> None:
    counted = Measures()
    for number in range(measures.MAX_ROLES + 50):
        counted.denial("a_t", f"role-{number}")
    counted.denial("a_t", "role-3")
    assert len(counted.denials) == measures.MAX_ROLES + 1
    assert (counted.denials["a_t", OTHER], counted.denials["a_t", "role-3"]) == (50, 2)


def test_a_full_table_goes_on_under_one_more_name() -> None:
    counted = Measures()
    for number in range(measures.MAX_SERIES + 3):
        counted.call(f"t{number}", "a", "success")
    for number in range(measures.MAX_HISTOGRAMS + 3):
        counted.duration(f"t{number}", "a", 0.1)
    assert counted.calls[OTHER, "", "success"] == 3
    assert counted.durations[OTHER, ""].count == 3
    assert (len(counted.calls), len(counted.durations)) == (measures.MAX_SERIES + 1, measures.MAX_HISTOGRAMS + 1)
