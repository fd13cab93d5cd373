"""Builds what `telemetry:` asks for, and builds anew what a reload changed; alone knows the whole of it."""

from gateway import logs
from gateway.config import Config
from gateway.telemetry.declared import declared
from gateway.telemetry.observer import Observer
from gateway.telemetry.secrets import Redactor


class Telemetry:
    """What one gateway tells of itself, from its start to its end; reloads go on counting."""

    def __init__(self, config: Config) -> None:
        self.observer = Observer()
        self.redactor = Redactor()
        """Masks in a text what this config, or one before it, declares as secret: for all that people get to read."""
        self.renew(config)
        logs.mask_with(self.redactor.redact)

    def renew(self, config: Config) -> None:
        """Go on under another config."""
        self.redactor.renew(declared(config))
        self.observer.role_claim = config.telemetry.metrics.role_claim
        self.observer.recent.forget(list(config.servers))
