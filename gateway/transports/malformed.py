"""Which request heads are refused before anything else looks at them, and with what answer. Pure.

What llhttp refuses already (two lengths, a length beside a transfer encoding, folded or malformed headers, bare line
feeds) does not come here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[bytes, bytes]]

# Origin form alone (RFC 9112 §3.2.1): visible ASCII after a slash, no fragment.
TARGET = re.compile(rb'/[!"$-~]*')
# An escape that is none, or that hides a control character; only the path is decoded for routing.
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]")
# uri-host and port (RFC 9110 §7.2), without the characters that no name or address has.
HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
VERSIONS = frozenset({"1.0", "1.1"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to what is not let in; the connection ends with it."""

    status: int
    reason: str


MALFORMED = Refusal(400, "Malformed HTTP request")
BAD_VERSION = Refusal(400, "Unknown HTTP version")
BAD_TARGET = Refusal(400, "Bad request target")
BAD_HOST = Refusal(400, "Missing, repeated or bad Host header")
BAD_FRAMING = Refusal(400, "Bad Transfer-Encoding")
TOO_MANY_REQUESTS = Refusal(400, "Too many requests wait on this connection")
ENCODED = Refusal(415, "Content-Encoding is not accepted")
HEAD_TOO_LARGE = Refusal(431, "Request line and headers are too large")
HEAD_TOO_SLOW = Refusal(408, "The request headers took too long")
BODY_TOO_SLOW = Refusal(408, "The request body took too long")


def size_of(url: bytes, headers: Headers) -> int:
    """About how many bytes a head takes."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def is_plain(target: bytes) -> bool:
    """Whether a request target can be read in one way only."""
    if TARGET.fullmatch(target) is None:
        return False
    return b"%" not in target or BAD_ESCAPE.search(target.partition(b"?")[0]) is None


def judge_headers(version: str, headers: Headers) -> Refusal | None:
    """What headers (names in lower case) of this HTTP version are refused for."""
    found = dict(headers)
    host = found.get(b"host")
    if host is None:
        if version == "1.1":
            return BAD_HOST
    elif HOST.fullmatch(host) is None or (len(found) != len(headers) and _repeated(b"host", headers)):
        return BAD_HOST
    if b"content-encoding" in found:
        return ENCODED
    if b"transfer-encoding" in found:
        # Another coding, or any under HTTP/1.0, is read differently by the proxy in front (RFC 9112 §6.1).
        plain = found[b"transfer-encoding"].lower() == b"chunked" and version == "1.1"
        if not plain or _repeated(b"transfer-encoding", headers):
            return BAD_FRAMING
    return None


def _repeated(name: bytes, headers: Headers) -> bool:
    return [header[0] for header in headers].count(name) > 1
