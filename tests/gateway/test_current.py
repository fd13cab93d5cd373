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
