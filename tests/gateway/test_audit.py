"""The audit log at work: what is reserved, refused, retried and rotated, and that each use has its line in one log."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import McpError, Refused
from gateway.telemetry import audit
from gateway.telemetry.audit import MAX_RECORDS, AuditLog
from gateway.telemetry.audit_file import AuditFile
from gateway.telemetry.audit_line import Lines
from gateway.telemetry.current import SERVING, Serving
from gateway.telemetry.observer import Observer, Use
from policies.model import Caller
from tests.fixtures.audit import ALICE, KEY, WAIT_SECONDS, Disk, lines, use
from tests.fixtures.waiting import until

CALLER = Caller(ALICE, "/mcp")
MANY = (10_000, 2**30)

Make = Callable[..., AuditLog]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes logs on `tmp_path/log` that try again at once, and ends them."""
    monkeypatch.setattr(audit, "RETRY_SECONDS", 0.001)
    made = list[tuple[AuditLog, Disk]]()

    def log(disk: Disk | None = None, most: tuple[int, int] = MANY, shown: str = "digest") -> AuditLog:
        disk = disk or Disk()
        made.append((AuditLog(AuditFile(tmp_path / "log", disk), Lines(shown, KEY), most), disk))  # type: ignore[arg-type]
        return made[-1][0]

    yield log
    for one, disk in made:
        disk.gate.set()
        disk.room = 2**40
        one._dropped.set()
        one.retire()
        assert one._thread is not None
        one._thread.join(WAIT_SECONDS)
        assert not one._thread.is_alive()


def note(log: AuditLog, *numbers: int) -> None:
    for number in numbers:
        assert log.reserve()
        log.write(use(target=str(number)), "success", 0.0, 0.0)


def end(log: AuditLog) -> None:
    log.retire()
    assert log.ended(WAIT_SECONDS)


def targets(path: Path) -> list[int]:
    return [int(line["target"]) for line in lines(path)]


def test_lines_are_written_in_order_and_the_thread_is_gone_at_the_end(make: Make, tmp_path: Path) -> None:
    log = make()
    note(log, *range(1000))
    end(log)
    assert targets(tmp_path / "log") == list(range(1000))
    assert log.gone


def test_what_comes_together_is_written_together(make: Make) -> None:
    disk = Disk()
    log = make(disk)
    note(log, *range(500))
    end(log)
    assert disk.writes < 20


def test_one_line_comes_to_the_file_by_itself(make: Make, tmp_path: Path) -> None:
    note(make(), 1)
    until(lambda: targets(tmp_path / "log") == [1], "the line is written")


def test_a_log_with_nothing_to_do_sleeps(make: Make, tmp_path: Path) -> None:
    log = make()
    note(log, 1)
    until(lambda: targets(tmp_path / "log") == [1] and not log._wake.is_set(), "the line is written, its thread waits")


def test_there_is_no_room_for_more_than_so_many_lines_until_some_are_written(make: Make, tmp_path: Path) -> None:
    disk = Disk(0)
    log = make(disk, (3, 2**30))
    note(log, 0, 1)
    assert log.reserve()  # its line is still to come
    assert not log.reserve()
    until(lambda: disk.refusals, "the disk refuses")
    assert not log.reserve()
    disk.room = 2**40
    until(log.reserve, "there is room again")
    for number in (2, 3):
        log.write(use(target=str(number)), "success", 0.0, 0.0)
    end(log)
    assert targets(tmp_path / "log") == [0, 1, 2, 3]


def test_a_log_that_is_full_says_so_once_until_it_is_written(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.gate.clear()
    log = make(disk, (1, 2**30))
    for times in (1, 2):
        note(log, 0)
        assert not any(log.reserve() for _ in range(5))
        assert caplog.text.count("the audit log is full") == times
        disk.gate.set()
        until(lambda: not log._told_full, "it is written")
        disk.gate.clear()
    disk.gate.set()


def test_there_is_no_room_for_more_than_so_many_bytes(make: Make, tmp_path: Path) -> None:
    disk = Disk(0)
    log = make(disk, (10_000, 2**20), "full")
    assert log.reserve()
    log.write(use(target="0", arguments={"q": "x" * 2**20}), "success", 0.0, 0.0)
    assert not log.reserve()
    disk.room = 2**40
    until(log.reserve, "there is room again")
    log.write(use(target="1"), "success", 0.0, 0.0)
    end(log)
    assert targets(tmp_path / "log") == [0, 1]


@pytest.mark.parametrize("room", [0, 1, 300, 301, 5_000])
def test_a_full_disk_loses_doubles_and_tears_nothing_and_is_told_once(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    disk = Disk(room)
    log = make(disk)
    note(log, *range(100))
    until(lambda: disk.refusals > 3, "it is tried again and again")
    disk.room = 2**40
    end(log)
    assert targets(tmp_path / "log") == list(range(100))
    told = [record for record in caplog.records if "audit file" in record.message]
    assert [record.levelno for record in told] == [logging.ERROR, logging.WARNING]
    assert "No space left" in told[0].message


def test_a_renamed_file_is_left_alone_after_the_word_for_it(make: Make, tmp_path: Path) -> None:
    log, path, rotated = make(), tmp_path / "log", tmp_path / "log.1"
    note(log, 0)
    until(lambda: targets(path) == [0], "the first line is written")
    path.rename(rotated)
    note(log, 1)
    until(lambda: targets(rotated) == [0, 1], "the old file goes on")
    log.reopen()
    until(path.exists, "there is a fresh file")
    note(log, 2)
    end(log)
    assert (targets(rotated), targets(path)) == ([0, 1], [2])


def test_lines_go_on_into_the_old_file_until_a_fresh_one_can_be_opened(make: Make, tmp_path: Path) -> None:
    log, path, rotated = make(), tmp_path / "log", tmp_path / "log.1"
    path.rename(rotated)
    path.mkdir()
    log.reopen()
    note(log, 0)
    until(lambda: targets(rotated) == [0], "the old file goes on")
    path.rmdir()
    until(path.exists, "there is a fresh file")
    note(log, 1)
    end(log)
    assert (targets(rotated), targets(path)) == ([0], [1])


def test_one_that_retires_takes_the_lines_it_has_promised_and_no_others(make: Make, tmp_path: Path) -> None:
    log = make()
    assert log.reserve()
    log.retire()
    assert not log.reserve()
    assert not log.gone
    log.write(use(target="0"), "success", 0.0, 0.0)
    assert log.ended(WAIT_SECONDS)
    assert targets(tmp_path / "log") == [0]


def test_an_end_that_takes_too_long_is_not_waited_for_and_says_what_is_lost(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    disk.gate.clear()
    log = make(disk)
    note(log, 0, 1)
    assert disk.waiting.wait(WAIT_SECONDS)
    log.retire()
    assert not log.ended(0.001)
    assert "ends with 2 lines unwritten" in caplog.text


def test_a_promised_line_that_never_comes_holds_up_no_end_for_good(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    log = make()
    assert log.reserve()
    log.retire()
    assert not log.ended(0.001)
    assert "ends with 1 lines unwritten" in caplog.text
    until(lambda: log.gone, "its thread is gone all the same")


def observed(log: AuditLog | None) -> Observer:
    observer = Observer()
    observer.audit = log
    return observer


def test_each_use_has_its_line_in_the_log_in_which_it_has_its_place(make: Make, tmp_path: Path) -> None:
    first = make()
    observer = observed(first)
    begun = observer.begin("tools/call", {"name": "x"}, CALLER)
    (tmp_path / "log").rename(tmp_path / "old")
    observer.audit = second = make()
    first.retire()
    observer.ended(begun, {})
    observer.failed(observer.begin("tools/call", {"name": "y"}, CALLER), McpError(-32602, "Unknown tool: y"))
    assert first.ended(WAIT_SECONDS)
    end(second)
    assert [line["asked"] for line in lines(tmp_path / "old")] == ["x"]
    assert [(line["asked"], line["outcome"]) for line in lines(tmp_path / "log")] == [("y", "error")]


def test_a_use_that_began_without_a_log_ends_without_one(make: Make, tmp_path: Path) -> None:
    observer = observed(None)
    begun = observer.begin("tools/call", {"name": "x"}, CALLER)
    observer.audit = log = make()
    observer.ended(begun, {})
    end(log)
    assert lines(tmp_path / "log") == []


def test_lists_take_no_place(make: Make) -> None:
    log = make(Disk(0), (1, 2**30))
    observer = observed(log)
    for method in ("tools/list", "resources/list", "completion/complete"):
        observer.ended(observer.begin(method, {}, CALLER), {})
    assert log.reserve()
    log.write(use(), "success", 0.0, 0.0)


def test_a_use_for_whose_line_there_is_no_room_is_refused_and_counted(make: Make) -> None:
    observer = observed(make(Disk(0), (0, 2**30)))
    for method in ("tools/call", "prompts/get", "resources/read"):
        with pytest.raises(Refused) as caught:
            observer.begin(method, {}, CALLER)
        assert (caught.value.code, caught.value.status) == (-31503, 503)
    with pytest.raises(Refused), observer.deciding("resources/subscribe", {}, CALLER):
        pytest.fail("it is refused before it begins")
    assert observer.measures.audit_refused == 4
    assert observer.measures.calls == {}
    observer.ended(observer.begin("tools/list", {}, CALLER), {})
    observer.audit._rouse()  # type: ignore[union-attr]  # the fixture waits for its thread


class BadTracing:
    def begin(self, serving: Serving, method: str) -> None:
        raise RuntimeError


def test_a_fault_before_a_use_begins_takes_no_place(make: Make) -> None:
    log = make(Disk(0), (1, 2**30))
    observer = observed(log)
    observer.tracing = BadTracing()  # type: ignore[assignment]
    token = SERVING.set(Serving(stages=[]))
    try:
        with pytest.raises(RuntimeError):
            observer.begin("tools/call", {}, CALLER)
    finally:
        SERVING.reset(token)
    assert log.reserve()
    log.write(use(), "success", 0.0, 0.0)


def test_a_fault_of_the_counting_costs_no_line(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make()
    observer = observed(log)
    begun = observer.begin("tools/call", {"name": "x"}, CALLER)
    monkeypatch.setattr(observer, "measures", None)
    with pytest.raises(AttributeError):
        observer.ended(begun, {})
    end(log)
    assert len(lines(tmp_path / "log")) == 1


def test_a_decision_beside_requests_has_its_line(make: Make, tmp_path: Path) -> None:
    log = make()
    observer = observed(log)

    def decide(deciding: Use) -> None:
        deciding.found("file:///x", "files")

    with observer.deciding("resources/subscribe", {"uri": "file:///x"}, CALLER) as deciding:
        decide(deciding)
    with pytest.raises(McpError), observer.deciding("resources/subscribe", {"uri": "file:///y"}, CALLER):
        raise McpError(-32602, "not there")
    end(log)
    found = [(line["outcome"], line["target"], line.get("asked")) for line in lines(tmp_path / "log")]
    assert found == [("success", "file:///x", None), ("error", None, "file:///y")]
    assert observer.measures.operations == {}


@pytest.mark.anyio
async def test_lines_of_a_busy_loop_are_made_some_at_a_time_and_in_order(make: Make, tmp_path: Path) -> None:
    log = make()
    note(log, *range(MAX_RECORDS + 3))
    assert len(log._records) == 3  # the first ones are lines already
    end(log)  # makes the others
    assert targets(tmp_path / "log") == list(range(MAX_RECORDS + 3))


@pytest.mark.anyio
async def test_a_line_waits_for_no_other_call(make: Make, tmp_path: Path) -> None:
    log = make()
    note(log, 1)
    await asyncio.to_thread(until, lambda: targets(tmp_path / "log") == [1], "the line is written")
