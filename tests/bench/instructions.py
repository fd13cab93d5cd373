"""Counts the instructions that one call takes within the gateway; seconds differ from hour to hour, these hardly do.

`PYTHONPATH=. python tests/bench/instructions.py [--calls N] [--connections N]`. Needs valgrind; takes a quarter of a
minute. The gateway runs in one process with JWT, ten rules and metrics. Client and upstream are played where its
sockets would be, so what the kernel and the waiting cost is not in the count; what plays them is.
"""

import argparse
import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import calls
import fast_upstream
import guarded
import orjson
import uvicorn
import uvloop
from uvicorn.server import ServerState

from gateway.app import Gateway
from gateway.config import load
from gateway.transports.limits import LimitedProtocol
from gateway.transports.server import HttpServer
from upstreams.link import Link
from upstreams.pool import Pool

UPSTREAM = "http://127.0.0.1:9/mcp"  # nobody is asked there
HOST = "127.0.0.1:8080"
TOOL = "fast_echo"
WARM_UP = 500
SUMMARY = re.compile(r"^summary: (\d+)$", re.MULTILINE)
RIGHT = calls.TEXT.encode()

Write = Callable[[bytes], None]


class Wire(asyncio.Transport):
    """A transport that gives what is written to somebody who plays the other side."""

    def __init__(self, write: Write) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.write = write  # type: ignore[assignment,method-assign]

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        """Nobody is there."""

    abort = pause_reading = resume_reading = close


class Played:
    """A gateway between a client and an upstream that are played: calls go round until enough are answered."""

    def __init__(self, server: HttpServer, bearer: str) -> None:
        self._loop = asyncio.get_running_loop()
        call = calls.modern(f"http://{HOST}/mcp", TOOL)
        headers = {"Host": HOST, "Content-Length": len(call.body), **call.headers, "Authorization": f"Bearer {bearer}"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._request = f"POST /mcp HTTP/1.1\r\n{lines}\r\n{call.body}".encode()
        self._config = uvicorn.Config(
            server, interface="asgi3", http=LimitedProtocol, lifespan="off", ws="none", log_config=None
        )
        self._config.load()
        self._left = self.right = 0
        self._done = asyncio.Event()
        self._clients: list[LimitedProtocol] = []

    async def call(self, count: int, connections: int) -> None:
        """So many calls, each connection sending its next one when the one before is answered."""
        while len(self._clients) < connections:
            self._clients.append(self._connect())
        self._left = count
        self._done.clear()
        for client in self._clients[:connections]:
            client.data_received(self._request)
        await self._done.wait()

    def _connect(self) -> LimitedProtocol:
        protocol = LimitedProtocol(self._config, ServerState(), {})

        def take(answer: bytes) -> None:
            self.right += answer.startswith(b"HTTP/1.1 200 ") and RIGHT in answer
            self._left -= 1
            if self._left >= len(self._clients):
                self._loop.call_soon(protocol.data_received, self._request)
            elif not self._left:
                self._done.set()

        protocol.connection_made(Wire(take))
        return protocol


async def upstream_link(pool: Pool) -> Link:
    """A connection to an upstream that answers at once; stands for connecting."""
    link, server, loop = Link(pool.give_back), fast_upstream.Server(20), asyncio.get_running_loop()

    def take(data: bytes) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        status, answer, _ = server.answer(body, headers)
        text = orjson.dumps(answer)
        form = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        loop.call_soon(link.data_received, form % (status, len(text), text))

    link.connection_made(Wire(take))
    return link


async def play(count: int, connections: int, begin: Callable[[], None], end: Callable[[], None]) -> int:
    """Makes the calls between ``begin`` and ``end``; returns how many were answered right."""
    with tempfile.TemporaryDirectory() as folder:
        config, secret = Path(folder) / "config.json", guarded.new_secret()
        config.write_text(guarded.config(UPSTREAM, secret, guarded.RULES[guarded.TEN]))
        gateway = Gateway(load(config, {}))
        server = HttpServer(gateway, "127.0.0.1", 0)
        with patch.object(Pool, "_connect_to_any", upstream_link):
            async with gateway.running():
                for upstream in gateway.upstreams.values():
                    await upstream.settled.wait()
                played = Played(server, guarded.token(secret))
                await played.call(WARM_UP, connections)
                played.right = 0
                gc.collect()
                gc.disable()
                begin()
                await played.call(count, connections)
                end()
                gc.enable()
                return played.right


def control(*options: str) -> None:
    """Tells callgrind, within which this process runs."""
    subprocess.run(["callgrind_control", *options, str(os.getpid())], check=True, capture_output=True)


def count(options: argparse.Namespace) -> float:
    """Instructions per call, from a run of this file within callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        again = [
            sys.executable,
            __file__,
            "--inside",
            f"--calls={options.calls}",
            f"--connections={options.connections}",
        ]
        subprocess.run([*tool, *again], check=True, timeout=600, env={**os.environ, "PYTHONHASHSEED": "0"})
        found = [int(number) for file in Path(folder).iterdir() for number in SUMMARY.findall(file.read_text())]
        return max(found) / options.calls


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        begin, end = partial(control, "-i", "on"), partial(control, "-d")
        return 0 if uvloop.run(play(options.calls, options.connections, begin, end)) == options.calls else 1
    if shutil.which("valgrind") is None:
        print("valgrind is missing: it counts the instructions", file=sys.stderr)
        return 2
    print(f"{count(options):,.0f} instructions a call, over {options.connections} connections")
    return 0


if __name__ == "__main__":
    sys.exit(main())
