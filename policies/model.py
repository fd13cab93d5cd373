"""Who is calling; pure data, the same for every transport and protocol version."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Identity:
    """One caller. ``kind`` says how it is known: ``local`` (the user who started the program) or ``anonymous``."""

    kind: str
    sub: str = ""
    issuer: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> Hashable:
        """What makes two callers the same one: kind, issuer and subject; nothing else about them."""
        return (self.kind, self.issuer, self.sub)


ANONYMOUS: Final = Identity("anonymous")
LOCAL: Final = Identity("local", "local")
