"""The servers that one part of the axes needs: upstreams and gateways, their configs and cores. Measures nothing."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import calls
import guarded
from processes import Server, StartError, pin, running

HERE = Path(__file__).parent
ONEGATE = Path(sys.executable).with_name("onegate")
TEN_RULES = guarded.RULES["JWT + 10 rules"]
ON_ARGUMENTS = guarded.RULES["one of them on arguments"]
NO_RULES = "allow_all"
ALLOWED = os.sched_getaffinity(0)  # as we were started, wherever we are kept later

Config = dict[str, Any]
Entry = Mapping[str, Any]
Upstreams = Mapping[tuple[str, ...], Server]


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how often; one token lets into every guarded gateway."""

    seconds: int = 1
    rounds: int = 3
    warm_up: int = 1
    stdio_calls: int = 2_000
    starts: int = 5
    sessions: int = 1_000
    pinned: bool = True
    secret: str = field(default_factory=guarded.new_secret, repr=False)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {guarded.token(self.secret)}"}


QUICK = Settings(rounds=1, warm_up=0, stdio_calls=500, starts=1, sessions=200)


def settings(*, quick: bool, pinned: bool) -> Settings:
    return replace(QUICK if quick else Settings(), pinned=pinned and len(ALLOWED) > 1)


class Stage:
    """Starts servers that run until the stage closes."""

    def __init__(self, settings: Settings, stack: ExitStack, upstreams: Upstreams) -> None:
        self.settings = settings
        self._stack = stack
        self._upstreams = dict(upstreams)
        self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._files = 0

    def upstream(self, *options: str) -> Server:
        """The fast HTTP upstream with these options; one for all who want the same."""
        if options not in self._upstreams:
            command = [sys.executable, str(HERE / "fast_upstream.py"), *options]
            self._upstreams[options] = self._launch("upstream", command)
        return self._upstreams[options]

    def gateway(self, config: Config) -> Server:
        """`onegate serve`, listening; whether it is ready the first call tells."""
        if not ONEGATE.exists():
            raise StartError(f"{ONEGATE} is missing: run make install")
        command = [str(ONEGATE), "serve", "-c", str(self.file(config)), "--port", "0"]
        return self._launch("gateway", command)

    def file(self, config: Config) -> Path:
        """A config as a file."""
        path = self._path("config", ".yaml")
        path.write_text(json.dumps(config))
        return path

    def log(self) -> Path:
        """A file for what a server logs."""
        return self._path("server", ".log")

    def place(self, tested: int, *loads: int) -> None:
        """Gives the process under test one core; what it calls and what loads it share another."""
        if self.settings.pinned:
            first, second = cores()
            for pid in (*loads, *(server.pid for server in self._upstreams.values()), *children(tested)):
                pin(pid, {second})
            pin(tested, {first})

    @contextmanager
    def part(self) -> Iterator["Stage"]:
        """A stage that knows this one's upstreams; what is started on it ends with the block."""
        with ExitStack() as stack:
            yield Stage(self.settings, stack, self._upstreams)

    def _launch(self, name: str, command: list[str]) -> Server:
        return self._stack.enter_context(running(name, command, self.log()))

    def _path(self, name: str, suffix: str) -> Path:
        self._files += 1
        return self._scratch / f"{name}-{self._files}{suffix}"


@contextmanager
def open_stage(settings: Settings) -> Iterator[Stage]:
    """A stage whose servers end with the block; our own process may then run where it could before."""
    ours = os.sched_getaffinity(0)
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, ours)
        yield Stage(settings, stack, {})


def http(url: str) -> Entry:
    return {"url": url}


def stdio(*options: str) -> Entry:
    return {"command": sys.executable, "args": [str(HERE / "fast_stdio.py"), *options]}


def open_config(**servers: Entry) -> Config:
    """Nobody is asked who they are, everything is allowed."""
    return {"mcpServers": servers, "admin": {"listen": None}}


def guarded_config(settings: Settings, rules: Mapping[str, list[str]] | None, **servers: Entry) -> Config:
    """Callers need a token; the client of `onegate stdio` counts as one who has it."""
    config: Config = json.loads(guarded.config("http://replaced", settings.secret, rules or {}))
    config["auth"]["stdio"] = {"claims": {"sub": "wrk", "role": "bench"}}
    return {**config, "mcpServers": servers, "policy": rules}


def called(settings: Settings, call: calls.Call) -> calls.Call:
    """The call with the token."""
    return replace(call, headers={**call.headers, **settings.bearer})


def cores() -> tuple[int, int]:
    """The core of the process under test, and that of all others."""
    first, second, *_ = sorted(ALLOWED)
    return first, second


def children(pid: int) -> list[int]:
    """The processes that one has started and that still run."""
    found = (task / "children" for task in Path(f"/proc/{pid}/task").iterdir())
    return [int(child) for path in found if path.exists() for child in path.read_text().split()]
