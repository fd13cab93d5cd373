"""The W3C trace context that comes with a request and goes on to the upstream. Pure, and strict about its form."""

import re
from collections.abc import Mapping
from typing import Any, Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MAX_STATE: Final = 512  # characters that must be carried (W3C Trace Context §3.3.1.5); more is dropped

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[\x20-\x7e\t]+")


def incoming(meta: Any, headers: Mapping[str, str]) -> dict[str, str] | None:
    """The context of a request: that of the message itself (MCP, `_meta`), else that of its HTTP headers."""
    if isinstance(meta, dict) and TRACEPARENT in meta:
        return _checked(meta)
    return _checked(headers) if TRACEPARENT in headers else None


def _checked(holder: Mapping[str, Any]) -> dict[str, str] | None:
    parent, state = holder[TRACEPARENT], holder.get(TRACESTATE)
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        return None
    context = {TRACEPARENT: parent}
    if isinstance(state, str) and len(state) <= MAX_STATE and _STATE.fullmatch(state):
        context[TRACESTATE] = state
    return context
