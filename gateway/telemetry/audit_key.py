"""The key of the digests in an audit log: beside the log, made once, for its owner only; knows no digest.

Whoever holds it can find out arguments that are easy to guess, so it is refused when others can read it.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
OTHERS: Final = 0o077
NAME: Final = "its key file, of the same name with .key behind it,"


class KeyProblem(Exception):
    """The key file cannot be used; the text says what to do."""


def digest_key(log: Path) -> bytes:
    """The key for a log, made where there is none. Raises `KeyProblem`.

    A log that is no file, such as a pipe, has a key that lives as long as the process.
    """
    if log.exists() and not log.is_file():
        return secrets.token_bytes(KEY_BYTES)
    path = key_path(log)
    try:
        if not path.exists():
            _make(path)
        return read_key(path)
    except OSError as exc:
        raise KeyProblem(f"{NAME} cannot be made or read: {exc.strerror or exc}") from exc


def read_key(path: Path) -> bytes:
    """The key in a file. Raises `KeyProblem`, or OSError."""
    with path.open("rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & OTHERS:
            raise KeyProblem(f"{NAME} is open to others than its owner; take these rights away: chmod 600")
        text = file.read(4 * KEY_BYTES)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyProblem(f"{NAME} holds no key of {2 * KEY_BYTES} hex digits; restore it, or remove it for a new one")
    return key


def key_problem(log: Path) -> str | None:
    """Why the key of a log cannot be used, None if it can be, or can be made; makes nothing."""
    path = key_path(log)
    if not path.exists() or (log.exists() and not log.is_file()):
        return None
    try:
        read_key(path)
    except KeyProblem as exc:
        return str(exc)
    except OSError as exc:
        return f"{NAME} cannot be read: {exc.strerror or exc}"
    return None


def key_path(log: Path) -> Path:
    """Where the key of a log is."""
    return log.with_name(f"{log.name}.key")


def _make(path: Path) -> None:
    """Make a key file whole or not at all, also where two processes start at once: the first one's stays."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
