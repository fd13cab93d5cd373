"""Headers that belong to one message are that message's, however much of its head is known from the one before."""

from collections.abc import Iterator

import pytest

from tests.fixtures.live_gateway import LiveGateway, live_gateway
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool

GOOD, BAD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("modern", "legacy") as one:
        one.tools = [tool("echo"), tool("other")]
        yield one


def live(upstream: RawUpstream, folder: pytest.TempPathFactory, **sections: object) -> Iterator[LiveGateway]:
    with live_gateway(folder.mktemp("gate"), {"mcpServers": {"up": {"url": upstream.url}}, **sections}) as running:
        yield running


@pytest.fixture(scope="module")
def plain(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    yield from live(upstream, tmp_path_factory)


@pytest.fixture(scope="module")
def ruled(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    rules = {"allow": [f'request.headers["traceparent"] == "{GOOD}"'], "trusted_headers": ["traceparent"]}
    yield from live(upstream, tmp_path_factory, policy=rules)


def call(gate: LiveGateway, name: str, **headers: str) -> int | None:
    params = {"name": name, "arguments": {}}
    return gate.modern("tools/call", params, {key.replace("_", "-"): value for key, value in headers.items()}).code


def test_the_name_in_the_header_is_compared_with_the_body_each_time(plain: LiveGateway) -> None:
    for _ in range(3):
        assert call(plain, "up_echo") is None
        assert call(plain, "up_other") is None
        assert call(plain, "up_echo", Mcp_Name="up_other") == -32020
        assert call(plain, "up_other", Mcp_Name="up_echo") == -32020


def test_rules_on_such_a_header_see_that_of_each_message(ruled: LiveGateway) -> None:
    for _ in range(3):
        assert call(ruled, "up_echo", traceparent=GOOD) is None
        assert call(ruled, "up_echo", traceparent=BAD) == -32602
        assert call(ruled, "up_echo") == -32602


def test_the_trace_context_that_goes_on_is_that_of_the_message(plain: LiveGateway, upstream: RawUpstream) -> None:
    for context in (GOOD, BAD, GOOD):
        assert call(plain, "up_echo", traceparent=context) is None
        assert context in upstream.calls_seen()[-1].decode()
