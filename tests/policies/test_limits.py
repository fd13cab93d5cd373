"""Token buckets let through what the rate says, and say how long to wait for the rest."""

import random
from typing import Any

import pytest

from policies.config import RateLimitConfig
from policies.limits import RateLimits

ADA, BOB = ("jwt", "i", "ada"), ("jwt", "i", "bob")


def limits(*sections: dict[str, Any], **bounds: int) -> RateLimits:
    return RateLimits([RateLimitConfig.model_validate(section) for section in sections], **bounds)


def test_without_limits_nobody_waits() -> None:
    assert limits().take(ADA, "tool", 0.0) == 0.0


def test_a_full_bucket_is_the_burst_and_then_the_rate_counts() -> None:
    some = limits({"rate": "60/m", "burst": 3})
    assert [some.take(ADA, "t", 100.0) for _ in range(5)] == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert some.take(ADA, "t", 100.4) == pytest.approx(0.6)
    assert some.take(ADA, "t", 101.0) == 0.0
    assert some.take(ADA, "t", 101.0) == pytest.approx(1.0)


def test_without_a_burst_the_calls_of_the_rate_may_come_at_once() -> None:
    some = limits({"rate": "10/h"})
    assert [some.take(ADA, "t", 0.0) for _ in range(10)] == [0.0] * 10
    assert some.take(ADA, "t", 0.0) == pytest.approx(360.0)


@pytest.mark.parametrize(
    ("per", "shared"),
    [("identity", {(ADA, "a"), (ADA, "b")}), ("tool", {(ADA, "a"), (BOB, "a")}), ("identity_tool", {(ADA, "a")})],
)
def test_buckets_are_per_identity_tool_or_both(per: str, shared: set[Any]) -> None:
    for who in (ADA, BOB):
        for tool in ("a", "b"):
            some = limits({"rate": "1/s", "burst": 1, "per": per})
            assert some.take(ADA, "a", 0.0) == 0.0
            assert (some.take(who, tool, 0.0) > 0) is ((who, tool) in shared)


def test_a_limit_counts_for_the_tools_that_its_globs_name_exactly() -> None:
    some = limits({"rate": "1/s", "burst": 1, "tools": ["gh_*", "echo"]})
    assert some.take(ADA, "gh_search", 0.0) == 0.0
    assert some.take(ADA, "echo", 0.0) > 0
    assert [some.take(ADA, tool, 0.0) for tool in ("other", "GH_search", "Echo", "xecho")] == [0.0] * 4


def test_a_refused_call_takes_from_no_bucket() -> None:
    some = limits({"rate": "1/s", "burst": 1, "per": "tool"}, {"rate": "1/h", "burst": 2, "per": "identity"})
    assert some.take(ADA, "a", 0.0) == 0.0
    for _ in range(100):
        assert some.take(ADA, "a", 0.5) == pytest.approx(0.5)
    assert some.take(ADA, "b", 0.5) == 0.0
    assert some.take(ADA, "c", 0.5) == pytest.approx(3599.5)


def test_over_any_time_no_more_than_burst_and_rate_come_through() -> None:
    dice = random.Random(7)
    some = limits({"rate": "10/s", "burst": 5})
    now, passed = 1e6, 0
    start = now
    while now < start + 60:
        passed += some.take(ADA, "t", now) == 0.0
        assert passed <= 5 + 10 * (now - start) + 1e-3
        now += dice.random() * 0.05
    assert passed >= 600


def test_the_wait_that_is_said_is_enough() -> None:
    some = limits({"rate": "7/s", "burst": 2})
    now = 12345.678
    for _ in range(1000):
        now += some.take(ADA, "t", now)
        assert some.take(ADA, "t", now) <= 1 / 7 + 1e-6


def test_full_buckets_are_dropped_and_the_rest_is_bounded() -> None:
    some = limits({"rate": "1/s", "burst": 1}, max_buckets=100)
    for number in range(1000):
        some.take(number, "t", 0.0)
        assert len(some) <= 100
    some.take("late", "t", 10.0)
    assert len(some) == 1


def test_a_clock_that_goes_back_lets_nobody_through_early() -> None:
    some = limits({"rate": "1/s", "burst": 1})
    assert some.take(ADA, "t", 100.0) == 0.0
    assert some.take(ADA, "t", 90.0) > 0
