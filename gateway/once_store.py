"""What calls with an idempotency key ended with, kept for a while and within bounds. Pure: the clock is given.

Who needs room takes it from the own oldest keys first, then from whoever holds most: first their answers, so that of a
key is only known that it was used, then the keys.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

Name = tuple[bytes, str]
"""A key within its scope."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is held at most; ``own`` is what one identity holds. A call without its answer takes up to 1 KiB."""

    seconds: float = 600.0
    bytes: int = 64 * 2**20
    own_bytes: int = 16 * 2**20
    calls: int = 65_536
    own_calls: int = 16_384
    own_running: int = 256  # they go on without their clients, so nothing else counts them


BOUNDS: Final = Bounds()


@dataclass(slots=True, eq=False)
class Part:
    """One call. ``digest`` is of what its upstream was asked, ``data`` its answer; None where that is not kept."""

    digest: bytes
    running: bool = True
    data: bytes | None = None


@dataclass(slots=True, eq=False)
class Keyed:
    """All calls of one key: one, or those of one body. ``digest`` is of that body."""

    digest: bytes
    parts: dict[int, Part] = field(default_factory=dict)
    until: float = math.inf

    @property
    def runs(self) -> bool:
        """Whether a call of it has not ended."""
        return any(part.running for part in self.parts.values())

    @property
    def size(self) -> int:
        """The bytes of its answers."""
        return sum(len(part.data) for part in self.parts.values() if part.data is not None)


@dataclass(slots=True, eq=False)
class Owner:
    """The keys of one identity: those of which a call runs, and those that have ended, the oldest first."""

    running: dict[Name, Keyed] = field(default_factory=dict)
    ended: "OrderedDict[Name, Keyed]" = field(default_factory=OrderedDict)
    answered: "OrderedDict[Name, Keyed]" = field(default_factory=OrderedDict)
    """Those of `ended` that have an answer."""
    bytes: int = 0
    calls: int = 0
    calls_running: int = 0

    def find(self, name: Name) -> Keyed | None:
        """The key, if it is known."""
        return self.running.get(name) or self.ended.get(name)


class Store:
    """The keys of all identities, the identity that was quiet longest first."""

    def __init__(self, bounds: Bounds = BOUNDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._owners: OrderedDict[bytes, Owner] = OrderedDict()
        self.bytes = 0
        self.calls = 0

    def __len__(self) -> int:
        return len(self._owners)

    def find(self, owner_key: bytes, name: Name) -> Keyed | None:
        """What is known of a key; what is too old is forgotten first, of everybody."""
        self._expire(owner_key)
        owner = self._owners.get(owner_key)
        return None if owner is None else owner.find(name)

    def begin(self, owner_key: bytes, name: Name, digest: bytes, index: int, call: bytes) -> Part | None:
        """Note that a call runs, which `find` did not know; None when too many of this identity do."""
        owner = self._owners.setdefault(owner_key, Owner())
        if owner.calls_running >= self._bounds.own_running:
            return None
        keyed = owner.find(name) or Keyed(digest)
        owner.ended.pop(name, None)
        owner.answered.pop(name, None)
        owner.running[name] = keyed
        part = keyed.parts[index] = Part(call)
        owner.calls += 1
        owner.calls_running += 1
        self.calls += 1
        self._make_room(owner)
        return part

    def finish(self, owner_key: bytes, name: Name, part: Part, data: bytes | None) -> None:
        """The call has ended; ``data`` is its answer, None when there is none to be kept."""
        owner = self._owners[owner_key]
        keyed = owner.running[name]
        part.running = False
        owner.calls_running -= 1
        if data is not None and len(data) <= self._bounds.own_bytes:
            part.data = data
            owner.bytes += len(data)
            self.bytes += len(data)
        self._rest(owner, name, keyed)
        self._owners.move_to_end(owner_key)
        self._make_room(owner)
        if self._over_bytes(owner) and part.data is not None:  # the rest of the key runs, so nothing else can go
            self._count_bytes(owner, -len(part.data))
            part.data = None

    def drop(self, owner_key: bytes, name: Name, index: int) -> None:
        """The call has ended as if it had not been made."""
        owner = self._owners[owner_key]
        keyed = owner.running[name]
        del keyed.parts[index]
        owner.calls -= 1
        owner.calls_running -= 1
        self.calls -= 1
        if keyed.parts:
            self._rest(owner, name, keyed)
            return
        del owner.running[name]
        self._forget_if_empty(owner_key)

    def _rest(self, owner: Owner, name: Name, keyed: Keyed) -> None:
        """Move a key on once nothing of it runs."""
        if keyed.runs:
            return
        keyed.until = self._clock() + self._bounds.seconds
        del owner.running[name]
        owner.ended[name] = keyed
        if keyed.size:
            owner.answered[name] = keyed

    def _expire(self, owner_key: bytes) -> None:
        """Forget what is too old of this identity, and of those that were quiet for so long that all of theirs is."""
        now = self._clock()
        if owner_key in self._owners:
            self._expire_of(owner_key, now)
        while self._owners:
            quiet = next(iter(self._owners))
            self._expire_of(quiet, now)
            if quiet in self._owners:
                return

    def _expire_of(self, owner_key: bytes, now: float) -> None:
        owner = self._owners[owner_key]
        while owner.ended and next(iter(owner.ended.values())).until <= now:
            self._forget(owner)
        self._forget_if_empty(owner_key)

    def _make_room(self, owner: Owner) -> None:
        bounds = self._bounds
        while owner.bytes > bounds.own_bytes and self._shrink(owner):
            pass
        while owner.calls > bounds.own_calls and self._forget(owner):
            pass
        while self.bytes > bounds.bytes and self._shrink(max(self._owners.values(), key=lambda one: one.bytes)):
            pass
        while self.calls > bounds.calls and self._forget_of_whom_has_most():
            pass

    def _over_bytes(self, owner: Owner) -> bool:
        return owner.bytes > self._bounds.own_bytes or self.bytes > self._bounds.bytes

    def _shrink(self, owner: Owner) -> bool:
        """Let go of the oldest answers, and know only that their key was used: it must not run twice."""
        if not owner.answered:
            return False
        _, keyed = owner.answered.popitem(last=False)
        self._count_bytes(owner, -keyed.size)
        for part in keyed.parts.values():
            part.data = None
        return True

    def _forget(self, owner: Owner) -> bool:
        """Forget the oldest key that has ended."""
        if not owner.ended:
            return False
        name, keyed = owner.ended.popitem(last=False)
        owner.answered.pop(name, None)
        self._count_bytes(owner, -keyed.size)
        owner.calls -= len(keyed.parts)
        self.calls -= len(keyed.parts)
        return True

    def _forget_of_whom_has_most(self) -> bool:
        most = max(self._owners, key=lambda one: self._owners[one].calls)
        forgotten = self._forget(self._owners[most])
        self._forget_if_empty(most)
        return forgotten

    def _count_bytes(self, owner: Owner, change: int) -> None:
        owner.bytes += change
        self.bytes += change

    def _forget_if_empty(self, owner_key: bytes) -> None:
        owner = self._owners[owner_key]
        if not (owner.running or owner.ended):
            del self._owners[owner_key]
