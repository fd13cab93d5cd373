"""Builds what `telemetry:` asks for, and builds anew what a reload changed; alone knows the whole of it."""

from gateway.config import Config
from gateway.telemetry.observer import Observer


class Telemetry:
    """What one gateway tells of itself, from its start to its end; reloads go on counting."""

    def __init__(self, config: Config) -> None:
        self.observer = Observer()
        self.renew(config)

    def renew(self, config: Config) -> None:
        """Go on under another config."""
        self.observer.role_claim = config.telemetry.metrics.role_claim
        self.observer.recent.forget(list(config.servers))
