"""Loads rows in turn, round by round; knows not what is compared."""

from collections.abc import Sequence

from axes_stage import Stage
from loading import Figures, Row, load


def interleaved(rows: Sequence[Row], stage: Stage) -> dict[str, list[Figures]]:
    """One load of each row per round, after a warm-up, so that a disturbance of the machine hits all alike.

    Every other round goes backwards: a row then gains nothing by the one that it follows.
    """
    settings = stage.settings
    if settings.warm_up:
        for row in rows:
            load(row, stage.upstreams, settings.warm_up, settings.pinned)
    rounds: dict[str, list[Figures]] = {row.name: [] for row in rows}
    for number in range(settings.rounds):
        for row in reversed(rows) if number % 2 else rows:
            rounds[row.name].append(load(row, stage.upstreams, settings.seconds, settings.pinned))
    return rounds
