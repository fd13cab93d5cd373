"""Loads a stdio MCP server as its one client: calls one after another, or some in flight; checks every answer.

`python tests/bench/stdio_load.py [--calls N] [--in-flight M] -- COMMAND...` for one server alone. Knows lines and
JSON-RPC, and nothing of who answers.
"""

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import calls
import orjson

ANSWER_SECONDS = 20.0  # a gateway that has just started may still connect to its upstream
STOP_SECONDS = 10.0
READ_BYTES = 2**20
NOTICE_BYTES = 100  # within them a notification names its method; the answers here have no such word
HELLO = {"protocolVersion": calls.LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}

Message = dict[str, Any]
Form = Callable[[str], Message]


def modern(tool: str) -> Message:
    """The parameters of the call as 2026-07-28 has them."""
    return {**calls.arguments(tool), "_meta": calls.META}


FORMS: dict[str, Form] = {calls.MODERN: modern, calls.LEGACY: calls.arguments}


class StdioClient:
    """The client's end of two pipes; no thread and no loop, so that it costs little beside what it measures."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._from, select.POLLIN)
        self._rest = b""
        self._next = 0

    def request(self, method: str, params: Message) -> Message:
        """Sends one request and gives its result."""
        self._next += 1
        self._write(request(self._next, method, params))
        return checked(orjson.loads(self._line()), {self._next})

    def initialize(self) -> None:
        """Opens a session of 2025-11-25."""
        self.request("initialize", HELLO)
        self._write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def one_by_one(self, params: Message, count: int) -> list[float]:
        """Calls in a row; the seconds that each took."""
        took = []
        for _ in range(count):
            self._next += 1
            line = request(self._next, "tools/call", params)
            start = time.perf_counter()
            self._write(line)
            answer = self._line()
            took.append(time.perf_counter() - start)
            check_call(checked(orjson.loads(answer), {self._next}))
        return took

    def in_flight(self, params: Message, count: int, at_once: int) -> float:
        """The same with some in flight all the time; seconds for all of them."""
        waiting: set[int] = set()
        first, last = self._next + 1, self._next + count
        start = time.perf_counter()
        self._next = min(last, self._next + at_once)
        self._send(range(first, self._next + 1), params, waiting)
        while waiting:
            lines = self._lines()
            for line in lines:
                message = orjson.loads(line)
                check_call(checked(message, waiting))
                waiting.remove(message["id"])
            begin, self._next = self._next + 1, min(last, self._next + len(lines))
            self._send(range(begin, self._next + 1), params, waiting)
        return time.perf_counter() - start

    def _send(self, numbers: range, params: Message, waiting: set[int]) -> None:
        waiting.update(numbers)
        self._write(b"".join(request(number, "tools/call", params) for number in numbers))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._to, data) :]

    def _line(self) -> bytes:
        lines = self._lines()
        if len(lines) != 1:
            raise calls.WrongAnswerError(f"one answer was due, {len(lines)} came")
        return lines[0]

    def _lines(self) -> list[bytes]:
        """The answers that have come, one at least; what a server tells unasked is left out."""
        while True:
            if answers := [line for line in self._read() if not is_notice(line)]:
                return answers

    def _read(self) -> list[bytes]:
        pieces = [self._rest]
        while b"\n" not in pieces[-1]:
            if not self._poll.poll(ANSWER_SECONDS * 1000):
                raise calls.WrongAnswerError(f"no answer within {ANSWER_SECONDS:.0f} s")
            chunk = os.read(self._from, READ_BYTES)
            if not chunk:
                raise calls.WrongAnswerError("the server ended")
            pieces.append(chunk)
        *lines, self._rest = b"".join(pieces).split(b"\n")
        return lines


def request(number: int, method: str, params: Message) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + b"\n"


def is_notice(line: bytes) -> bool:
    """Whether a line is a notification: told by its head alone, as answers are parsed when the time is taken."""
    return b'"method"' in line[:NOTICE_BYTES]


def checked(message: Message, expected: set[int]) -> Message:
    """The result of an answer that was waited for. Raises `WrongAnswerError`."""
    if message.get("id") not in expected or not isinstance(message.get("result"), dict):
        raise calls.WrongAnswerError(f"not the answer that was due: {str(message)[:500]}")
    result: Message = message["result"]
    return result


def check_call(result: Message) -> None:
    """Raises unless the result of the call is right."""
    if result.get("isError") or result["content"][0] != {"type": "text", "text": calls.TEXT}:
        raise calls.WrongAnswerError(f"a wrong answer: {str(result)[:500]}")


@contextmanager
def client(command: Sequence[str], log: Path) -> Iterator[StdioClient]:
    """Runs a server and talks to it until the block ends; its stderr goes to `log`."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0)
    try:
        yield StdioClient(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--tool", default="echo")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with client(options.command, Path(os.devnull)) as server:
        server.initialize()
        took = server.one_by_one(calls.arguments(options.tool), options.calls)
        seconds = server.in_flight(calls.arguments(options.tool), options.calls, options.in_flight)
    figures = {"p50 ms": statistics.median(took) * 1e3, "p99 ms": percentile(took, 0.99) * 1e3}
    print(json.dumps({**figures, f"calls/s, {options.in_flight} in flight": options.calls / seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
