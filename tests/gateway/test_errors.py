"""The contract's table of errors: what went wrong, its JSON-RPC error, its HTTP status in each era."""

import pytest

from gateway import errors
from gateway.errors import LEGACY_STATUS, MODERN_STATUS, SESSIONLESS_STATUS, McpError
from upstreams.errors import ErrorReply, UpstreamBusy, UpstreamTimeout, UpstreamUnavailable

NAMES = ("legacy", "modern", "sessionless")
TABLES = dict(zip(NAMES, (LEGACY_STATUS, MODERN_STATUS, SESSIONLESS_STATUS), strict=True))

# what went wrong: exception, error member, status legacy, modern, sessionless
CONTRACT = {
    "not JSON": (McpError(-32700, "m"), {"code": -32700, "message": "m"}, 400, 400, 400),
    "not a request": (McpError(-32600, "m"), {"code": -32600, "message": "m"}, 400, 400, 400),
    "unknown tool": (errors.UnknownTool("t"), {"code": -32602, "message": "Unknown tool: t"}, 200, 400, 200),
    "arguments": (
        errors.InvalidArguments("missing required field 'n'", "n", "a value"),
        {
            "code": -32602,
            "message": "Invalid params: missing required field 'n'",
            "data": {"field": "n", "expected": "a value"},
        },
        200,
        400,  # versions of sessions and modern requests that get a result instead never come here
        200,
    ),
    "unknown method": (errors.unknown_method("x"), {"code": -32601, "message": "Method not found: x"}, 200, 404, 200),
    "resource not found": (
        errors.ResourceNotFound("a://b"),
        {"code": -32002, "message": "Resource not found: a://b", "data": {"uri": "a://b"}},
        200,
        200,  # a modern request gets another code, see below
        200,
    ),
    "resource not found, modern": (McpError(-32602, "m", {"uri": "a://b"}), None, 200, 400, 200),
    "upstream down": (
        UpstreamUnavailable("up", "canary"),
        {"code": -31503, "message": "Upstream up is unavailable", "data": {"upstream": "up"}},
        200,
        200,
        503,
    ),
    "upstream busy": (
        UpstreamBusy("up", "too many calls"),
        {"code": -31503, "message": "Upstream up is busy: too many calls", "data": {"upstream": "up"}},
        200,
        200,
        503,
    ),
    "upstream timeout": (
        UpstreamTimeout("up", 1.5),
        {
            "code": -31504,
            "message": "Upstream up did not answer within 1.5 s",
            "data": {"upstream": "up", "timeout": 1.5},
        },
        200,
        200,
        504,
    ),
    "our own fault": (
        KeyError("canary"),
        {"code": -32603, "message": "Internal error", "data": {"request_id": "r1"}},
        500,
        500,
        500,
    ),
    "overloaded": (errors.Refused("full"), {"code": -31503, "message": "full"}, 503, 503, 503),
    "header mismatch": (McpError(-32020, "m"), None, 200, 400, 200),
    "missing capability": (McpError(-32021, "m"), None, 200, 400, 200),
    "bad version": (McpError(-32022, "m"), None, 200, 400, 200),
}


@pytest.mark.parametrize("what", CONTRACT)
def test_error_has_the_code_and_words_of_the_contract(what: str) -> None:
    exc, member, *_ = CONTRACT[what]
    if member is not None:
        assert errors.to_error(exc, "r1").member() == member


@pytest.mark.parametrize("what", CONTRACT)
@pytest.mark.parametrize("era", NAMES)
def test_error_has_the_status_of_the_contract(what: str, era: str) -> None:
    exc, _, *statuses = CONTRACT[what]
    status = errors.http_status(errors.to_error(exc, "r1"), TABLES[era])
    assert status == statuses[NAMES.index(era)]


@pytest.mark.parametrize("code", [-32700, -32600, -32603])
@pytest.mark.parametrize("era", NAMES)
def test_the_fault_of_an_upstream_is_not_the_gateways_in_the_status(code: int, era: str) -> None:
    error = errors.to_error(ErrorReply(code, "m", {"d": 1}), "r1")
    assert error.member() == {"code": code, "message": "m", "data": {"d": 1}}
    assert errors.http_status(error, TABLES[era]) == 200


@pytest.mark.parametrize("code", [errors.HEADER_MISMATCH, errors.UNSUPPORTED_VERSION])
@pytest.mark.parametrize("era", NAMES)
def test_what_an_upstream_says_of_the_gateways_own_request_is_no_fault_of_the_client(code: int, era: str) -> None:
    error = errors.to_error(ErrorReply(code, "m", {"d": 1}), "r1")
    assert error.code == errors.INTERNAL_ERROR
    assert errors.http_status(error, TABLES[era]) == 200


@pytest.mark.parametrize("exc", [UpstreamUnavailable("up", "canary"), RuntimeError("canary"), OSError(2, "canary")])
def test_the_inside_of_a_failure_is_not_told(exc: Exception) -> None:
    assert "canary" not in str(errors.to_error(exc, "r1").member())


def test_own_codes_lie_outside_the_reserved_range_and_end_in_their_status() -> None:
    for code, status in ((errors.UNAVAILABLE, 503), (errors.TIMED_OUT, 504)):
        assert code not in range(-32768, -31999)
        assert -code % 1000 == status


def test_an_error_without_data_has_none() -> None:
    assert McpError(1, "m").member() == {"code": 1, "message": "m"}
    assert McpError(1, "m", {}).member() == {"code": 1, "message": "m", "data": {}}
