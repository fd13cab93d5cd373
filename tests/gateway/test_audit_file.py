"""How the file under the audit log is opened, written and rotated, also on a disk that is full."""

import errno
import os
import stat
from pathlib import Path

import pytest

from gateway.telemetry.audit_file import AuditFile, mend, open_to_append, problem_with
from tests.fixtures.audit import Disk

BATCH = b"first\nsecond\nthird\n"

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and pipes of POSIX")


def flush(file: AuditFile) -> bool:
    try:
        file.flush()
    except OSError:
        return False
    return True


@posix_only
def test_a_new_file_is_its_owners_only_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("line\n")
    old.chmod(0o644)
    for name in ("new", "old"):
        AuditFile(tmp_path / name).close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    assert stat.S_IMODE(old.stat().st_mode) == 0o644


def test_it_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for _ in range(2):
        file = AuditFile(path)
        file.put(BATCH)
        file.flush()
        file.close()
    assert path.read_bytes() == BATCH * 2


def test_a_line_that_another_run_left_unfinished_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntor")
    file = AuditFile(path)
    file.put(b"two\n")
    file.flush()
    file.close()
    assert path.read_bytes() == b"one\ntor\ntwo\n"


def test_a_batch_is_one_write(tmp_path: Path) -> None:
    disk = Disk()
    file = AuditFile(tmp_path / "log", disk)
    file.put(BATCH)
    file.flush()
    file.close()
    assert disk.writes == 1


@pytest.mark.parametrize("most", range(1, len(BATCH) + 1))
@pytest.mark.parametrize("room", range(len(BATCH) + 1))
def test_wherever_the_disk_is_full_the_rest_follows_once(tmp_path: Path, room: int, most: int) -> None:
    path = tmp_path / "log"
    disk = Disk(room, most)
    file = AuditFile(path, disk)
    file.put(BATCH)
    assert flush(file) == (room == len(BATCH))
    flush(file)
    assert path.read_bytes() == BATCH[:room]
    disk.room = len(BATCH)
    file.flush()
    file.close()
    assert path.read_bytes() == BATCH


@pytest.mark.parametrize("room", range(len(BATCH)))
def test_a_rotation_on_a_full_disk_tears_no_line(tmp_path: Path, room: int) -> None:
    path, rotated = tmp_path / "log", tmp_path / "log.1"
    disk = Disk(room)
    file = AuditFile(path, disk)
    file.put(BATCH)
    assert not flush(file)
    path.rename(rotated)
    file.reopen()
    disk.room = len(BATCH)
    file.flush()
    file.close()
    assert rotated.read_bytes() + path.read_bytes() == BATCH
    assert rotated.read_bytes() in (b"", b"first\n", b"first\nsecond\n")


def test_a_torn_line_stays_where_another_process_has_written_after_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    disk = Disk(3)
    file = AuditFile(path, disk)
    file.put(BATCH)
    assert not flush(file)
    with path.open("ab") as other:
        other.write(b"\nother\n")
    file.reopen()
    disk.room = len(BATCH)
    file.flush()
    file.close()
    assert path.read_bytes() == b"fir\nother\n" + BATCH


def test_where_no_fresh_file_can_be_opened_the_old_one_goes_on(tmp_path: Path) -> None:
    path, folder = tmp_path / "folder" / "log", tmp_path / "folder"
    folder.mkdir()
    file = AuditFile(path)
    folder.rename(tmp_path / "gone")
    with pytest.raises(OSError, match="No such file"):
        file.reopen()
    file.put(BATCH)
    file.flush()
    file.close()
    assert (tmp_path / "gone" / "log").read_bytes() == BATCH


def test_a_file_that_cannot_be_opened_is_named_with_a_mend_and_looking_makes_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, said in {"": "is a folder", "none/log": "folder is not there", "file/log": "is no folder"}.items():
        path = tmp_path / name
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is said by its mend
            open_to_append(path)
        assert said in mend(caught.value)
        assert problem_with(path) == mend(caught.value)
    assert problem_with(tmp_path / "new") is None
    assert problem_with(tmp_path / "file") is None
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_file_of_somebody_else_is_named_with_a_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "open", refused)  # root is refused nothing
    assert "may not write it" in (problem_with(tmp_path / "file") or "")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not write it" in (problem_with(tmp_path / "new") or "")


@posix_only
def test_a_pipe_that_nobody_reads_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is said by its mend
        AuditFile(path)
    assert "nobody reads" in mend(caught.value)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert problem_with(path) is None
        file = AuditFile(path)
        file.put(BATCH)
        file.flush()
        file.close()
        assert os.read(reader, 100) == BATCH
    finally:
        os.close(reader)
