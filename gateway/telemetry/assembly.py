"""Builds what `telemetry:` asks for, and builds anew what a reload changed; alone knows the whole of it."""

from gateway.config import Config
from gateway.telemetry.audit_handover import AuditHandover
from gateway.telemetry.observer import Observer


class Telemetry:
    """What one gateway tells of itself, from its start to its end; reloads go on counting."""

    def __init__(self, config: Config) -> None:
        self.observer = Observer()
        self._audit = AuditHandover()
        self.prepare(config)
        self.renew(config)

    def prepare(self, config: Config) -> None:
        """Open what another config needs, for `renew`. Raises ConfigError, with nothing changed."""
        self._audit.prepare(config)

    def renew(self, config: Config) -> None:
        """Go on under another config, the one that was prepared."""
        self.observer.role_claim = config.telemetry.metrics.role_claim
        self.observer.recent.forget(list(config.servers))
        self.observer.audit = self._audit.take()

    def reopen(self) -> None:
        """Files were renamed; go on in fresh ones."""
        self._audit.reopen()

    def close(self, seconds: float) -> None:
        """Write what is left to write, and wait for that no longer than so long."""
        self._audit.close(seconds)
