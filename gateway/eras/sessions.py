"""Legacy sessions: made by initialize, bound to one identity and one door, gone when idle, ended or too many.

A session is no authentication: used by another identity or at another door it counts as one that never existed.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.errors import Refused
from gateway.request import Entrant
from policies.model import Identity
from upstreams.channel import METHOD_NOT_FOUND
from upstreams.correlation import ASKABLE, reply_outcome
from upstreams.errors import ErrorReply

Message = dict[str, Any]

IDLE_SECONDS: Final = 1_800.0  # a desktop client that sleeps longer initializes again
MAX_SESSIONS: Final = 10_000
MAX_PENDING: Final = 100  # messages kept for a client that has no stream open
MAX_IN_FLIGHT: Final = 256  # requests of one session at a time


class Outlet(Protocol):
    """Somewhere to write messages for the client: a request's own stream, the session's stream, stdout."""

    def send(self, message: Message) -> bool:
        """Queue a message; False when this outlet cannot carry it."""
        ...


@dataclass(eq=False, slots=True)
class Session:
    """One legacy client, from initialize to its end."""

    id: str
    entrant: Entrant
    door: str
    version: str
    capabilities: Mapping[str, Any]
    log_level: str | None = None
    stream: Outlet | None = None
    """Where messages go that belong to no request: the GET stream, or stdout."""
    in_flight: dict[Hashable, Callable[[], None]] = field(default_factory=dict)
    subscribed: dict[str, Callable[[], None]] = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)
    busy: int = 0
    ended: bool = False
    leave: list[Callable[[], None]] = field(default_factory=list)
    _asked: dict[int, "asyncio.Future[Message]"] = field(default_factory=dict)
    _next: int = 0
    _pending: list[Message] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """Whose session it is."""
        return self.entrant.caller.identity

    def list_changed(self, method: str) -> None:
        """See `Listener`."""
        self.push({"jsonrpc": "2.0", "method": method})

    def part(self) -> None:
        """See `Listener`: the stream ends, the session does not."""
        close = getattr(self.stream, "close", None)
        if close is not None:
            close()

    def resource_updated(self, uri: str) -> None:
        """Tell the client that a resource which it subscribed to changed."""
        self.push({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})

    def push(self, message: Message) -> None:
        """Send a message that belongs to no request; without a stream it waits, once, for the next one."""
        if self.ended or (self.stream is not None and self.stream.send(message)):
            return
        if message not in self._pending and len(self._pending) < MAX_PENDING:
            self._pending.append(message)

    def attach(self, stream: Outlet) -> None:
        """Open the session's own stream; what waited is sent now."""
        self.stream = stream
        waiting, self._pending = self._pending, []
        for message in waiting:
            self.push(message)

    async def ask(self, outlet: Outlet, method: str, params: Message) -> Message:
        """Send the client a request on ``outlet`` and wait for its result.

        Raises `ErrorReply` when the client lacks the capability, cannot be reached, or answers with an error.
        """
        capability = ASKABLE[method]
        if self.ended or capability not in self.capabilities:
            raise ErrorReply(METHOD_NOT_FOUND, f"The client does not support {capability}")
        self._next += 1
        number = self._next
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            if not outlet.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params}):
                raise ErrorReply(METHOD_NOT_FOUND, f"The client cannot be asked {method} on this request")
            return await answer
        finally:
            del self._asked[number]
            if answer.cancelled():
                outlet.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})

    def answered(self, message: Message) -> None:
        """Take the client's answer to a request of ours; one that answers nothing is dropped."""
        number = message.get("id")
        answer = self._asked.get(number) if type(number) is int else None
        if answer is None or answer.done():
            return
        outcome = reply_outcome(message)
        if isinstance(outcome, ErrorReply):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def end(self) -> None:
        """Cancel what runs, forget what was asked, leave every list."""
        if self.ended:
            return
        self.ended = True
        for cancel in list(self.in_flight.values()):
            cancel()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ErrorReply(METHOD_NOT_FOUND, "The client's session has ended"))
        for leave in [*self.leave, *self.subscribed.values()]:
            leave()
        self.part()


class Sessions:
    """All HTTP sessions of the gateway, the least recently used first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._clock = clock

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, entrant: Entrant, door: str, version: str, capabilities: Mapping[str, Any]) -> Session:
        """Make a session with an id that cannot be guessed. Raises `Refused` when every session is in use."""
        self.sweep()
        if len(self._sessions) >= MAX_SESSIONS and not self._evict():
            raise Refused("The gateway has as many sessions as it can hold")
        session = Session(secrets.token_urlsafe(24), entrant, door, version, capabilities, used=self._clock())
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str, entrant: Entrant, door: str) -> Session | None:
        """The session of this id, if it is this caller's and this door's."""
        session = self._sessions.get(session_id)
        if session is None or session.identity.key != entrant.caller.identity.key or session.door != door:
            return None
        session.entrant = entrant  # a newer token of the same caller may say other things
        session.used = self._clock()
        self._sessions.move_to_end(session_id)
        return session

    def end(self, session: Session) -> None:
        """End one session; its id is unknown from now on."""
        self._sessions.pop(session.id, None)
        session.end()

    def sweep(self) -> None:
        """End the sessions that nothing has used for a while."""
        limit = self._clock() - IDLE_SECONDS
        for session in list(self._sessions.values()):
            if session.used > limit:
                return  # the rest was used later
            if session.busy:
                session.used = self._clock()
                self._sessions.move_to_end(session.id)
            else:
                self.end(session)

    def end_elsewhere(self, doors: Container[str]) -> None:
        """End the sessions of doors that are not among these."""
        for session in list(self._sessions.values()):
            if session.door not in doors:
                self.end(session)

    def end_all(self) -> None:
        """End every session: the gateway stops."""
        for session in list(self._sessions.values()):
            self.end(session)

    def _evict(self) -> bool:
        """Make room by ending the session that was idle longest."""
        idle = next((session for session in self._sessions.values() if not session.busy), None)
        if idle is not None:
            self.end(idle)
        return idle is not None
