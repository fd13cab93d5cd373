"""Opens the audit log that a config asks for, hands over from one to the next at a reload, and ends them all."""

import time
from pathlib import Path
from typing import Final

from gateway.config import Config
from gateway.config_problems import ConfigError, Problem
from gateway.config_telemetry import AuditConfig
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.audit_file import AuditFile, mend, problem_with
from gateway.telemetry.audit_key import KeyProblem, digest_key, key_problem
from gateway.telemetry.audit_line import Lines

KEY: Final = ("telemetry", "audit", "file")
NO_KEY: Final = b""
NONE: Final = AuditConfig()


class AuditHandover:
    """At most one audit log at work, and those before it that still write their last lines."""

    def __init__(self) -> None:
        self.present: AuditLog | None = None
        self._config = NONE
        self._next: tuple[AuditConfig, AuditLog | None] | None = None
        self._leaving: list[AuditLog] = []

    def prepare(self, config: Config) -> None:
        """Open what another config asks for. Raises ConfigError, with nothing changed."""
        self._forget_next()
        wanted = config.telemetry.audit
        if wanted != self._config:
            self._next = wanted, _opened(config)

    def take(self) -> AuditLog | None:
        """Go over to what was prepared: it takes the calls from the next one on, the one before ends after its own."""
        if self._next is not None:
            former, (self._config, self.present) = self.present, self._next
            self._next = None
            if former is not None:
                self._leaving.append(former)
                former.retire()
        self._leaving = [one for one in self._leaving if not one.gone]
        return self.present

    def reopen(self) -> None:
        """The file was renamed; go on in a fresh one."""
        if self.present is not None:
            self.present.reopen()

    def retire(self) -> None:
        """Begin to write what is left; no more comes."""
        self._forget_next()
        for one in self._all():
            one.retire()

    def close(self, seconds: float) -> None:
        """Write what is left, and wait for that no longer than so long."""
        self.retire()
        until = time.monotonic() + seconds
        for one in self._all():
            one.ended(max(0.0, until - time.monotonic()))
        self.present, self._leaving = None, []

    def _all(self) -> list[AuditLog]:
        return [*self._leaving, *([] if self.present is None else [self.present])]

    def _forget_next(self) -> None:
        """What was opened for a config that was not taken after all is closed."""
        if self._next is not None and self._next[1] is not None:
            self._next[1].retire()
        self._next = None


def check_audit(config: Config) -> None:
    """Raise ConfigError when the audit log of a config could not be opened; makes no file."""
    path = _path(config)
    if path is None:
        return
    said = problem_with(path)
    if said is None and config.telemetry.audit.arguments == "digest":
        said = key_problem(path)
    if said is not None:
        raise _error(config, said)


def _opened(config: Config) -> AuditLog | None:
    path = _path(config)
    if path is None:
        return None
    shown = config.telemetry.audit.arguments
    try:
        file = AuditFile(path)
    except OSError as exc:
        raise _error(config, mend(exc)) from exc
    try:
        key = digest_key(path) if shown == "digest" else NO_KEY
    except KeyProblem as exc:
        file.close()
        raise _error(config, str(exc)) from exc
    return AuditLog(file, Lines(shown, key))


def _path(config: Config) -> Path | None:
    name = config.telemetry.audit.file
    if name is None:
        return None
    try:
        if "\0" in name:
            raise ValueError
        return config.folder.absolute() / Path(name).expanduser()
    except (ValueError, RuntimeError):  # the latter: a home that nobody has
        raise _error(config, "is not a path; write one, such as audit.jsonl") from None


def _error(config: Config, text: str) -> ConfigError:
    return ConfigError([Problem(str(config.source), KEY, text)])
