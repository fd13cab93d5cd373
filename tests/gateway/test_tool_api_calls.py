"""Calls of the tool API that end early, are large, or are many at once, from outside."""

import http.client
import json
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.transports import tool_api
from tests.fixtures.guarded import signed
from tests.fixtures.live_gateway import JSON, WAIT_SECONDS, LiveGateway, Message, head, live_gateway
from tests.fixtures.raw_upstream import RawUpstream, raw_upstream, tool
from tests.fixtures.tokens import AUDIENCE, ISSUER, SECRET
from tests.fixtures.tool_api import EXECUTE, FORMATS, TOOLS, as_told, execute, item, output
from tests.fixtures.waiting import until

BIG = 10 * 2**20
TOGETHER = 16  # calls of one array that run at once
CANCEL_SECONDS = 1.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    with raw_upstream("legacy") as one:
        as_told(one)
        one.tools += [tool("big"), tool("some")]
        one.calls["big"] = lambda params: {"content": [BLOCKS[params["arguments"]["kind"]]]}
        yield one


BLOCKS: Message = {
    "text": {"type": "text", "text": "x" * BIG},
    "image": {"type": "image", "data": "A" * BIG, "mimeType": "image/png"},
}


@pytest.fixture(scope="module")
def live(upstream: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    auth = {"mode": "optional", "jwt": [{"issuer": ISSUER, "audiences": [AUDIENCE], "secret": SECRET}]}
    limits = [{"per": "identity", "rate": "1/m", "burst": 5, "tools": ["up_limited"]}]
    config = {"mcpServers": {"up": {"url": upstream.url}}, "auth": auth, "policy": POLICY, "rate_limits": limits}
    with live_gateway(tmp_path_factory.mktemp("gate"), config) as one:
        yield one


POLICY = {
    "allow": [
        'identity.kind == "anonymous"',
        'mcp.tool.name != "echo"',
        "mcp.tool.arguments.who == jwt.sub",
    ]
}


def sent(body: object) -> bytes:
    return head("POST", EXECUTE, JSON, json.dumps(body).encode())


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_client_that_hangs_up_ends_its_call_at_the_upstream_within_a_second(tmp_path: Path, era: str) -> None:
    with raw_upstream(era) as upstream:
        as_told(upstream)
        with live_gateway(tmp_path, {"mcpServers": {"up": {"url": upstream.url}}}) as live:
            with live.connect(sent(item("up_wait"))):
                assert upstream.started.wait(WAIT_SECONDS)
            until(lambda: live.gateway.service.in_flight == 0, "the call ends here", CANCEL_SECONDS)
            if era == "legacy":
                (said,) = until(lambda: upstream.bodies("notifications/cancelled"), "it is told", CANCEL_SECONDS)
                (asked,) = upstream.calls_seen()
                assert json.loads(said)["params"]["requestId"] == json.loads(asked)["id"]
            else:
                assert upstream.hung_up.wait(CANCEL_SECONDS)
            upstream.release.set()
            assert execute(live, item("up_echo")).status == 200


def test_a_client_that_hangs_up_ends_all_calls_of_its_array(live: LiveGateway, upstream: RawUpstream) -> None:
    upstream.release.clear()
    before, told = len(upstream.calls_seen()), len(upstream.bodies("notifications/cancelled"))
    with live.connect(sent([item("up_wait")] * 20)):
        until(lambda: len(upstream.calls_seen()) - before == TOGETHER, "as many as run at once")
    until(
        lambda: len(upstream.bodies("notifications/cancelled")) - told == TOGETHER,
        "all of them are told",
        CANCEL_SECONDS,
    )
    until(lambda: live.gateway.service.in_flight == 0, "the request ends here", CANCEL_SECONDS)
    assert len(upstream.calls_seen()) - before == TOGETHER  # what waited for a place was never sent
    upstream.release.set()


def test_an_array_runs_side_by_side_and_never_more_at_once_than_it_may(
    live: LiveGateway, upstream: RawUpstream
) -> None:
    upstream.release.clear()
    before = len(upstream.calls_seen())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(execute, live, [item("up_wait", call_id=str(at)) for at in range(40)])
        until(lambda: len(upstream.calls_seen()) - before == TOGETHER, "as many as run at once")
        assert execute(live, item("up_echo")).status == 200  # another client's call is not held up
        assert len(upstream.calls_seen()) - before == TOGETHER + 1
        upstream.release.set()
        assert answer.result(WAIT_SECONDS).json == [output("", call_id=str(at)) for at in range(40)]


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_of_ten_megabytes_comes_whole(live: LiveGateway, form: str) -> None:
    as_text = execute(live, item("up_big", {"kind": "text"}, form), f"format={form}")
    assert as_text.json == output(BLOCKS["text"]["text"], form)
    as_image = execute(live, item("up_big", {"kind": "image"}, form), f"format={form}").json
    assert json.loads(as_image["content" if form == "chat" else "output"]) == [BLOCKS["image"]]
    in_parts = execute(live, item("up_big", {"kind": "image"}, form), f"format={form}&content=parts").json
    assert in_parts.get("content", in_parts.get("output"))[0]["type"] in ("image_url", "input_image")


def test_an_array_runs_no_more_calls_once_its_answers_are_too_large(
    live: LiveGateway, upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_api, "MAX_HELD", 20_000)
    upstream.calls["some"] = lambda params: {"content": [{"type": "text", "text": "x" * 1_000}]}
    before = len(upstream.calls_seen())
    answers = execute(live, [item("up_some", call_id=str(at)) for at in range(100)]).json
    ran = [answer for answer in answers if "error" not in answer]
    assert 20 <= len(ran) <= 20 + TOGETHER
    assert len(upstream.calls_seen()) - before == len(ran)
    assert {answer["error"]["message"] for answer in answers if "error" in answer} == {tool_api.TOO_MUCH}
    assert [answer["tool_call_id"] for answer in answers] == [str(at) for at in range(100)]


def test_of_large_results_nothing_stays_in_memory(live: LiveGateway) -> None:
    body = item("up_big", {"kind": "image"})
    execute(live, body)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            assert execute(live, body).status == 200
        until(lambda: tracemalloc.get_traced_memory()[0] - before < BIG, "what was used is given back")
    finally:
        tracemalloc.stop()


def test_a_hundred_identities_at_once_get_each_their_own(live: LiveGateway) -> None:
    ready = threading.Barrier(100, timeout=WAIT_SECONDS)

    def work(number: int) -> None:
        me, other = f"user-{number}", f"user-{(number + 1) % 100}"
        form = FORMATS[number % 2]
        who = {**JSON, **signed("developer", me)}
        connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=WAIT_SECONDS)

        def say(body: object) -> tuple[int, object]:
            connection.request("POST", f"{EXECUTE}?format={form}", json.dumps(body).encode(), who)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        ready.wait()
        for turn in range(5):
            mine, theirs = ({"who": one, "turn": turn} for one in (me, other))
            call_id = f"{me}-{turn}"
            expected = output(json.dumps(mine), form, call_id)
            assert say(item("up_echo", mine, form, call_id)) == (200, expected)
            status, refused = say(item("up_echo", theirs, form, call_id))
            assert (status, set(refused)) == (403, {"error"})
            assert say([item("up_echo", mine, form, call_id)] * 3) == (200, [expected] * 3)
        assert [say(item("up_limited", {}, form))[0] for _ in range(6)] == [200] * 5 + [429]
        connection.close()

    with ThreadPoolExecutor(100) as pool:
        for done in [pool.submit(work, number) for number in range(100)]:
            done.result(WAIT_SECONDS * 3)


def test_calls_and_lists_share_a_connection_with_mcp(live: LiveGateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=WAIT_SECONDS)
    seen = []
    for method, path, body in (
        ("POST", EXECUTE, item("up_echo")),
        ("GET", TOOLS, None),
        ("HEAD", TOOLS, None),
        ("POST", EXECUTE, [item("up_echo")]),
        ("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        ("PUT", EXECUTE, item("up_echo")),
        ("POST", EXECUTE, item("up_echo")),
    ):
        connection.request(method, path, None if body is None else json.dumps(body).encode(), JSON)
        answer = connection.getresponse()
        answer.read()
        seen.append(answer.status)
    connection.close()
    assert seen == [200, 200, 200, 200, 200, 405, 200]
