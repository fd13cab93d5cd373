"""Makes load as wrk with call.lua does, in its form and with its result, for servers with few answers a second.

wrk gives up the calls under way at its end. Of a server that answers 30 a second these are a fifth of all in three
seconds, and the work on them is spent; here each connection ends with its last answer, and the time lasts until then.
Its own cost, a third of a millisecond a call, is nothing beside theirs.
"""

import http.client
import json
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_SECONDS = 20.0


@dataclass(slots=True)
class Seen:
    """What one connection saw; times in seconds."""

    times: list[float] = field(default_factory=list)
    wrong: int = 0
    failed: int = 0


def main(arguments: list[str]) -> None:
    """-cCONNECTIONS -dSECONDSs URL -- BODY EXPECTED [HEADER VALUE]..."""
    connections, seconds, url, _, body, expected, *headers = arguments
    count, length = int(connections.removeprefix("-c")), float(seconds.removeprefix("-d").removesuffix("s"))
    posted = body, expected, dict(zip(headers[::2], headers[1::2], strict=True))
    seen = [Seen() for _ in range(count)]
    begun = time.perf_counter()
    threads = [threading.Thread(target=keep_calling, args=(url, posted, begun + length, one)) for one in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("RESULT " + json.dumps(summary(seen, time.perf_counter() - begun)))


def keep_calling(url: str, posted: tuple[str, str, dict[str, str]], until: float, seen: Seen) -> None:
    """Calls again and again on one connection; the last call begins before `until`."""
    body, expected, headers = posted
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=ANSWER_SECONDS)
    while (begun := time.perf_counter()) < until:
        try:
            connection.request("POST", parts.path, body.encode(), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            seen.failed += 1
            break
        seen.times.append(time.perf_counter() - begun)
        seen.wrong += answer.status != 200 or expected not in text
    connection.close()


def summary(seen: list[Seen], took: float) -> dict[str, int]:
    """Counts, and times in microseconds."""
    times = sorted(value for one in seen for value in one.times) or [0.0]
    return {
        "calls": sum(len(one.times) for one in seen),
        "microseconds": round(took * 1e6),
        "p50": round(statistics.median(times) * 1e6),
        "p99": round(times[min(len(times) - 1, int(len(times) * 0.99))] * 1e6),
        "wrong": sum(one.wrong for one in seen),
        "failed": sum(one.failed for one in seen),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
