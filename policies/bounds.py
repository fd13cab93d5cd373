"""What arguments may look like before a rule sees them; pure."""

from typing import Any, Final

MAX_NESTING: Final = 64
MAX_VALUES: Final = 100_000  # walking more takes longer than a decision may hold the event loop


def fault_of(arguments: Any) -> str | None:
    """Say why rules cannot judge these arguments, or None: nesting, number of values, a NUL in a string.

    A program behind the gateway may read a string only up to its NUL, so that it and a rule would see different ones.
    """
    level = [arguments]
    values = 0
    for _ in range(MAX_NESTING + 1):
        below: list[Any] = []
        values += len(level)
        if values > MAX_VALUES:
            return f"more than {MAX_VALUES} values"
        for value in level:
            kind = type(value)
            if kind is str:
                if "\0" in value:
                    return "a NUL in a string"
            elif kind is dict:
                if any("\0" in key for key in value):
                    return "a NUL in a name"
                below.extend(value.values())
            elif kind is list:
                below.extend(value)
        if not below:
            return None
        level = below
    return f"nested more than {MAX_NESTING} deep"
