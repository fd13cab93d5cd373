"""The admin listener of one gateway: takes its address where it can, follows reloads, and ends after the doors do."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.admin import Admin, Metrics
from gateway.admin_gate import Gate
from gateway.config_telemetry import address
from gateway.status import Source
from gateway.transports.listener import Listener

log = logging.getLogger("onegate.http")

CLOSE_SECONDS: Final = 1  # every answer is ready at once; only a slow reader takes longer


class CannotListen(OSError):
    """The address that the config names cannot be had."""


class AdminServer:
    """Serves nothing where `admin.listen` is null, or where its default is taken by another program."""

    def __init__(self, source: Source, metrics: Metrics) -> None:
        self._source = source
        self._metrics = metrics
        self._gate: Gate | None = None
        self._listener: Listener | None = None

    def bind(self) -> str | None:
        """Take the address; returns the URL. Raises `CannotListen` for one that the config names."""
        gateway = self._source.gateway
        listen = gateway.config.admin.listen
        if listen is None:
            return None
        host, port = address(listen)
        self._gate = Gate(gateway.config, host)
        listener = Listener(Admin(self._source, self._gate, self._metrics), host, port, CLOSE_SECONDS)
        try:
            url = listener.bind()
        except OSError as exc:
            said = f"the admin listener cannot have {listen}: {exc.strerror or exc}"
            if gateway.config.says_admin:
                raise CannotListen(exc.errno, said) from exc
            log.warning("%s; metrics and status are off, see admin.listen", said)
            return None
        self._listener = listener
        gateway.renewed.append(self._renew)
        log.info("status and metrics on %s/status", url)
        return url

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve within the block."""
        if self._listener is None:
            yield
            return
        async with self._listener.serving():
            yield

    def _renew(self) -> None:
        assert self._gate is not None
        if not self._gate.renew(self._source.gateway.config):
            log.warning("admin.token is gone, and other machines reach the listener: it holds until a restart")
