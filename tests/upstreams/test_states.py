import itertools

import pytest

from tests.fixtures.fakes import entry
from upstreams.states import TRANSITIONS, State
from upstreams.upstream import Upstream

EVENTS = ("up", "down", "crowded", "retry", "stop")


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)))
def test_a_step_leads_where_the_table_says_and_every_other_step_raises(state: State, event: str) -> None:
    upstream = Upstream(entry(), lambda one: None)
    upstream.state = state
    if (state, event) in TRANSITIONS:
        upstream.move(event)
        assert upstream.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(KeyError):
            upstream.move(event)
        assert upstream.state is state


def test_every_state_can_be_stopped_and_none_leads_out_of_stopped() -> None:
    assert {state for state, event in TRANSITIONS if event == "stop"} == set(State)
    assert {event for state, event in TRANSITIONS if state is State.STOPPED} == {"stop"}


def test_every_state_is_reached_from_the_start() -> None:
    reached = {State.STARTING}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
