"""An upstream that is a local program: JSON-RPC lines over its stdin and stdout (MCP 2025-11-25, basic/transports)."""

import logging
from collections.abc import Mapping
from typing import Any

from upstreams.config import ServerEntry
from upstreams.connection import Call, Wiring
from upstreams.duplex import Duplex
from upstreams.process import ChildProcess, child_environment

log = logging.getLogger("onegate.upstream")


class StdioConnection:
    """A child process and the messages on its pipes."""

    def __init__(self, wiring: Wiring) -> None:
        self._name = wiring.name
        self._duplex = Duplex(wiring, self._send, self._bad_line)
        self._child: ChildProcess | None = None

    @classmethod
    async def start(cls, entry: ServerEntry, wiring: Wiring) -> "StdioConnection":
        """Start the program; raises `ConnectionLost` with the reason when it cannot be started."""
        self = cls(wiring)
        assert entry.command is not None
        self._child = await ChildProcess.start(
            [entry.command, *entry.args],
            env=child_environment(entry.env, entry.env_pass),
            cwd=entry.cwd,
            on_line=self._duplex.receive,
            on_exit=self._duplex.lost,
            max_line=wiring.max_message,
        )
        return self

    @property
    def pid(self) -> int | None:
        """The process id, for people and for tests."""
        return self._child.pid if self._child else None

    def stderr_tail(self) -> list[str]:
        """The last lines that the program wrote to stderr, escaped."""
        return self._child.stderr_tail() if self._child else []

    async def request(self, call: Call) -> dict[str, Any]:
        """See `Connection.request`."""
        return await self._duplex.request(call)

    async def notify(self, method: str, params: dict[str, Any], headers: Mapping[str, str]) -> None:
        """See `Connection.notify`."""
        await self._duplex.notify(method, params)

    async def close(self) -> None:
        """Stop the program: close stdin, then ask, then force."""
        if self._child is not None:
            await self._child.stop()

    def kill(self) -> None:
        """End the program and its group now: the signal that it can still obey, and 0.3 s later the other."""
        if self._child is not None:
            self._child.hurry()

    async def _send(self, data: bytes) -> None:
        assert self._child is not None
        self._child.write(data)

    def _bad_line(self) -> None:
        if self._child is None:
            return
        self._child.count_bad_line()
        if self._child.bad_lines == 1:  # the first one tells it all, and what it says may be a secret
            log.warning(
                "%s wrote a line to its stdout that is no message; what it logs belongs on its stderr",
                self._name,
                extra={"upstream": self._name},
            )
