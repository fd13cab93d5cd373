"""The file under the audit log: opened to append, written in batches, opened anew for a rotation.

It blocks, so only the log's own thread writes here. It knows bytes that end in line breaks, not what they say.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

Write = Callable[[int, memoryview], int]

OWNER_ONLY: Final = 0o600
# O_NONBLOCK: not to wait for a reader where the file is a pipe. Windows has only the last, and would add bytes.
FLAGS: Final = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

MENDS: Final = {
    errno.ENOENT: "its folder is not there; make it, or name another file",
    errno.ENOTDIR: "its folder is no folder; name another file",
    errno.EISDIR: "is a folder; name a file in it",
    errno.EACCES: "this user may not write it; change its owner or mode, or name another file",
    errno.EPERM: "this user may not write it; change its owner or mode, or name another file",
    errno.EROFS: "lies on a file system that is read-only; name another file",
    errno.ENXIO: "is a pipe that nobody reads; start its reader first",
}


class AuditFile:
    """One file, open from the start. No line in it is torn, doubled or lost, however often writing fails."""

    def __init__(self, path: Path, write: Write = os.write) -> None:
        """Raises OSError."""
        self._path = path
        self._write = write
        self._fd = open_to_append(path)
        self._batch, self._done = b"", 0

    @property
    def path(self) -> Path:
        """Where it is, or was before it was renamed."""
        return self._path

    def put(self, batch: bytes) -> None:
        """Take whole lines to write, where nothing is left of those before."""
        assert not self._batch
        self._batch, self._done = batch, 0

    def flush(self) -> None:
        """Write what is left. Raises OSError; then it goes on where it stopped when it is called again."""
        view = memoryview(self._batch)
        while self._done < len(view):
            count = self._write(self._fd, view[self._done :])
            if count <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._done += count
        self._batch, self._done = b"", 0

    def reopen(self) -> None:
        """Go on in the file that now has the name. Raises OSError, and goes on in the old one."""
        fresh = open_to_append(self._path)
        torn = self._done - (self._batch.rfind(b"\n", 0, self._done) + 1)
        if torn:  # one line is half written, and is written whole in the fresh file
            with suppress(OSError):
                _cut(self._fd, torn)
            self._done -= torn
        self.close()
        self._fd = fresh

    def close(self) -> None:
        """Close it with all that was written on disk."""
        with suppress(OSError):  # a pipe has no disk
            os.fsync(self._fd)
        with suppress(OSError):
            os.close(self._fd)


def open_to_append(path: Path) -> int:
    """Open a file at the beginning of a line, and make one that only its owner reads if there is none."""
    fd = os.open(path, FLAGS | os.O_CREAT, OWNER_ONLY)
    try:
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(fd, True)  # that was for opening it: the thread that writes may wait
        if stat.S_ISREG(os.fstat(fd).st_mode) and not _ends_whole(path):
            os.write(fd, b"\n")  # whoever wrote there before was ended in the middle of a line
    except BaseException:
        os.close(fd)
        raise
    return fd


def problem_with(path: Path) -> str | None:
    """Why a file could not be opened to append, None if it could; makes nothing."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return MENDS[errno.EISDIR]
        if stat.S_ISREG(mode):  # to open and close a pipe would be its end to whoever reads it
            os.close(os.open(path, FLAGS))
    except FileNotFoundError:
        if not path.parent.is_dir():
            return MENDS[errno.ENOENT]
        return None if os.access(path.parent, os.W_OK | os.X_OK) else MENDS[errno.EACCES]
    except OSError as exc:
        return mend(exc)
    return None


def mend(error: OSError) -> str:
    """What is wrong with the file, and what to do."""
    return MENDS.get(error.errno or 0, f"cannot be opened: {error.strerror or error}")


def _ends_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END) == 0 or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")
    except OSError:  # it may be written but not read
        return True


def _cut(fd: int, count: int) -> None:
    """Take the last bytes away again, if nobody else has written after them."""
    end = os.lseek(fd, 0, os.SEEK_CUR)
    if os.fstat(fd).st_size == end:
        os.ftruncate(fd, end - count)
