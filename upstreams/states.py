"""The life of an upstream as one literal table."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where an upstream is. Only READY takes calls."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # until the next attempt
    RESTING = "resting"  # too many attempts in a minute
    STOPPED = "stopped"


TRANSITIONS: Final = {
    (State.STARTING, "up"): State.READY,
    (State.STARTING, "down"): State.WAITING,
    (State.STARTING, "crowded"): State.RESTING,
    (State.READY, "down"): State.WAITING,
    (State.READY, "crowded"): State.RESTING,
    (State.WAITING, "retry"): State.STARTING,
    (State.RESTING, "retry"): State.STARTING,
    (State.STARTING, "stop"): State.STOPPED,
    (State.READY, "stop"): State.STOPPED,
    (State.WAITING, "stop"): State.STOPPED,
    (State.RESTING, "stop"): State.STOPPED,
    (State.STOPPED, "stop"): State.STOPPED,
}
"""An unknown pair is a fault of the supervisor and raises KeyError."""
