"""What operators see of a running gateway, as one JSON-able dict. Pure: it reads, and changes nothing.

It takes nothing out of entries but names and kinds: no command, environment, header, URL or argument is in it. Texts
that come from elsewhere go through ``redact`` and have what is not printable spelled out.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gateway.logs import escaped
from gateway.telemetry.measures import STATUSES, Measures
from gateway.telemetry.recent import Event, Recent
from upstreams.upstream import Upstream

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.catalog import Door
    from gateway.reload import Reading

Document = dict[str, Any]
Redact = Callable[[str], str]

LISTED: Final = ("tools", "prompts", "resources", "templates")
SHARES: Final = (0.5, 0.99)
DENIALS: Final = frozenset({"denied", "rate_limited"})
FAULTS: Final = frozenset({"error", "timeout", "unavailable"})
"""What counts as an upstream's error; a refusal of ours is none."""
STDERR_LINES: Final = 20
SHOWN_EVENTS: Final = 20


def unchanged(text: str) -> str:
    """Redacts nothing."""
    return text


@dataclass(frozen=True, slots=True)
class Source:
    """Where a snapshot comes from. ``reading`` is how the last reload went."""

    gateway: "Gateway"
    reading: Callable[[], "Reading | None"]
    redact: Redact = unchanged

    def clean(self, text: str) -> str:
        """A text from elsewhere as it may be shown."""
        return escaped(self.redact(text), keep="\n")


def snapshot(source: Source, now: float) -> Document:
    """The gateway as it is; ``now`` is in seconds since 1970."""
    gateway = source.gateway
    observer = gateway.telemetry.observer
    calls = _calls(observer.measures)
    disabled = gateway.config.disabled
    return {
        "gateway": _gateway(source, now),
        "upstreams": [
            _upstream(one, source, now) | calls.get(one.name, NO_CALLS) | _speed(observer.recent, one.name)
            for one in gateway.upstreams.values()
        ],
        "disabled": [{"name": name, "reason": source.clean(reason)} for name, reason in disabled.items()],
        "doors": [_door(one) for one in gateway.relay.catalog.doors.values()],
        "calls_per_minute": observer.recent.per_minute(now),
        "failures": _latest(source, (one for one in observer.recent.events if one.status not in DENIALS)),
        "denials": _latest(source, (one for one in observer.recent.events if one.status in DENIALS)),
    }


def _gateway(source: Source, now: float) -> Document:
    gateway, service, reading = source.gateway, source.gateway.service, source.reading()
    obstacles = gateway.obstacles()
    return {
        **service.info,
        "started": moment(service.started),
        "uptime_seconds": round(now - service.started, 1),
        "ready": not obstacles,
        "not_ready_because": obstacles,
        "draining": service.draining,
        "in_flight": service.in_flight - service.streams,
        "streams": service.streams,
        "sessions": service.sessions(),
        "config": str(gateway.config.source),
        "reload": None
        if reading is None
        else {"time": moment(reading.time), "taken": reading.taken, "said": source.clean(reading.said)},
    }


def _upstream(one: Upstream, source: Source, now: float) -> Document:
    running, queued = one.load
    return {
        "name": one.name,
        "state": one.state.value,
        "since": moment(one.since),
        "for_seconds": round(now - one.since, 1),
        "required": one.entry.required,
        "transport": one.entry.type,
        "protocols": [{"era": era, "version": peer.version} for era, peer in one.peers.items()],
        **{kind: len(one.listing.of(kind)) for kind in LISTED},
        "restarts": one.restarts,
        "last_error": source.clean(one.last_error) if one.last_error else None,
        "stderr": [source.clean(line) for line in one.stderr()[-STDERR_LINES:]],
        "in_flight": running,
        "queued": queued,
    }


NO_CALLS: Final[Document] = {"calls": 0, "errors": 0, "by_status": dict.fromkeys(STATUSES, 0)}


def _calls(measures: Measures) -> dict[str, Document]:
    """For each upstream the tools/call that were made since the start, how many failed, and how each ended."""
    ended: dict[str, dict[str, int]] = {}
    for (_, upstream, status), count in measures.calls.items():
        statuses = ended.setdefault(upstream, dict.fromkeys(STATUSES, 0))
        statuses[status] += count
    return {
        name: {
            "calls": sum(statuses.values()),
            "errors": sum(statuses[status] for status in FAULTS),
            "by_status": statuses,
        }
        for name, statuses in ended.items()
    }


def _speed(recent: Recent, name: str) -> Document:
    found = recent.quantiles(name, SHARES)
    p50, p99 = (None, None) if found is None else (round(1_000 * seconds, 3) for seconds in found)
    return {"p50_ms": p50, "p99_ms": p99}


def _door(door: "Door") -> Document:
    return {
        "path": door.path,
        "upstreams": list(door.servers),
        **{kind: len(door.routes(kind)) for kind in LISTED},
    }


def _latest(source: Source, events: Iterable[Event]) -> list[Document]:
    """The last events, the latest first."""
    last = list(events)[-SHOWN_EVENTS:]
    texts = ("target", "identity", "reason")
    return [
        asdict(one) | {"time": moment(one.time), **{name: source.clean(getattr(one, name)) for name in texts}}
        for one in reversed(last)
    ]


def moment(seconds: float) -> str:
    """A time since 1970 as the log writes it (RFC 3339, UTC)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
