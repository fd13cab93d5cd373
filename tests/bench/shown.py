"""How figures of one process are printed; each name ends in its unit."""

from collections.abc import Mapping


def show(figures: Mapping[str, float]) -> None:
    """One line for each."""
    for name, value in figures.items():
        what, _, unit = name.rpartition(", ")
        print(f"{what:62}{value:10.2f} {unit}")
