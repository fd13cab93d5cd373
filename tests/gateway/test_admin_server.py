"""When there is an admin listener, and what is said when its address cannot be had."""

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import app_serving as app
from gateway.app import Gateway
from gateway.cli_output import Mistake
from gateway.cli_serve import PortTaken, serve
from gateway.config import Config
from gateway.config_problems import ConfigError
from gateway.config_telemetry import AdminConfig
from gateway.reload import difference, kept_from
from gateway.status import Source
from gateway.transports.admin_server import AdminServer, CannotListen
from gateway.transports.listener import Listener

CONFIG = Config(source=Path("x"), folder=Path(), servers={})
TOKEN = "a-token-of-operators"


def no_metrics(accept: str | None) -> tuple[bytes, str]:
    return b"", "text/plain"


def listening(listen: str | None, token: str | None = None, *, says: bool = True) -> Config:
    return replace(CONFIG, admin=AdminConfig(listen=listen, token=token), says_admin=says)


def server(config: Config) -> AdminServer:
    return AdminServer(Source(Gateway(config), lambda: None), no_metrics)


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.anyio
async def test_no_listener_is_opened_where_the_config_wants_none() -> None:
    admin = server(listening(None))
    assert admin.bind() is None
    async with admin.serving():
        pass


@pytest.mark.anyio
async def test_a_configured_address_that_is_taken_is_an_error(taken: str) -> None:
    with pytest.raises(CannotListen, match=f"the admin listener cannot have {taken}: "):
        server(listening(taken)).bind()


@pytest.mark.anyio
async def test_the_default_address_that_is_taken_is_a_warning(taken: str, caplog: pytest.LogCaptureFixture) -> None:
    admin = server(listening(taken, says=False))
    with caplog.at_level(logging.WARNING, "onegate"):
        assert admin.bind() is None
    assert f"cannot have {taken}" in caplog.text
    assert "metrics and status are off" in caplog.text
    async with admin.serving():
        pass


@pytest.mark.anyio
async def test_without_a_token_it_binds_nothing_off_loopback() -> None:
    with pytest.raises(ConfigError, match=r"add admin\.token"):
        server(listening("0.0.0.0:0")).bind()


@pytest.mark.anyio
async def test_a_token_that_a_reload_takes_away_off_loopback_holds_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Listener, "bind", lambda self: "http://192.0.2.1:1")
    gateway = Gateway(listening("192.0.2.1:1", TOKEN))
    assert AdminServer(Source(gateway, lambda: None), no_metrics).bind() == "http://192.0.2.1:1"
    gateway.reload(listening("127.0.0.1:0"))
    assert "admin.token is gone" in caplog.text


def test_a_configured_address_that_is_taken_ends_the_command_with_a_mend(
    taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_watched", None)  # it does not come as far
    with pytest.raises(Mistake, match=r"choose another address with admin\.listen") as found:
        serve(listening(taken), "127.0.0.1", 0, print)
    assert not isinstance(found.value, PortTaken)


def test_another_address_holds_after_a_restart_and_another_token_at_once() -> None:
    old = listening("127.0.0.1:1")
    assert kept_from(old, listening("127.0.0.1:2")) == ["admin.listen"]
    assert kept_from(old, listening("127.0.0.1:1", TOKEN)) == []
    assert difference(old, listening("127.0.0.1:1", TOKEN)) == "admin"
