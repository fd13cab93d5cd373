"""The trace context that comes in: taken only in its exact form."""

from typing import Any

import pytest

from gateway.telemetry.context import incoming

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def test_the_message_counts_before_the_headers() -> None:
    assert incoming({"traceparent": GOOD}, {"traceparent": OTHER}) == {"traceparent": GOOD}
    assert incoming({}, {"traceparent": OTHER}) == {"traceparent": OTHER}
    assert incoming(None, {}) is None


def test_the_state_goes_along() -> None:
    found = incoming({"traceparent": GOOD, "tracestate": "vendor=1,other=2"}, {})
    assert found == {"traceparent": GOOD, "tracestate": "vendor=1,other=2"}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        GOOD.upper(),
        GOOD + "-00",
        GOOD[:-1],
        GOOD.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        GOOD + "\r\nx-injected: 1",
        GOOD + "\n",
        5,
        None,
        [GOOD],
    ],
)
def test_what_is_no_context_is_none(parent: Any) -> None:
    assert incoming({"traceparent": parent}, {}) is None


@pytest.mark.parametrize("state", ["a=1\r\nx: y", "a=\x00", "a=é", "x" * 513, "", 5])
def test_a_state_that_no_header_can_hold_is_left_out(state: Any) -> None:
    assert incoming({"traceparent": GOOD, "tracestate": state}, {}) == {"traceparent": GOOD}
