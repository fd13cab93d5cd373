"""Versions and the ladder of a modern request, held against the SDK's over many generated requests."""

import random
from typing import Any

import pytest
from mcp.shared.inbound import InboundLadderRejection, InboundModernRoute, classify_inbound_request
from mcp_types import version as sdk_version

from gateway.eras import envelope
from gateway.errors import McpError
from upstreams import negotiation

PRESENT: dict[str, Any] = {envelope.VERSION_KEY: "2026-07-28", envelope.CAPABILITIES_KEY: {}}
VERSIONS: list[Any] = ["2026-07-28", "2026-07-28", "2026-07-28", "2025-11-25", "2027-01-01", "", None, 5, True, []]
METHODS: list[Any] = ["tools/call", "prompts/get", "resources/read", "tools/list", "nothing", ""]
SUBJECTS: list[Any] = ["echo", "écho", " echo", "", None, 5, ["echo"], "=?base64?ZWNobw==?="]
NAMES = [
    "echo",
    "=?base64?ZWNobw==?=",
    "=?base64?w6ljaG8=?=",
    "=?base64?IGVjaG8=?=",
    "=?base64?ZWNobw?=",
    "",
    "5",
    None,
]


def test_the_versions_are_those_of_the_sdk() -> None:
    assert envelope.MODERN_VERSIONS == sdk_version.MODERN_PROTOCOL_VERSIONS
    assert tuple(reversed(sdk_version.HANDSHAKE_PROTOCOL_VERSIONS)) == envelope.LEGACY_VERSIONS
    assert {*envelope.LEGACY_VERSIONS, *envelope.MODERN_VERSIONS} == set(sdk_version.KNOWN_PROTOCOL_VERSIONS)


def test_both_sides_of_the_gateway_know_the_same_versions() -> None:
    assert (negotiation.MODERN, negotiation.LEGACY) == (envelope.MODERN_VERSIONS, envelope.LEGACY_VERSIONS)


def generated(random_: random.Random) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Some request and its headers; most of both are in order."""
    method, subject, version = random_.choice(METHODS), random_.choice(SUBJECTS), random_.choice(VERSIONS)
    meta: Any = {envelope.VERSION_KEY: version, envelope.CAPABILITIES_KEY: {}}
    if random_.random() < 0.1:
        del meta[random_.choice(list(meta))]
    if random_.random() < 0.05:
        meta = random_.choice([None, [], "x", {}])
    params: Any = {"_meta": meta, random_.choice(["name", "name", "uri"]): subject}
    if random_.random() < 0.05:
        params = random_.choice([None, {}, [], "x"])
    sent: dict[str, Any] = {
        "mcp-protocol-version": version if random_.random() < 0.9 else random_.choice(VERSIONS),
        "mcp-method": method if random_.random() < 0.9 else "tools/list",
        "mcp-name": subject if isinstance(subject, str) and random_.random() < 0.4 else random_.choice(NAMES),
    }
    kept = {name: value for name, value in sent.items() if isinstance(value, str) and random_.random() < 0.95}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, kept if random_.random() < 0.9 else None


def test_every_request_gets_the_verdict_and_the_code_of_the_sdk() -> None:
    random_, seen = random.Random(5), dict.fromkeys([None, -32602, -32020, -32022], 0)
    for _ in range(20_000):
        message, sent = generated(random_)
        theirs = classify_inbound_request(message, headers=sent)
        ours = envelope.open_envelope(message, sent)
        if isinstance(theirs, InboundLadderRejection):
            assert isinstance(ours, McpError), (message, sent, theirs)
            assert ours.code == theirs.code, (message, sent, theirs)
            assert ours.data == theirs.data
            seen[ours.code] += 1
        else:
            assert isinstance(theirs, InboundModernRoute)
            assert isinstance(ours, envelope.Envelope), (message, sent, ours)
            assert (ours.version, ours.capabilities) == (theirs.protocol_version, theirs.client_capabilities)
            seen[None] += 1
    assert min(seen.values()) > 100, seen


def test_capabilities_that_are_no_object_are_refused() -> None:
    meta = {**PRESENT, envelope.CAPABILITIES_KEY: []}
    refused = envelope.open_envelope({"method": "ping", "params": {"_meta": meta}}, None)
    assert isinstance(refused, McpError)
    assert refused.code == -32602


@pytest.mark.parametrize(("level", "kept"), [("debug", "debug"), (5, None), (None, None), ([], None)])
def test_a_log_level_that_is_no_text_is_none(level: Any, kept: str | None) -> None:
    opened = envelope.open_envelope(
        {"method": "ping", "params": {"_meta": {**PRESENT, envelope.LOG_LEVEL_KEY: level}}}, None
    )
    assert isinstance(opened, envelope.Envelope)
    assert opened.log_level == kept


@pytest.mark.parametrize(
    ("sent", "params", "modern"),
    [
        ({}, {}, False),
        ({"mcp-protocol-version": "2025-11-25"}, {}, False),
        ({"mcp-protocol-version": "2026-07-28"}, {}, True),
        ({"mcp-protocol-version": "nonsense"}, {}, True),
        ({"mcp-protocol-version": ""}, {}, True),
        ({}, {"_meta": {envelope.VERSION_KEY: None}}, True),
        ({"mcp-protocol-version": "2025-11-25"}, {"_meta": PRESENT}, True),
        ({}, {"_meta": {envelope.CAPABILITIES_KEY: {}}}, False),
        ({}, {"_meta": []}, False),
    ],
)
def test_a_version_header_that_is_not_legacy_or_an_envelope_is_modern(
    sent: dict[str, str], params: dict[str, Any], modern: bool
) -> None:
    assert envelope.is_modern({"method": "ping", "params": params}, sent) is modern


def test_a_routing_header_that_comes_twice_is_found() -> None:
    assert envelope.repeated_header(["mcp-name", "x", "x", "mcp-method"]) is None
    for name in ("mcp-name", "mcp-method", "mcp-protocol-version", "mcp-param-region"):
        assert envelope.repeated_header([name, "host", name]) == name
