"""Pure module: one use in, one line of the audit log out; knows no file and no queue.

A line is one JSON object in printable text. Its fields, which are all there unless it is said otherwise:

    time              when the request had ended: ISO 8601, UTC, milliseconds
    request_id        as in the answer's X-Request-Id and in the log
    identity_kind     jwt, api_key, local or anonymous
    sub, issuer       who called; empty where the kind has none
    method            tools/call, prompts/get, resources/read, resources/subscribe or subscriptions/listen
    target            a tool's canonical name, a prompt's own name, a resource's URI; null while nothing was found
    upstream          whose it is, or null
    door              the path that the request came to
    decision          allow, deny, or null when it never came to one
    rule              the text of the rule that decided, or null
    outcome           success, error, denied, timeout, rate_limited, unavailable or cancelled
    latency_ms        from the first look at the catalog to the result
    asked             only where target is null: the name or URI that was asked for, its first 256 characters
    arguments_digest  with `arguments: digest`: HMAC-SHA256 of the arguments as they were decided on and sent, encoded
                      as JSON with sorted keys and no spaces; null where there were none
    arguments         with `arguments: full`: these arguments themselves
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from gateway.telemetry.observer import Use
from upstreams import wire

Shown = Literal["digest", "full", "none"]
Arguments = Mapping[str, Any] | None
Digest = Callable[[bytes], str]

MAX_ASKED: Final = 256  # characters; whoever asks for what is not there writes the name
NOT_ENCODED: Final = "not JSON"
VERDICTS: Final = {True: "allow", False: "deny"}

MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))
_BLOCK: Final = 64  # bytes, of SHA-256


class Lines:
    """Writes lines in one way; remembers how the present second looks."""

    def __init__(self, shown: Shown, key: bytes) -> None:
        self._add_arguments = ARGUMENTS[shown]
        self.large = shown == "full"  # a line may be as large as a request
        self._digest = keyed_digest(key)
        self._second, self._stamp = -1, ""

    def line(self, use: Use, outcome: str, seconds: float, now: float) -> bytes:
        """The line of a use that has ended, with its line break; ``now`` is in seconds since 1970."""
        caller, decision, target = use.caller, use.decision, use.target
        identity = caller.identity
        record: dict[str, Any] = {
            "time": self._time(now),
            "request_id": None if use.serving is None else use.serving.request_id,
            "identity_kind": identity.kind,
            "sub": identity.sub,
            "issuer": identity.issuer,
            "method": use.method,
            "target": target or None,
            "upstream": use.upstream or None,
            "door": caller.path,
            "decision": None if decision is None else VERDICTS[decision.allowed],
            "rule": None if decision is None else decision.rule,
            "outcome": outcome,
            "latency_ms": round(seconds * 1000.0, 3),
        }
        if not target:
            record["asked"] = _asked(use.params)
        self._add_arguments(record, use.arguments, self._digest)
        return encoded(record)

    def _time(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._stamp + MILLISECONDS[int((now - second) * 1000.0)]


def keyed_digest(key: bytes) -> Digest:
    """HMAC-SHA256 under a key of at most 64 bytes; what depends on the key alone is done once (RFC 2104 §4)."""
    block = key.ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(data: bytes) -> str:
        first, second = inner.copy(), outer.copy()
        first.update(data)
        second.update(first.digest())
        return f"hmac-sha256:{second.hexdigest()}"

    return digest


def encoded(record: Mapping[str, Any]) -> bytes:
    """A record as one line. What a person would not see in it is spelt out, so nothing breaks or disguises a line."""
    try:
        line = wire.dumps(record)
        if (line.isascii() and line.find(b"\x7f") < 0) or line.decode().isprintable():
            return line + b"\n"
    except TypeError:  # a lone surrogate, or a value that only YAML has: both may come out of the config
        pass
    text = json.dumps(record, separators=(",", ":"), default=str, skipkeys=True)
    return text.replace("\x7f", "\\u007f").encode() + b"\n"


def _asked(params: Mapping[str, Any]) -> str | None:
    name = params.get("name", params.get("uri"))
    return name[:MAX_ASKED] if isinstance(name, str) else None


def _with_digest(record: dict[str, Any], arguments: Arguments, digest: Digest) -> None:
    if arguments is None:
        record["arguments_digest"] = None
        return
    try:
        record["arguments_digest"] = digest(wire.canonical(arguments))
    except TypeError:  # then they could not be sent either
        record["arguments_digest"] = NOT_ENCODED


def _with_arguments(record: dict[str, Any], arguments: Arguments, digest: Digest) -> None:
    record["arguments"] = arguments


def _without(record: dict[str, Any], arguments: Arguments, digest: Digest) -> None:
    """Nothing is written of them."""


ARGUMENTS: Final[dict[Shown, Callable[[dict[str, Any], Arguments, Digest], None]]] = {
    "digest": _with_digest,
    "full": _with_arguments,
    "none": _without,
}
