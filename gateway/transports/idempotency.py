"""`X-Idempotency-Key`: a header in, a `Once` out. What must be the same for a key to be the same one is said here.

A replay is authorised like every request, so the scope only has to keep apart what a caller could tell apart.
"""

import hashlib
import re
from dataclasses import replace
from typing import Any, Final

from gateway.eras.sessions import Session
from gateway.errors import INVALID_REQUEST, McpError
from gateway.once import Once
from gateway.transports.exchange import Message
from gateway.transports.guard import repeats
from gateway.transports.inbound import Inbound
from policies.fingerprint import fingerprint
from policies.model import Identity
from upstreams import wire

HEADER: Final = "x-idempotency-key"
KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
OF_THE_TOKEN: Final = frozenset({"exp", "iat", "nbf", "jti"})
"""Claims that are another's with each token of the same caller (RFC 7519 §4.1): a retry may come with a fresh one."""


def once_of_body(inbound: Inbound, body: bytes, *form: str | bool) -> Once | None:
    """The key of a request whose answer is written in this form, and which is repeated byte by byte."""
    once = once_of(inbound, *form)
    return None if once is None else once.of(_digest(body))


def once_of(inbound: Inbound, *form: str | bool) -> Once | None:
    """The key of a request whose answer is written in this form; None without one.

    Callers without a name have none: whose key it is could not be told. Raises `McpError`.
    """
    key = inbound.headers.get(HEADER)
    caller = inbound.entrant.caller
    if key is None or caller.identity.kind == "anonymous":
        return None
    if repeats(inbound.raw_headers, HEADER.encode()):
        raise McpError(INVALID_REQUEST, f"The {HEADER} header comes more than once", status=400)
    if KEY.fullmatch(key) is None:
        raise McpError(INVALID_REQUEST, f"The {HEADER} header must be 1 to 255 printable ASCII characters", status=400)
    owner = fingerprint([caller.identity.kind, caller.identity.issuer, caller.identity.sub])
    filters = [[type(one).__name__, *one.terms] for one in inbound.entrant.filters]
    scope = fingerprint([_claims(caller.identity), inbound.door, form, filters])
    return Once(inbound.service.repeats, key, owner, scope)


def once_in_era(inbound: Inbound, message: Message, era: str) -> Once | None:
    """The key of an MCP request, where it is a call."""
    return once_of(inbound, era) if HEADER in inbound.headers and is_call(message) else None


def once_in_session(inbound: Inbound, session: Session, message: Message) -> Once | None:
    """The key of a call in a session, where only who means it cancels."""
    once = once_in_era(inbound, message, session.version)
    return None if once is None else replace(once, tied=True)


def is_call(message: Message) -> bool:
    """Whether a message calls a tool: nothing else that may be asked does what must not be repeated."""
    return message.get("method") == "tools/call" and "id" in message


def batch_digest(messages: list[Message]) -> bytes:
    """What makes two batches the same: all but ids and metadata, which are others at a retry."""
    return _digest(wire.canonical([_matter(message) for message in messages]))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _matter(message: Message) -> list[Any]:
    params = message.get("params") or {}
    return [message.get("method"), {key: value for key, value in params.items() if key != "_meta"}]


def _claims(identity: Identity) -> bytes:
    return identity.claims_key(frozenset(identity.claims) - OF_THE_TOKEN)
