"""A stdio MCP server for load: `fast_upstream` on a pair of pipes, line in, line out; both eras.

All that one read brings is answered with one write. Knows nothing of the gateway.
"""

import argparse
import os

import orjson
from fast_upstream import VERSION_KEY, Server, failure

READ_BYTES = 2**16


def answer(server: Server, line: bytes) -> bytes:
    """The line that answers a line; nothing for a notification."""
    try:
        message = orjson.loads(line)
        method, params = message["method"], message.get("params") or {}
        modern = VERSION_KEY in params.get("_meta", ())
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return encoded(failure(None, 400, -32600, "Invalid request")[1])
    if "id" not in message:
        return b""
    if method == "initialize":
        return encoded(server.initialize(message["id"])[1])
    by_era = server.modern if modern else server.legacy
    return encoded(by_era(message["id"], method, params)[1])


def encoded(body: object) -> bytes:
    return orjson.dumps(body) + b"\n"


def serve(server: Server, source: int, sink: int) -> None:
    """Answers what comes on one descriptor on the other, until the first ends."""
    rest = b""
    while chunk := os.read(source, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        answers = b"".join(answer(server, line) for line in lines if line)
        while answers:
            answers = answers[os.write(sink, answers) :]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=20)
    parser.add_argument(
        "--payload", type=int, default=0, help="bytes of JSON text that each result has beside the echo"
    )
    options = parser.parse_args()
    serve(Server(options.tools, options.payload), 0, 1)
