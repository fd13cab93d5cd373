"""Pure: figures of the status in the words that people read, on the page and at the command line."""

from collections.abc import Mapping
from typing import Any, Final

Document = Mapping[str, Any]

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """A time span in its two largest units: `3 d 4 h`, `5 min 2 s`, `0 s`."""
    rest = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in UNITS:
        count, rest = divmod(rest, size)
        if parts or count:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"


def milliseconds(value: float | None) -> str:
    """`0.42`, `17`, or nothing."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def protocols(upstream: Document) -> str:
    """The versions that are spoken with an upstream, each with its era."""
    return " ".join(f"{one['version']} ({one['era']})" for one in upstream["protocols"])


def condition(gateway: Document) -> str:
    """`ready`, or what keeps the gateway from it."""
    if gateway["ready"]:
        return "ready"
    return "not ready: " + ", ".join(gateway["not_ready_because"])


def reloaded(gateway: Document) -> str:
    """How the last reload went."""
    reading = gateway["reload"]
    return "never reloaded" if reading is None else f"{reading['said']} ({clock(reading['time'])})"


def clock(moment: str) -> str:
    """The time of day of a moment of the document, in UTC."""
    return f"{moment[11:19]} UTC"
