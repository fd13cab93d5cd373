"""The servers and loads of the axes answer and check right; what they measure is not looked at."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import axes_stdio
import calls
import fast_stdio
import fast_upstream
import loading
import orjson
import pytest
import stdio_load
from axes_sessions import Sessions
from axes_stage import QUICK, guarded_config, http, open_config
from mcp import Client, StdioServerParameters
from processes import Server, running

HERE = Path(__file__).parent
MODES = {"2026-07-28": "2026-07-28", "legacy": "2025-11-25"}  # client mode: negotiated version
PAYLOAD = 1_000
OPTIONS = ["--tools", "3", "--payload", str(PAYLOAD)]
SETTINGS = replace(QUICK, stdio_calls=20, pinned=False)

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("bench") / "upstream.log"
    command = [sys.executable, str(HERE / "fast_upstream.py"), *OPTIONS, "--sse"]
    with running("upstream", command, log) as server:
        yield server


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["stdio", "sse"])
def test_the_upstreams_serve_the_sdk_client_in_both_eras(streaming: Server, kind: str, mode: str) -> None:
    pipe = StdioServerParameters(command=sys.executable, args=[str(HERE / "fast_stdio.py"), *OPTIONS])

    async def main() -> None:
        async with Client(pipe if kind == "stdio" else streaming.url, mode=mode) as client:
            assert client.protocol_version == MODES[mode]
            assert [tool.name for tool in (await client.list_tools()).tools] == ["echo", "tool_1", "tool_2"]
            echo, filling = (await client.call_tool("tool_2", {"text": "hello"})).content
            assert echo.model_dump()["text"] == "hello"
            assert len(json.dumps(filling.model_dump()["text"])) - 2 == PAYLOAD

    anyio.run(main)


@pytest.mark.parametrize("size", [1, 46, 10_000])
def test_a_payload_has_the_size_that_was_asked_for(size: int) -> None:
    [filling] = fast_upstream.filling(size)
    assert len(json.dumps(json.loads(orjson.dumps(filling))["text"])) - 2 == size


@pytest.mark.parametrize("line", [b"no JSON", b"[]", b'{"id": 1}', b'{"id": 1, "method": "tools/call", "params": 5}'])
def test_the_stdio_upstream_refuses_what_is_no_request(line: bytes) -> None:
    assert json.loads(fast_stdio.answer(fast_upstream.Server(3), line))["error"]["code"] == -32600


def test_the_stdio_upstream_tells_what_it_does_not_know_and_keeps_silent_on_notifications() -> None:
    def code(method: str, params: object) -> Any:
        answer = fast_stdio.answer(fast_upstream.Server(3), calls.request(method, params).encode())
        return json.loads(answer)["error"]["code"]

    assert code("tools/call", {"name": "tool_3", "arguments": {"text": "x"}}) == -32602
    assert code("nothing/known", {"_meta": calls.META}) == -32601
    assert fast_stdio.answer(fast_upstream.Server(3), b'{"jsonrpc": "2.0", "method": "notifications/x"}') == b""


@pytest.mark.parametrize("form", stdio_load.FORMS)
def test_the_stdio_load_gets_as_many_answers_as_it_sends_calls(form: str, tmp_path: Path) -> None:
    params = stdio_load.FORMS[form]("echo")
    with stdio_load.client([sys.executable, str(HERE / "fast_stdio.py")], tmp_path / "log") as server:
        server.initialize()
        assert len(server.one_by_one(params, 5)) == 5
        assert server.in_flight(params, 50, 16) > 0


WRONG = {
    "an error": {"id": 2, "error": {"code": -32602, "message": "no"}},
    "another id": {"id": 7, "result": {"content": [{"type": "text", "text": calls.TEXT}]}},
    "another text": {"id": 2, "result": {"content": [{"type": "text", "text": "hello"}]}},
    "a failed call": {"id": 2, "result": {"content": [{"type": "text", "text": calls.TEXT}], "isError": True}},
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_the_stdio_load_notices_a_wrong_answer(answer: dict[str, object], tmp_path: Path) -> None:
    greeting = json.dumps({"id": 1, "result": {}})
    notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    script = "import sys\nfor text in sys.argv[1:]:\n sys.stdin.readline()\n print(text, flush=True)"
    # What the server reads are initialize, the notification after it and the call; the second it answers with another.
    command = [sys.executable, "-c", script, greeting, notice, json.dumps(answer)]
    with stdio_load.client(command, tmp_path / "log") as server:
        server.initialize()
        with pytest.raises(calls.WrongAnswerError):
            server.one_by_one(stdio_load.modern("echo"), 1)


def test_sessions_are_opened_one_by_one_and_a_refused_stream_is_noticed(streaming: Server) -> None:
    with Sessions(streaming.url, {}) as sessions:
        first, second = sessions.open(), sessions.open()
        assert first["Mcp-Session-Id"] != second["Mcp-Session-Id"]
        with pytest.raises(calls.WrongAnswerError, match="405"):
            sessions.listen(first)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk (scripts/system-packages.sh)")
def test_a_call_in_turns_goes_to_every_number(streaming: Server) -> None:
    call = calls.modern(streaming.url, "tool_@")  # of four numbers only 1 and 2 are tools
    result = loading.generate(
        loading.Row("in turn", streaming, call, generator=loading.in_turn(4), connections=1), 1, False
    )
    assert result["calls"] > 4
    assert abs(result["wrong"] - result["calls"] / 2) <= 1


def test_rounds_are_compared_pair_by_pair() -> None:
    rounds = [{"ms": 1.0}, {"ms": 2.0}, {"ms": 9.0}]
    assert loading.median(rounds) == {"ms": 2.0}
    assert loading.ratio(rounds, [{"ms": 1.0}, {"ms": 4.0}, {"ms": 3.0}], "ms") == 1.0


def test_a_guarded_config_holds_rules_and_claims_and_an_open_one_neither() -> None:
    entry = http("http://127.0.0.1:1/mcp")
    config = guarded_config(SETTINGS, {"allow": ["true"]}, fast=entry)
    assert config["policy"] == {"allow": ["true"]}
    assert config["auth"]["stdio"]["claims"]["role"] == "bench"
    assert not {"auth", "policy"} & open_config(fast=entry).keys()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_section_is_measured_with_real_servers() -> None:
    found = axes_stdio.measure(SETTINGS)
    assert json.loads(json.dumps(found)) == found
    loaded = [axes_stdio.DIRECT, axes_stdio.STDIO, axes_stdio.LEGACY_STDIO, axes_stdio.HTTP]
    assert list(found) == [*loaded, axes_stdio.AWAKE]
    assert all(found[name]["calls/s"] > 0 for name in loaded)
    assert all(figures["p50 ms"] > 0 for figures in found.values())
