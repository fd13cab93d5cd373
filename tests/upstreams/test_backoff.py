import pytest

from upstreams.backoff import MAX_RESTARTS, REST_SECONDS, WINDOW_SECONDS, Backoff


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.failed(now=100.0 * at)[1] for at in range(count)]


def test_the_wait_doubles_from_half_a_second_to_a_minute() -> None:
    assert delays(Backoff(lambda: 1.0), 10) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_the_dice_take_at_most_half_of_it_away() -> None:
    assert delays(Backoff(lambda: 0.0), 9) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_handshake_starts_it_small_again() -> None:
    backoff = Backoff(lambda: 1.0)
    delays(backoff, 5)
    backoff.succeeded()
    assert backoff.failed(1000.0) == ("down", 0.5)


def test_a_thousand_failures_still_wait_a_minute() -> None:
    assert delays(Backoff(lambda: 1.0), 1000)[-1] == 60.0


def test_more_than_thirty_restarts_in_a_minute_rest() -> None:
    backoff = Backoff(lambda: 1.0)
    for at in range(MAX_RESTARTS):
        backoff.succeeded()
        assert backoff.failed(at * 1.0)[0] == "down"
    assert backoff.failed(WINDOW_SECONDS - 1) == ("crowded", REST_SECONDS)
    assert backoff.failed(WINDOW_SECONDS)[0] == "down"


@pytest.mark.parametrize(("pause", "event"), [(1.99, "crowded"), (2.01, "down")])
def test_the_minute_slides(pause: float, event: str) -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.failed(at * pause)[0] for at in range(MAX_RESTARTS + 1)][-1] == event
