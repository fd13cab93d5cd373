"""The servers that one part of the axes needs: upstreams and gateways, their configs and cores. Measures nothing."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import calls
import guarded
from loading import HERE
from processes import ALLOWED, Server, StartError, descendants, place, running

ONEGATE = Path(sys.executable).with_name("onegate")
TEN_RULES = guarded.RULES[guarded.TEN]
ON_ARGUMENTS = guarded.RULES[guarded.ARGUMENTS]
NO_RULES = "allow_all"

Config = dict[str, Any]
Entry = Mapping[str, Any]
Upstreams = Mapping[tuple[str, ...], Server]


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how often; one token lets into every guarded gateway."""

    seconds: int = 1
    rounds: int = 3
    warm_up: int = 1
    pair_rounds: int = 8
    pair_seconds: int = 2
    stdio_calls: int = 2_000
    starts: int = 5
    sessions: int = 1_000
    pinned: bool = True
    secret: str = field(default_factory=guarded.new_secret, repr=False)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {guarded.token(self.secret)}"}


QUICK = Settings(rounds=1, warm_up=0, pair_rounds=2, pair_seconds=1, stdio_calls=500, starts=1, sessions=200)


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
        return self.script("fast_upstream.py", *options)

    def script(self, *command: str) -> Server:
        """A program of ours that stands for a server of others; one for all who want the same."""
        if command not in self._upstreams:
            program, *options = command
            self._upstreams[command] = self._launch(program, [sys.executable, str(HERE / program), *options])
        return self._upstreams[command]

    @property
    def upstreams(self) -> Sequence[Server]:
        """Those that run."""
        return list(self._upstreams.values())

    def gateway(self, config: Config, program: Sequence[str] = (str(ONEGATE),)) -> Server:
        """`onegate serve`, listening; whether it is ready the first call tells."""
        if not ONEGATE.exists():
            raise StartError(f"{ONEGATE} is missing: run make install")
        return self._launch("gateway", [*program, "serve", "-c", str(self.file(config)), "--port", "0"])

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
            place([tested], [*loads, *(server.pid for server in self.upstreams), *descendants(tested)])

    @contextmanager
    def part(self, rounds: int | None = None) -> Iterator["Stage"]:
        """A stage that knows this one's upstreams; what is started on it ends with the block."""
        settings = self.settings if rounds is None else replace(self.settings, rounds=rounds)
        with ExitStack() as stack:
            yield Stage(settings, stack, self._upstreams)

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
