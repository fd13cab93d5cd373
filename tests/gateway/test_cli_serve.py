"""Where `onegate serve` listens, and what it says when it cannot."""

import argparse
import errno
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import app_serving as app
from gateway.auth_config import AuthConfig
from gateway.cli_output import Mistake
from gateway.cli_serve import PortTaken, listen_on, serve
from gateway.config import Config, ServerConfig

CONFIG = Config(source=Path("x"), folder=Path(), servers={}, server=ServerConfig(host="::1", port=81))


def args(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"host": None, "port": None, **given})


def failing(monkeypatch: pytest.MonkeyPatch, error: OSError, url: str | None = None) -> None:
    async def serve(_: Config, host: str, port: int, ready: Callable[[str], None]) -> int:
        if url is not None:
            ready(url)
        raise error

    def run(main: Coroutine[Any, Any, int]) -> None:
        main.send(None)

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(app, "run", run)


def test_arguments_win_over_the_config() -> None:
    assert listen_on(CONFIG, args()) == ("::1", 81)
    assert listen_on(CONFIG, args(host="127.0.0.1", port=0)) == ("127.0.0.1", 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(Mistake, match=r"0 \(any free one\) to 65535"):
        listen_on(CONFIG, args(port=port))


@pytest.mark.parametrize(
    ("number", "kind", "mend"),
    [
        (errno.EADDRINUSE, PortTaken, r"\[::1\]:81: another program uses it; .* --port or server.port"),
        (errno.EACCES, Mistake, "a port over 1023"),
        (errno.EADDRNOTAVAIL, Mistake, "no such address; .* --host or server.host"),
        (errno.EPROTONOSUPPORT, Mistake, "oh; see --host"),
    ],
)
def test_what_keeps_it_from_listening_has_a_mend(
    number: int, kind: type[Mistake], mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, OSError(number, "oh"))
    with pytest.raises(kind, match=mend):
        serve(CONFIG, "::1", 81, print)


def test_a_failure_after_it_listens_is_not_blamed_on_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError(errno.EADDRINUSE, "other"), url="http://x")
    said: list[str] = []
    with pytest.raises(OSError, match="other"):
        serve(CONFIG, "::1", 81, said.append)
    assert said == ["http://x"]


def test_a_key_file_that_cannot_be_used_keeps_it_from_starting(tmp_path: Path) -> None:
    issuer = {"issuer": "x", "audiences": ["y"], "algorithms": ["RS256"], "public_key_file": "none.pem"}
    config = replace(CONFIG, source=tmp_path / "onegate.yaml", auth=AuthConfig.model_validate({"jwt": [issuer]}))
    said: list[str] = []
    with pytest.raises(Mistake, match=r"onegate.yaml: auth.jwt\[0\].public_key_file: "):
        serve(config, "127.0.0.1", 0, said.append)
    assert said == []
