"""Which audit log a config gets, how one follows another, and what keeps a config from being taken."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, load
from gateway.config_problems import ConfigError
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.audit_handover import AuditHandover, check_audit
from tests.fixtures.audit import Disk, lines, use
from tests.fixtures.waiting import until

Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Loads a config with this audit section, out of a folder of its own."""

    def config(**section: Any) -> Config:
        folder = tmp_path / "etc"
        folder.mkdir(exist_ok=True)
        file = folder / "onegate.yaml"
        file.write_text(json.dumps({"mcpServers": {"a": {"command": "x"}}, "telemetry": {"audit": section}}))
        return load(file, {})

    return config


@pytest.fixture
def handover() -> Iterator[AuditHandover]:
    one = AuditHandover()
    yield one
    one.close(10.0)


def taken(handover: AuditHandover, config: Config) -> AuditLog:
    handover.prepare(config)
    log = handover.take()
    assert log is not None
    return log


def note(log: AuditLog) -> None:
    assert log.reserve()
    log.write(use(), "success", 0.0, 0.0)


def test_without_a_file_there_is_no_log(handover: AuditHandover, read: Read) -> None:
    handover.prepare(read())
    assert handover.take() is None
    handover.reopen()


def test_a_file_is_found_from_the_config(handover: AuditHandover, read: Read, tmp_path: Path) -> None:
    note(taken(handover, read(file="audit.jsonl")))
    handover.close(10.0)
    assert len(lines(tmp_path / "etc" / "audit.jsonl")) == 1
    taken(handover, read(file=str(tmp_path / "elsewhere")))
    assert (tmp_path / "elsewhere").exists()


def test_only_digests_need_a_key(handover: AuditHandover, read: Read, tmp_path: Path) -> None:
    taken(handover, read(file="full", arguments="full"))
    taken(handover, read(file="none", arguments="none"))
    assert list(tmp_path.rglob("*.key")) == []
    taken(handover, read(file="log"))
    assert [path.name for path in tmp_path.rglob("*.key")] == ["log.key"]


def test_a_config_that_says_the_same_keeps_its_log(handover: AuditHandover, read: Read) -> None:
    log = taken(handover, read(file="log"))
    assert taken(handover, read(file="log", arguments="digest")) is log
    assert log.reserve()
    log.write(use(), "success", 0.0, 0.0)


def test_the_next_log_takes_over_and_the_former_ends_after_its_own_calls(
    handover: AuditHandover, read: Read, tmp_path: Path
) -> None:
    first = taken(handover, read(file="first"))
    assert first.reserve()
    second = taken(handover, read(file="second"))
    note(second)
    assert not first.reserve()
    assert not first.gone
    first.write(use(), "success", 0.0, 0.0)
    until(lambda: first.gone, "the former one has ended")
    handover.close(10.0)
    assert [len(lines(tmp_path / "etc" / name)) for name in ("first", "second")] == [1, 1]


def test_digests_are_the_same_after_a_restart(read: Read, tmp_path: Path) -> None:
    for handover in (AuditHandover(), AuditHandover()):
        note(taken(handover, read(file="log")))
        handover.close(10.0)
    assert len({line["arguments_digest"] for line in lines(tmp_path / "etc" / "log")}) == 1


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"file": "none/log"}, "its folder is not there; make it"),
        ({"file": "."}, "is a folder; name a file in it"),
        ({"file": "a\0b"}, "is not a path"),
        ({"file": "~nobody-of-this-name/log"}, "is not a path"),
        ({"file": "damaged"}, "holds no key"),
    ],
    ids=["folder", "directory", "nul", "home", "key"],
)
def test_one_that_cannot_be_opened_is_named_with_its_key_and_changes_nothing(
    handover: AuditHandover, read: Read, tmp_path: Path, section: Any, said: str
) -> None:
    log, wrong = taken(handover, read(file="log")), read(**section)
    (tmp_path / "etc" / "damaged.key").touch(0o600)
    for refuse in (handover.prepare, check_audit):
        with pytest.raises(ConfigError, match=rf"onegate.yaml: telemetry.audit.file: .*{said}"):
            refuse(wrong)
    assert handover.take() is log
    note(log)


def test_a_check_makes_no_file(read: Read, tmp_path: Path) -> None:
    for section in ({}, {"file": "log"}, {"file": "log", "arguments": "full"}):
        check_audit(read(**section))
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["onegate.yaml"]


def test_what_was_opened_for_a_config_that_is_not_taken_is_closed(handover: AuditHandover, read: Read) -> None:
    log = taken(handover, read(file="log"))
    handover.prepare(read(file="next"))
    assert handover._next is not None
    dropped = handover._next[1]
    handover.prepare(read(file="log"))
    assert handover.take() is log
    assert dropped is not None
    until(lambda: dropped.gone, "it is closed")


def test_after_the_end_nothing_goes_by_unwritten(handover: AuditHandover, read: Read) -> None:
    log = taken(handover, read(file="log"))
    handover.close(10.0)
    assert log.gone
    assert not log.reserve()


def test_an_end_waits_for_a_disk_no_longer_than_it_may(
    handover: AuditHandover, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    log, disk = taken(handover, read(file="log")), Disk()
    disk.gate.clear()
    log._file._write = disk
    note(log)
    handover.close(0.001)
    assert "ends with 1 lines unwritten" in caplog.text
    disk.gate.set()
