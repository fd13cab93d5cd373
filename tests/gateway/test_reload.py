"""What of a new config may be taken, and when its file is read again."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import reload
from gateway.config import Config, load
from gateway.reload import Reader, difference, exposed, kept_from, refusal, signature, unchanged, watch

pytestmark = pytest.mark.anyio

SERVER = {"command": "server"}
ALLOW = {"policy": {"allow": ['mcp.tool.name == "x"']}}
KEYS = {"auth": {"api_keys": [{"name": "ci", "sha256": "0" * 64}]}}

Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes a config with these sections and loads it."""

    def config(**sections: Any) -> Config:
        file = tmp_path / "onegate.yaml"
        file.write_text(json.dumps({"mcpServers": {"a": SERVER}, **sections}))
        return load(file, {})

    return config


@pytest.mark.parametrize("section", [ALLOW, KEYS], ids=["policy", "auth"])
def test_a_gate_that_is_left_out_is_not_opened(section: Any, read: Read) -> None:
    (key,) = section
    assert f"{key}: is gone" in (refusal(read(**section), read()) or "")
    assert refusal(read(**section), read(**section)) is None
    assert refusal(read(), read(**section)) is None
    assert refusal(read(), read()) is None


def test_the_words_for_it_open_a_gate(read: Read) -> None:
    both = read(**ALLOW, **KEYS)
    assert refusal(both, read(policy="allow_all", auth={"mode": "none"})) is None
    assert "auth: is gone" in (refusal(both, read(policy="allow_all")) or "")
    assert "policy: is gone" in (refusal(both, read(auth={"mode": "none"})) or "")


def test_the_admin_listener_loses_no_token_by_leaving_it_out(read: Read) -> None:
    closed = read(admin={"token": "0123456789abcdef"})
    assert "admin.token: is gone" in (refusal(closed, read()) or "")
    assert "admin.token: is gone" in (refusal(closed, read(admin={"listen": "127.0.0.1:1"})) or "")
    assert refusal(closed, read(admin={"token": None})) is None
    assert refusal(closed, read(admin={"token": "another-token-of-16"})) is None


def test_what_was_open_may_say_so_no_more(read: Read) -> None:
    assert refusal(read(policy="allow_all"), read()) is None
    assert refusal(read(auth={"mode": "none"}), read()) is None


def test_a_door_whose_own_policy_is_left_out_is_not_opened(read: Read) -> None:
    guarded = read(routes={"/mcp/a": {"upstreams": ["a"], **ALLOW}})
    assert "routes./mcp/a.policy: is gone" in (refusal(guarded, read(routes={"/mcp/a": {"upstreams": ["a"]}})) or "")
    assert "routes./mcp/a.policy: is gone" in (refusal(guarded, read()) or "")  # the server has a door of this path
    assert refusal(guarded, read(server={"per_server_doors": False})) is None


def test_a_config_without_a_door_is_refused(read: Read) -> None:
    assert "no other door" in (refusal(read(), read(server={"path": None, "per_server_doors": False})) or "")


def test_a_host_that_others_reach_needs_what_it_needs_at_start(read: Read) -> None:
    assert "lets other machines in" in (exposed(read(**ALLOW), "0.0.0.0") or "")
    assert exposed(read(**ALLOW), "127.0.0.1") is None
    assert exposed(read(**ALLOW, **KEYS), "0.0.0.0") is None


def test_servers_with_equal_entries_are_kept(read: Read) -> None:
    old = read(mcpServers={"a": SERVER, "b": SERVER, "c": SERVER})
    new = read(mcpServers={"c": SERVER, "a": {**SERVER, "args": ["1"]}, "d": SERVER})
    assert unchanged(old, new) == {"c"}
    assert difference(old, new) == "servers +d -b ~a"


def test_what_changed_is_named_and_no_value_of_it(read: Read) -> None:
    old = read(**ALLOW)
    assert difference(old, read(**ALLOW)) == "nothing"
    new = read(policy={"allow": ["true"]}, name="b", rate_limits=[{"per": "identity", "rate": "1/s"}], **KEYS)
    assert difference(old, new) == "name, auth, policy, rate_limits"
    assert difference(old, read(**ALLOW, tool_api={"enabled": False})) == "tool_api"
    assert kept_from(old, read(server={"host": "127.0.0.2", "port": 1, "path": "/x"})) == ["server.host", "server.port"]


def test_a_file_has_another_signature_after_each_change_and_none_when_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert signature(file) is None
    file.write_text("a")
    first = signature(file)
    assert first == signature(file)
    os.utime(file, ns=(1, 1))
    second = signature(file)
    other = tmp_path / "other"
    other.write_text("a")
    os.utime(other, ns=(1, 1))
    other.replace(file)
    assert len({first, second, signature(file)}) == 3


class Looks:
    """What a file looks like, look after look; the last look ends the test's watch."""

    def __init__(self, *signatures: int | None) -> None:
        self._left = list(signatures)
        self.reads = list[int]()

    def __call__(self, path: Path) -> tuple[int, ...] | None:
        if not self._left:
            raise StopWatchingError
        found = self._left.pop(0)
        return None if found is None else (found,)

    async def reread(self) -> None:
        self.reads.append(len(self._left))


class StopWatchingError(Exception):
    pass


async def watched(looks: Looks, monkeypatch: pytest.MonkeyPatch, asked: asyncio.Event | None = None) -> list[int]:
    monkeypatch.setattr(reload, "signature", looks)
    monkeypatch.setattr(reload, "POLL_SECONDS", 0.001)
    with pytest.raises(StopWatchingError):
        await watch(Path("x"), asked or asyncio.Event(), looks.reread)
    return looks.reads


async def test_a_change_is_read_once_it_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await watched(Looks(1, 1, 2, 3, 3, 3), monkeypatch) == [1]


async def test_a_file_that_is_away_for_a_moment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await watched(Looks(1, None, None, 1, 1, None, 2, 2), monkeypatch) == [0]


async def test_who_asks_is_heeded_at_once_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()
    asked.set()
    assert await watched(Looks(1, 1, 1, 1), monkeypatch, asked) == [2]


async def test_a_config_that_cannot_be_used_changes_nothing_and_is_named(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    old, taken = read(**ALLOW), list[Config]()
    caplog.set_level("INFO", "onegate.mcp")
    reader = Reader(lambda: old, taken.append, "127.0.0.1")
    for text in ("{{{", json.dumps({"mcpServers": {"a": SERVER}}), json.dumps({"mcpServers": {"a": {"comand": "x"}}})):
        old.source.write_text(text)
        await reader()
    assert taken == []
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert all("the present one serves on" in record.message for record in caplog.records)
    old.source.unlink()
    await reader()
    assert len(caplog.records) == 4


async def test_a_fault_of_ours_leaves_the_present_config(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    def fail(config: Config) -> None:
        raise RuntimeError

    await Reader(read, fail, "127.0.0.1")()
    assert "the present one serves on" in caplog.text


async def test_a_good_config_is_taken_and_what_changed_is_told_in_one_line(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    old, taken = read(), list[Config]()
    read(**ALLOW)
    caplog.set_level("INFO", "onegate.mcp")
    await Reader(lambda: old, taken.append, "127.0.0.1")()
    assert [one.has_policy for one in taken] == [True]
    assert caplog.messages == ["the config is read again; changed: policy"]


async def test_what_holds_after_a_restart_only_is_told_where_there_is_a_listener(
    read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    old = replace(read(), auth=None)
    read(server={"port": 1})
    await Reader(lambda: old, lambda config: None, "127.0.0.1")()
    assert "server.port: holds after a restart" in caplog.text
    caplog.clear()
    await Reader(lambda: old, lambda config: None)()
    assert "restart" not in caplog.text


async def test_how_the_last_reading_went_is_kept_for_operators(read: Read) -> None:
    old = read(**ALLOW)
    reader = Reader(lambda: old, lambda config: None, "127.0.0.1")
    assert reader.latest is None
    read()
    await reader()
    refused = reader.latest
    assert refused is not None
    assert (refused.taken, refused.said[:24]) == (False, "refused: policy: is gone")
    old.source.write_text("{{{")
    await reader()
    assert reader.latest is not None
    assert reader.latest is not refused
    assert not reader.latest.taken
    read(**ALLOW, name="other")
    await reader()
    assert (reader.latest.taken, reader.latest.said) == (True, "changed: name")
    assert reader.latest.time >= refused.time
