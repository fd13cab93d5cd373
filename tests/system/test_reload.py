"""A running gateway takes a new config: what changes, what stays, what is refused, and what it costs."""

import hashlib
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gateway.config import load
from tests.fixtures.gateways import Entry, Message, Served, raw_entry, serving, stdio
from tests.fixtures.live_gateway import JSON, LiveGateway, head, live_gateway, read_answer, request
from tests.fixtures.pending import CLIENTS_SECONDS, Marks, pending_call
from tests.fixtures.process_tree import alive
from tests.fixtures.reloads import storm
from tests.fixtures.waiting import until

MODERN, META = "2026-07-28", "io.modelcontextprotocol/"
LEGACY = "2025-11-25"
ONLY_PID: Message = {"policy": {"allow": ['mcp.tool.name == "pid"']}}
TWO: dict[str, Entry] = {"a": raw_entry(), "b": raw_entry()}
CHANGED = "notifications/tools/list_changed"


def rewrite(home: Path, servers: dict[str, Entry], **sections: object) -> None:
    """Save the config as an editor does: a new file in the old one's place."""
    fresh = home / "fresh.json"
    fresh.write_text(json.dumps({"server": {}, "admin": {"listen": None}, "mcpServers": servers, **sections}))
    fresh.replace(home / "onegate.json")


def read_again(served: Served) -> None:
    """Have the config read at once, where a test is not about how the gateway hears of it: that takes up to 2 s."""
    os.kill(served.pid, signal.SIGHUP)


def names(served: Served, door: str = "") -> set[str]:
    return {name for name in served.tools(door) if name.endswith(("echo", "pid"))}


def errors(served: Served) -> list[str]:
    return [event["message"] for event in served.log() if event["level"] == "error"]


def sent(url: str, body: Message | None, **headers: str) -> HTTPResponse:
    data = None if body is None else json.dumps({"jsonrpc": "2.0", "id": 1, **body}).encode()
    usual = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    answer = urlopen(Request(url, data, {**usual, **headers}), timeout=CLIENTS_SECONDS)
    assert isinstance(answer, HTTPResponse)
    return answer


def key(secret: str) -> Message:
    """The auth section that takes this key only."""
    return {"auth": {"api_keys": [{"name": "ci", "sha256": hashlib.sha256(secret.encode()).hexdigest()}]}}


def take(live: LiveGateway, home: Path, config: Message) -> None:
    """Let a gateway within this process take a config."""
    file = home / "next.yaml"
    file.write_text(json.dumps(config))
    config_read, done = load(file, {}), threading.Event()
    live.loop.call_soon_threadsafe(lambda: (live.gateway.reload(config_read), done.set()))
    assert done.wait(CLIENTS_SECONDS)


def session(url: str, **headers: str) -> dict[str, str]:
    """Initialize; returns the headers of the session."""
    info = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    with sent(url, {"method": "initialize", "params": info}, **headers) as hello:
        return {"Mcp-Session-Id": hello.headers["Mcp-Session-Id"], "Mcp-Protocol-Version": LEGACY}


def listening(url: str) -> HTTPResponse:
    """Open a modern stream of changes."""
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    params = {"notifications": {"toolsListChanged": True}, "_meta": meta}
    headers = {"Mcp-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    return sent(url, {"method": "subscriptions/listen", "params": params}, **headers)


def heard(stream: HTTPResponse, method: str) -> Message:
    """Read the stream up to this notification; a stream that ends before fails."""
    while line := stream.readline():
        if line.startswith(b"data: ") and (message := json.loads(line[6:])).get("method") == method:
            return dict(message)
    raise AssertionError(f"the stream ended without {method}")


def test_a_saved_config_holds_from_the_next_call_and_unchanged_servers_stay(tmp_path: Path) -> None:
    with serving(tmp_path, TWO) as gateway:
        until(lambda: names(gateway) == {"a_echo", "a_pid", "b_echo", "b_pid"}, "both servers are listed")
        stays, goes = gateway.call("a_pid"), int(gateway.call("b_pid"))
        rewrite(tmp_path, {"a": raw_entry(), "c": raw_entry()}, **ONLY_PID)
        until(lambda: names(gateway) == {"a_pid", "c_pid"}, "the new list")
        assert gateway.call("a_pid") == stays
        _, answer = gateway.ask("tools/call", {"name": "a_echo", "arguments": {}})
        assert answer["error"] == {"code": -32602, "message": "Unknown tool: a_echo"}
        until(lambda: not alive(goes), "the removed server is gone")
        rewrite(tmp_path, {"a": raw_entry("--tools", "1")}, **ONLY_PID)
        until(lambda: names(gateway) == {"a_pid"}, "the list without the third")
        until(lambda: gateway.call("a_pid") != stays, "the changed server is another process")
        assert errors(gateway) == []


def test_clients_of_both_eras_hear_that_their_list_changed_and_keep_their_sessions(tmp_path: Path) -> None:
    with serving(tmp_path, TWO) as gateway:
        until(lambda: "b_pid" in names(gateway), "both servers are listed")
        mine = session(gateway.url)
        with sent(gateway.url, None, **mine) as legacy, listening(gateway.url) as modern:
            heard(modern, "notifications/subscriptions/acknowledged")
            rewrite(tmp_path, TWO, **ONLY_PID)
            read_again(gateway)
            heard(legacy, CHANGED)
            heard(modern, CHANGED)
        with sent(gateway.url, {"method": "tools/list"}, **mine) as answer:
            assert len(json.load(answer)["result"]["tools"]) == 2


def test_a_door_that_is_gone_ends_its_sessions_and_streams(tmp_path: Path) -> None:
    with serving(tmp_path, TWO) as gateway:
        until(lambda: "b_pid" in names(gateway), "both servers are listed")
        mine = session(f"{gateway.url}/b")
        with sent(f"{gateway.url}/b", None, **mine) as legacy, listening(f"{gateway.url}/b") as modern:
            rewrite(tmp_path, {"a": raw_entry()})
            read_again(gateway)
            legacy.read()
            modern.read()
        assert _status(f"{gateway.url}/b", mine) == 404
        rewrite(tmp_path, TWO)
        read_again(gateway)
        until(lambda: "b_pid" in names(gateway), "the door is back")
        assert _status(f"{gateway.url}/b", mine) == 404  # the session is not


def test_a_config_that_is_broken_or_opens_is_refused_while_the_old_one_serves(tmp_path: Path) -> None:
    with serving(tmp_path, TWO) as gateway:
        until(lambda: "b_pid" in names(gateway), "both servers are listed")
        rewrite(tmp_path, TWO, **ONLY_PID)
        read_again(gateway)
        until(lambda: names(gateway) == {"a_pid", "b_pid"}, "the policy holds")
        rewrite(tmp_path, TWO)
        read_again(gateway)
        until(lambda: len(errors(gateway)) == 1, "the opening is refused")
        (tmp_path / "onegate.json").write_text('{"server": {}, "mcpServers": {')
        read_again(gateway)
        until(lambda: len(errors(gateway)) == 2, "the broken file is refused")
        no_folder = {"audit": {"file": "no/such/folder"}, "log": {"format": "text"}}
        rewrite(tmp_path, TWO, policy="allow_all", telemetry=no_folder)
        read_again(gateway)
        until(lambda: len(errors(gateway)) == 3, "what is found out late is refused, and the log goes on as it was")
        assert "policy: is gone" in errors(gateway)[0]
        assert names(gateway) == {"a_pid", "b_pid"}
        rewrite(tmp_path, TWO, policy="allow_all")
        read_again(gateway)
        until(lambda: "a_echo" in names(gateway), "the words for it open")


def test_a_config_that_leaves_its_auth_out_is_refused_until_it_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, TWO) as gateway:
        rewrite(tmp_path, TWO, **key("secret"))
        until(lambda: _status(gateway.url, {}) == 401, "the gate is closed")
        rewrite(tmp_path, TWO)
        until(lambda: len(errors(gateway)) == 1, "the opening is refused")
        assert "auth: is gone" in errors(gateway)[0]
        assert _status(gateway.url, {}) == 401
        rewrite(tmp_path, TWO, auth={"mode": "none"})
        until(lambda: _status(gateway.url, {}) == 200, "the words for it open")


def test_sighup_reads_the_config_at_once_and_ends_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, TWO) as gateway:
        until(lambda: "b_pid" in names(gateway), "both servers are listed")
        for _ in range(2):
            before = len([one for one in gateway.log() if "read again" in one["message"]])
            os.kill(gateway.pid, signal.SIGHUP)
            until(lambda before=before: _rereads(gateway) > before, "the config is read")
        assert gateway.process.process.poll() is None
        assert "b_pid" in names(gateway)


def test_a_call_to_a_server_that_changes_ends_where_it_began(
    tmp_path: Path, pool: ThreadPoolExecutor, marks: Marks
) -> None:
    with serving(tmp_path, TWO) as gateway:
        until(lambda: "b_pid" in names(gateway), "both servers are listed")
        done = marks()
        waiting = pending_call(pool, gateway, "b_wait", mark=marks(), until=done)
        rewrite(tmp_path, {"a": raw_entry()})
        read_again(gateway)
        until(lambda: names(gateway) == {"a_echo", "a_pid"}, "the server is gone from the list")
        done.touch()
        status, message = waiting.result(CLIENTS_SECONDS)
        assert (status, message["result"]["content"][0]["text"]) == (200, "waited")


def test_a_key_that_is_gone_opens_nothing_from_the_next_call_and_its_streams_end(tmp_path: Path) -> None:
    with live_gateway(tmp_path, {"mcpServers": TWO, **key("old")}) as live:
        url, mine = f"http://127.0.0.1:{live.port}/mcp", {"Authorization": "Bearer old"}
        mine |= session(url, **mine)
        with sent(url, None, **mine) as stream:
            assert _status(url, mine) == 200
            take(live, tmp_path, {"mcpServers": TWO, **key("new")})
            stream.read()
        assert _status(url, mine) == 401
        assert _status(url, {"Authorization": "Bearer new"}) == 200


def test_who_began_a_request_before_a_gate_was_closed_is_asked_again_when_its_body_comes(tmp_path: Path) -> None:
    body = json.dumps(request("tools/list")).encode()
    with live_gateway(tmp_path, {"mcpServers": TWO}) as live:
        whole = head("POST", "/mcp", JSON, body)
        with live.connect(whole[: -len(body)]) as connection:
            until(lambda: live.gateway.service.in_flight == 1, "the head has arrived")
            take(live, tmp_path, {"mcpServers": TWO, "policy": "allow_all", **key("new")})
            connection.sendall(body)
            assert read_answer(connection).status == 401


def test_the_client_on_stdio_hears_of_a_new_config_too(tmp_path: Path) -> None:
    with stdio(tmp_path, TWO) as client:
        client.initialize()
        assert "b_echo" in client.tools()
        client.notices.clear()
        rewrite(tmp_path, TWO, **ONLY_PID)
        until(lambda: CHANGED in [notice["method"] for notice in client.notices], "the list changed")
        assert client.tools() == ["a_pid", "b_pid"]


@pytest.mark.alone  # a server that was replaced takes calls for 0.25 s more
def test_many_reloads_under_load_fail_no_call_and_leave_nothing_behind(tmp_path: Path) -> None:
    with storm(tmp_path) as under:
        under.reload(20)
        before = under.left()
        under.reload(180)
        after = under.left()
        assert under.failures == []
        assert after.objects == before.objects
        assert after.fds <= before.fds + 10  # connections of clients come and go
        assert after.tasks <= before.tasks + 10
        assert after.views <= 10


def _rereads(served: Served) -> int:
    return len([one for one in served.log() if "read again" in one["message"]])


def _status(url: str, headers: dict[str, str]) -> int:
    try:
        with sent(url, {"method": "tools/list"}, **headers) as answer:
            return answer.status
    except HTTPError as refusal:
        with refusal:
            return refusal.code
