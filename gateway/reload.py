"""When the config is read again, and what of a new one is taken. Decides and watches; what a swap is, the app knows."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.config import Config, check_exposure, load
from gateway.config_problems import ConfigError
from gateway.doors import plan_doors

log = logging.getLogger("onegate.mcp")

POLL_SECONDS: Final = 1.0  # a file that looks the same twice, this far apart, is written to its end
SHOWN_PROBLEMS: Final = 3
FOREVER: Final = ("host", "port")
"""What a running listener keeps: keys of `server`."""

Signature = tuple[int, ...] | None


def refusal(old: Config, new: Config) -> str | None:
    """Why a config must not follow another, None if it may: what closes a gate is not lost by leaving it out."""
    if old.has_policy and not old.allow_all and not new.has_policy:
        return "policy: is gone, which would allow everything; write policy: allow_all if that is meant"
    if old.auth is not None and new.auth is None and not new.says_no_auth:
        return "auth: is gone, which would let anybody in; write auth: {mode: none} if that is meant"
    if old.admin.token and not new.admin.token and "token" not in new.admin.model_fields_set:
        return "admin.token: is gone, which would let anybody look; write token: null if that is meant"
    doors = plan_doors(new)
    for path in old.route_policies:
        if path in doors and path not in new.route_policies:
            return f"routes.{path}.policy: is gone, and the door is not; write allow: ['true'] in it if that is meant"
    if not doors:
        return "server.path: is null, and no other door is left; give it a path, or mend or enable a server"
    return None


def exposed(config: Config, host: str) -> str | None:
    """Why a config must not serve on a host, None if it may."""
    try:
        check_exposure(config, host)
    except ConfigError as exc:
        return first_lines(exc)
    return None


def unchanged(old: Config, new: Config) -> frozenset[str]:
    """The servers whose entries are equal: they keep their processes, connections and sessions."""
    return frozenset(name for name, entry in new.servers.items() if old.servers.get(name) == entry)


def difference(old: Config, new: Config) -> str:
    """What changed, in words for one line of the log."""
    same = unchanged(old, new)
    marks = {
        "+": [name for name in new.servers if name not in old.servers],
        "-": [name for name in old.servers if name not in new.servers],
        "~": [name for name in new.servers if name in old.servers and name not in same],
    }
    servers = [f"{sign}{name}" for sign, names in marks.items() for name in names]
    parts = [f"servers {' '.join(servers)}"] if servers else []
    parts += [key for key, look in SECTIONS.items() if look(old) != look(new)]
    return ", ".join(parts) or "nothing"


SECTIONS: Final[Mapping[str, Callable[[Config], Any]]] = {
    "name": lambda config: config.name,
    "server": lambda config: config.server,
    "routes": lambda config: config.routes,
    "auth": lambda config: (config.auth, config.says_no_auth, config.local),
    "policy": lambda config: (config.policy.said, config.has_policy),
    "rate_limits": lambda config: config.rate_limits,
    "tool_api": lambda config: config.tool_api,
    "telemetry": lambda config: config.telemetry,
    "admin": lambda config: config.admin,
}


def kept_from(old: Config, new: Config) -> list[str]:
    """The keys that changed and hold only after a restart."""
    kept = [f"server.{key}" for key in FOREVER if getattr(old.server, key) != getattr(new.server, key)]
    return kept if old.admin.listen == new.admin.listen else [*kept, "admin.listen"]


def first_lines(error: ConfigError) -> str:
    """The first problems of a config, in one line."""
    said = [str(problem).replace("\n", "; ") for problem in error.problems]
    more = len(said) - SHOWN_PROBLEMS
    return " | ".join(said[:SHOWN_PROBLEMS]) + (f" | and {more} more" if more > 0 else "")


def signature(path: Path) -> Signature:
    """What tells one state of a file from the next; None while there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


async def watch(path: Path, asked: asyncio.Event, reread: Callable[[], Awaitable[None]]) -> None:
    """Call ``reread`` when the file has changed and stays as it is, and at once when ``asked`` is set; never ends."""
    taken = seen = signature(path)
    while True:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await asked.wait()
        except TimeoutError:
            pass
        now = signature(path)
        settled = now == seen and now not in (taken, None)  # an editor may take it away for a moment
        if asked.is_set() or settled:
            asked.clear()
            taken = now
            await reread()
        seen = now


@dataclass(frozen=True, slots=True)
class Reading:
    """How one reading of the config went, for the status page. ``time`` is in seconds since 1970."""

    time: float
    taken: bool
    said: str


class Reader:
    """Reads the config again and hands it on, if it may follow the present one."""

    def __init__(self, present: Callable[[], Config], take: Callable[[Config], None], host: str | None = None) -> None:
        self._present = present
        self._take = take
        self._host = host
        self.latest: Reading | None = None
        """The last reading since the start."""

    async def __call__(self) -> None:
        """Read once; whatever is wrong is said in the log, and the present config serves on."""
        old = self._present()
        try:
            new = await asyncio.to_thread(load, old.source)  # compiling rules takes the loop's time
            wrong = refusal(old, new) or (exposed(new, self._host) if self._host is not None else None)
            if wrong is not None:
                log.error("the new config is refused, the present one serves on: %s: %s", old.source, wrong)
                self._note(False, f"refused: {wrong}")
                return
            changed, later = difference(old, new), kept_from(old, new)
            self._take(new)
        except ConfigError as exc:
            log.error("the new config is refused, the present one serves on: %s", first_lines(exc))
            self._note(False, f"refused: {first_lines(exc)}")
            return
        except Exception:
            log.exception("the new config could not be taken, the present one serves on")
            self._note(False, "it could not be taken, see the log")
            return
        self._note(True, f"changed: {changed}")
        log.info("the config is read again; changed: %s", changed)
        if later and self._host is not None:
            log.warning("%s: holds after a restart", ", ".join(later))
        for line in new.warnings:
            log.warning("%s", line)
        for name, problem in new.disabled.items():
            log.error("%s is disabled: %s", name, problem.replace("\n", "; "), extra={"upstream": name})

    def _note(self, taken: bool, said: str) -> None:
        self.latest = Reading(time.time(), taken, said)
