"""The benchmark's upstream and SDK proxy answer right, and its harness notices when one does not; no figures here."""

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client

HERE = Path(__file__).parent
MODES = {"2026-07-28": "2026-07-28", "legacy": "2025-11-25", "auto": "2026-07-28"}  # client mode: negotiated version


@pytest.fixture(scope="module")
def upstream_url() -> Iterator[str]:
    command = [sys.executable, str(HERE / "fast_upstream.py"), "--tools", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("mode", MODES)
def test_the_upstream_serves_the_sdk_client_in_both_eras(upstream_url: str, mode: str) -> None:
    async def main() -> None:
        async with Client(upstream_url, mode=mode) as client:
            assert client.protocol_version == MODES[mode]
            assert [tool.name for tool in (await client.list_tools()).tools] == ["echo", "tool_1", "tool_2"]
            result = await client.call_tool("echo", {"text": "hello"})
            assert result.content[0].model_dump()["text"] == "hello"

    anyio.run(main)


def status_of(url: str, body: dict[str, object] | None, headers: dict[str, str]) -> int:
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data, headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (None, {}, 405),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, {}, 202),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"Mcp-Session-Id": "never given"}, 404),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"MCP-Protocol-Version": "2026-07-28"}, 400),
        ({"neither": "request nor notification"}, {}, 400),
    ],
)
def test_the_upstream_refuses_what_the_specification_refuses(
    upstream_url: str, body: dict[str, object] | None, headers: dict[str, str], status: int
) -> None:
    assert status_of(upstream_url, body, {"Content-Type": "application/json", **headers}) == status


@pytest.mark.timeout(120)
@pytest.mark.skipif(
    shutil.which("wrk") is None or sys.platform != "linux", reason="needs wrk (scripts/system-packages.sh) and /proc"
)
def test_the_harness_checks_every_answer_and_writes_its_report(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    command = [sys.executable, str(HERE / "run.py"), "--quick", "--no-gateway", "--no-peers", "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert run.returncode == 0, run.stderr
    rows = json.loads(output.read_text())["rows"]
    assert set(rows) == {"direct", "SDK proxy, 2026-07-28", "SDK proxy, tuned, 2026-07-28"}
    assert all(row["calls/s"] > 0 for row in rows.values())
    assert "| SDK proxy, 2026-07-28 |" in output.with_suffix(".md").read_text()


@pytest.mark.timeout(30)
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk (scripts/system-packages.sh)")
def test_the_load_script_counts_wrong_answers(upstream_url: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})  # answered 202, without the text
    command = ["wrk", "-t1", "-c1", "-d1s", "-s", str(HERE / "call.lua"), upstream_url, "--", body, "expected"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    result = json.loads(output.rpartition("RESULT ")[2])
    assert result["wrong"] == result["calls"] > 0
