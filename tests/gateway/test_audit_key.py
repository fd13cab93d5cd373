"""The key of the digests: made once, for its owner only, and refused when it is not."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.telemetry.audit_key import KEY_BYTES, KeyProblem, digest_key, key_path, key_problem

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and pipes of POSIX")


def test_it_is_made_once_beside_the_log(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    key = digest_key(log)
    assert len(key) == KEY_BYTES
    assert digest_key(log) == key
    assert [one.name for one in tmp_path.iterdir()] == ["audit.jsonl.key"]
    assert key_problem(log) is None
    assert digest_key(tmp_path / "other") != key


@posix_only
def test_nobody_else_can_read_it_and_one_that_others_can_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    digest_key(log)
    assert stat.S_IMODE(key_path(log).stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o620, 0o777):
        key_path(log).chmod(mode)
        with pytest.raises(KeyProblem, match="chmod 600"):
            digest_key(log)
        assert "chmod 600" in (key_problem(log) or "")


@pytest.mark.parametrize("text", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 64, b"00" * 10_000])
def test_one_that_is_damaged_is_refused_and_kept(tmp_path: Path, text: bytes) -> None:
    log = tmp_path / "log"
    key_path(log).touch(0o600)
    key_path(log).write_bytes(text)
    with pytest.raises(KeyProblem, match="holds no key"):
        digest_key(log)
    assert "holds no key" in (key_problem(log) or "")
    assert key_path(log).read_bytes() == text


def test_processes_that_start_at_once_agree_on_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: digest_key(log), range(32)))
    assert len(keys) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["log.key"]


def test_where_none_can_be_made_it_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="cannot be made"):
        digest_key(tmp_path / "none" / "log")
    (tmp_path / "log.key").mkdir()
    assert "cannot be read" in (key_problem(tmp_path / "log") or "")


@posix_only
def test_a_pipe_has_a_key_that_nobody_keeps(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert digest_key(pipe) != digest_key(pipe)
    assert key_problem(pipe) is None
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
