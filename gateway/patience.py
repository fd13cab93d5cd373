"""How long requests wait for servers that are still making their first connection; knows nothing of what they ask."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from upstreams.upstream import Upstream

log = logging.getLogger("onegate.mcp")


class Patience:
    """Runs out ``seconds`` after `begin`, for all who wait at once, or when every server has made its first attempt."""

    def __init__(self, upstreams: Mapping[str, Upstream], seconds: float) -> None:
        self._upstreams = upstreams
        self._seconds = seconds
        self._deadline: float | None = None
        self._over = False

    def begin(self) -> None:
        """The servers are being started."""
        self._deadline = asyncio.get_running_loop().time() + self._seconds

    def extend(self, former: "Patience") -> None:
        """Last at least as long as another that began earlier."""
        if former.lasts and former._deadline is not None and self._deadline is not None:
            self._deadline = max(self._deadline, former._deadline)

    @property
    def lasts(self) -> bool:
        """Whether some server may still make its first connection in time for a waiting request."""
        if not self._over and self._deadline is not None:
            self._over = all(one.settled.is_set() for one in self._upstreams.values())
            if asyncio.get_running_loop().time() >= self._deadline:
                self._give_up()
        return not self._over

    async def attempted(self, names: Iterable[str]) -> None:
        """Wait until each of these servers is up or has failed."""
        if self._deadline is None:
            return
        try:
            async with asyncio.timeout_at(self._deadline):
                for name in names:
                    await self._upstreams[name].settled.wait()
        except TimeoutError:
            self._give_up()

    def _give_up(self) -> None:
        if not self._over:
            self._over = True
            missing = ", ".join(name for name, one in self._upstreams.items() if not one.settled.is_set())
            log.warning("lists go without %s, still connecting; clients are told when more comes", missing)
