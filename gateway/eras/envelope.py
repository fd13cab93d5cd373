"""Versions, and what a modern request must carry: a pure ladder of checks. The only file here that knows versions.

The ladder answers as `mcp.shared.inbound` of the SDK does, which its tests hold it against; importing that takes half
a second, which a desktop client would wait for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, McpError
from upstreams.headers import NAME_KEYS, decode_value

MODERN_VERSIONS: Final = ("2026-07-28",)
LEGACY_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # newest first
BATCH_VERSIONS: Final = frozenset({"2025-03-26"})  # the only version with JSON-RPC batches
DEFAULT_LEGACY: Final = "2025-03-26"  # what a client means that names no version (2025-11-25, basic/transports)
RESULT_FOR_BAD_ARGUMENTS: Final = frozenset({"2025-11-25", *MODERN_VERSIONS})
"""Versions in which arguments that do not fit are a tool result, so that the model can mend them."""

META: Final = "io.modelcontextprotocol/"
VERSION_KEY: Final = META + "protocolVersion"
CAPABILITIES_KEY: Final = META + "clientCapabilities"
LOG_LEVEL_KEY: Final = META + "logLevel"
SERVER_INFO_KEY: Final = META + "serverInfo"
SUBSCRIPTION_KEY: Final = META + "subscriptionId"

VERSION_HEADER: Final = "mcp-protocol-version"
METHOD_HEADER: Final = "mcp-method"
NAME_HEADER: Final = "mcp-name"
SINGLE_HEADERS: Final = frozenset({VERSION_HEADER, METHOD_HEADER, NAME_HEADER})


@dataclass(slots=True)
class Envelope:
    """What a modern request says of its client. Nobody changes it; freezing would make it five times as dear."""

    version: str
    capabilities: Mapping[str, Any]
    log_level: str | None


def is_modern(message: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Tell whether a message wants the modern era: its version header is not legacy, or it carries an envelope."""
    version = headers.get(VERSION_HEADER)
    if version is not None and version not in LEGACY_VERSIONS:
        return True
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and VERSION_KEY in meta


def open_envelope(message: Mapping[str, Any], headers: Mapping[str, str] | None) -> Envelope | McpError:
    """Check a modern request (MCP 2026-07-28, basic and basic/transports); ``headers`` is None where there are none.

    Header names are lower-case, values stripped. The first check that fails is the answer.
    """
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(meta, dict):
        return McpError(INVALID_PARAMS, f"Invalid params: _meta must carry {VERSION_KEY} and {CAPABILITIES_KEY}")
    if VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]
        return McpError(INVALID_PARAMS, f"Invalid params: _meta lacks {' and '.join(missing)}")
    version, capabilities = meta[VERSION_KEY], meta[CAPABILITIES_KEY]
    if headers is not None and (mismatch := _header_mismatch(message, version, headers)) is not None:
        return McpError(HEADER_MISMATCH, mismatch)
    if not isinstance(version, str) or not isinstance(capabilities, dict):
        return McpError(INVALID_PARAMS, f"Invalid params: {VERSION_KEY} is a text, {CAPABILITIES_KEY} an object")
    if version not in MODERN_VERSIONS:
        return unsupported_version(version)
    level = meta.get(LOG_LEVEL_KEY)
    return Envelope(version, capabilities, level if isinstance(level, str) else None)


def unsupported_version(requested: Any) -> McpError:
    """The answer to a version that is not served."""
    data = {"supported": list(MODERN_VERSIONS), "requested": requested}
    return McpError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def repeated_header(names: Iterable[str]) -> str | None:
    """The routing header that comes twice, if any: readers of the first and of the last would disagree."""
    seen: set[str] = set()
    for name in names:
        if name in SINGLE_HEADERS or name.startswith("mcp-param-"):
            if name in seen:
                return name
            seen.add(name)
    return None


def _header_mismatch(message: Mapping[str, Any], version: Any, headers: Mapping[str, str]) -> str | None:
    if headers.get(VERSION_HEADER) != version or version is None:
        return "MCP-Protocol-Version does not match the request's protocol version"
    method = message.get("method")
    if headers.get(METHOD_HEADER) != method:
        return "Mcp-Method does not match the request's method"
    key = NAME_KEYS.get(str(method))
    subject = message["params"].get(key) if key else None
    if subject is None:
        return None
    received = headers.get(NAME_HEADER)
    if received is None or decode_value(received) != subject:
        return f"Mcp-Name does not match the request's {key}"
    return None
