"""What names a request while it is served."""

from gateway.telemetry.current import UNTIMED, Serving, new_id


def test_every_request_has_another_id_of_one_process() -> None:
    ids = {new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert len({one.partition("-")[0] for one in ids}) == 1


def test_nothing_is_timed_where_nothing_is_traced() -> None:
    assert Serving().stage("gateway.receive") is UNTIMED


def test_stages_are_timed_in_order() -> None:
    serving = Serving(stages=[])
    for name in ("gateway.receive", "gateway.authenticate"):
        with serving.stage(name):
            pass
    assert serving.stages is not None
    assert [name for name, _, _ in serving.stages] == ["gateway.receive", "gateway.authenticate"]
    times = [time for _, begun, ended in serving.stages for time in (begun, ended)]
    assert times == sorted(times)


def test_a_stage_in_which_nothing_was_waited_for_lasts_from_the_end_of_the_one_before() -> None:
    serving = Serving(stages=[])
    serving.passed("gateway.authenticate")
    serving.passed("gateway.receive")
    assert serving.stages is not None
    (_, begun, ended), (name, since, until) = serving.stages
    assert (name, begun, since) == ("gateway.receive", ended, ended)
    assert until >= since


def test_nothing_is_noted_of_a_stage_where_nothing_is_traced() -> None:
    serving = Serving()
    serving.passed("gateway.receive")
    assert serving.stages is None
