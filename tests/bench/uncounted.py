"""onegate without counting, spans and audit lines, which no config can ask for: what they cost is its distance.

Takes the arguments of `onegate`.
"""

import sys
from typing import Any

from gateway.cli import main
from gateway.telemetry.observer import Observer


def tell_nothing(observer: Observer, *what: Any) -> None:
    pass


if __name__ == "__main__":
    for ending in ("ended", "failed"):
        if not callable(getattr(Observer, ending, None)):
            sys.exit(f"Observer has no {ending} any more: this row would measure nothing")
        setattr(Observer, ending, tell_nothing)
    sys.exit(main())
