"""What was decided for whom, bounded; knows no rules. Both levels go by keys that hold every input with its type."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

MAX_CALLERS: Final = 4096
MAX_ENTRIES: Final = 100_000  # over all callers, about 30 MB

Entry = TypeVar("Entry")


@dataclass(slots=True)
class CallerMemory(Generic[Entry]):
    """What is known of one caller: `memo` for parts of rules, `entries` per target."""

    memo: dict[int, Any] = field(default_factory=dict)
    entries: dict[Hashable, Entry] = field(default_factory=dict)


class Memory(Generic[Entry]):
    """The callers seen last. It forgets whole callers, the one not seen for longest first."""

    def __init__(self, max_callers: int = MAX_CALLERS, max_entries: int = MAX_ENTRIES) -> None:
        self._callers: OrderedDict[Hashable, CallerMemory[Entry]] = OrderedDict()
        self._max_callers = max_callers
        self._max_entries = max_entries
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, key: Hashable) -> CallerMemory[Entry]:
        """The memory of a caller, made when there is none; it is the youngest now."""
        known = self._callers.get(key)
        if known is None:
            known = self._callers[key] = CallerMemory()
            if len(self._callers) > self._max_callers:
                self._forget_oldest()
        else:
            self._callers.move_to_end(key)
        return known

    def keep(self, caller: CallerMemory[Entry], key: Hashable, entry: Entry) -> None:
        """Remember one entry of the caller that `of` gave last."""
        while self._count >= self._max_entries and len(self._callers) > 1:
            self._forget_oldest()
        if self._count >= self._max_entries:
            self._count -= len(caller.entries)
            caller.entries.clear()
        caller.entries[key] = entry
        self._count += 1

    def _forget_oldest(self) -> None:
        _, oldest = self._callers.popitem(last=False)
        self._count -= len(oldest.entries)
