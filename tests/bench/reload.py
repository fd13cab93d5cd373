"""1,000 reloads under load: `python tests/bench/reload.py [COUNT]`. Figures, no verdicts."""

import sys
import tempfile
import time
from pathlib import Path

from tests.fixtures.reloads import WORKERS, Storm, storm

WARM_UP = 100  # until pools, caches and the allocator have their size


def main(count: int) -> None:
    """Print failures, and what there is before and after."""
    with tempfile.TemporaryDirectory() as folder, storm(Path(folder)) as under:
        under.reload(WARM_UP)
        _print("before", under)
        start, calls = time.perf_counter(), under.calls
        under.reload(count)
        seconds = time.perf_counter() - start
        calls = under.calls - calls
        _print("after", under)
        print(
            f"{count} reloads in {seconds:.1f} s under {calls} calls of {WORKERS} clients: {len(under.failures)} failed"
        )
        for failure in under.failures[:5]:
            print(" ", failure)


def _print(when: str, under: Storm) -> None:
    left = under.left()
    print(f"{when:>6}: {left.fds} fds, {left.tasks} tasks, {left.views} views, {left.memory} KiB, {left.objects}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
