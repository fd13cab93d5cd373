"""`onegate status`: whom it asks and with which token, what it prints, and how it ends."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.cli_status import TOKEN as VARIABLE
from tests.fixtures.gateways import raw_entry
from tests.fixtures.live_gateway import live_gateway
from tests.fixtures.waiting import until

TOKEN = "a-token-of-operators"
SERVERS = {"a": {"command": "x"}}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No config of the machine, no token and no proxy of the environment that this runs in."""
    for name in (VARIABLE, "ONEGATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)


class Answering:
    """Stands where a gateway should be, answers everything alike, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 200, {"Location": "/elsewhere"}, b"{}"
        self.asked: list[tuple[str, str | None]] = []
        self.port = 0


@pytest.fixture
def other() -> Iterator[Answering]:
    found = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def written(folder: Path, **admin: Any) -> Path:
    file = folder / "onegate.yaml"
    file.write_text(json.dumps({"mcpServers": SERVERS, "admin": admin}))
    return file


@contextmanager
def running(folder: Path, **servers: Any) -> Iterator[str]:
    """A gateway with a token; gives the address of its admin listener."""
    admin = {"listen": "127.0.0.1:0", "token": TOKEN}
    with live_gateway(folder, {"admin": admin, "mcpServers": servers}) as live:
        yield f"127.0.0.1:{live.admin_port}"


def test_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with running(tmp_path, a=raw_entry()) as address:
        assert cli.main(["status", f"http://{address}"]) == 0
    head, _, titles, row = capsys.readouterr().out.splitlines()
    assert head.startswith("onegate ")
    assert ": ready; up " in head
    assert titles.split("\t")[:3] == ["server", "state", "for"]
    cells = dict(zip(titles.split("\t"), row.split("\t"), strict=True))
    assert (cells["server"], cells["state"], cells["tools"], cells["error"]) == ("a", "ready", "5", "")


def test_a_server_that_is_down_ends_it_with_1_and_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    bad = {"command": "sh", "args": ["-c", "echo 'no \x1b[31mdisk' >&2; exit 3"]}
    with running(tmp_path, a=raw_entry(), bad=bad) as address:

        def said() -> str:
            assert cli.main(["status", address]) == 1
            return capsys.readouterr().out

        shown = until(lambda: text if "last lines" in (text := said()) else "", "no attempt is just being made")
    assert "exited with code 3" in shown
    assert "last lines of bad on stderr:\n  no \\x1b[31mdisk" in shown
    assert "last lines of a " not in shown


def test_the_latest_failures_and_denials_are_told(other: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    event = {
        "time": "2027-01-15T07:58:30.000Z", "request_id": "r-1", "method": "tools/call", "target": "a_x",
        "upstream": "a", "identity": "ann", "reason": "denied by \x1b rule",
    }  # fmt: skip
    gateway = {
        "name": "g", "version": "1", "ready": False, "not_ready_because": ["a is required and waiting"],
        "uptime_seconds": 61, "in_flight": 1, "sessions": 2, "reload": None,
    }  # fmt: skip
    disabled = [{"name": "off", "reason": "K is not set"}]
    document = {"gateway": gateway, "upstreams": [], "disabled": disabled, "failures": [], "denials": [event]}
    other.body = json.dumps(document).encode()
    assert cli.main(["status", f"127.0.0.1:{other.port}"]) == 1
    said = capsys.readouterr().out
    assert "g 1: not ready: a is required and waiting; up 1 min 1 s, 1 in flight, 2 sessions, never reloaded" in said
    assert "off is disabled: K is not set" in said
    assert "latest failures" not in said
    row = r"07:58:30 UTC r-1 tools/call a_x a ann denied by \x1b rule"
    assert f"latest denials:\n{row}" in said.replace("\t", " ")


def test_the_whole_document_is_printed_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with running(tmp_path, a=raw_entry()) as address:
        assert cli.main(["status", f"http://{address}/status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upstreams"][0]["name"] == "a"


def test_without_the_token_it_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, a=raw_entry()) as address:
        (tmp_path / "onegate.yaml").unlink()
        assert cli.main(["status", address]) == 1
    assert f"answered 401 Unauthorized\nit needs its token: set {VARIABLE}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["-c", "onegate.yaml"]])
def test_the_config_says_where_and_with_which_token(tmp_path: Path, other: Answering, words: list[str]) -> None:
    written(tmp_path, listen=f"127.0.0.1:{other.port}", token=TOKEN)
    cli.main(["status", *words])
    assert other.asked == [("/status.json", f"Bearer {TOKEN}")]


def test_the_token_of_the_environment_comes_before_the_configs(
    tmp_path: Path, other: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, listen=f"127.0.0.1:{other.port}", token=TOKEN)
    monkeypatch.setenv(VARIABLE, "another")
    cli.main(["status"])
    assert other.asked == [("/status.json", "Bearer another")]


@pytest.mark.parametrize(("token", "sent"), [("of-a-file\n", "of-a-file"), ("pässwörd-€", "pässwörd-€")])
def test_the_token_of_the_environment_is_sent_as_it_is_meant(
    token: str, sent: str, other: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, token)
    cli.main(["status", f"http://127.0.0.1:{other.port}"])
    ((_, found),) = other.asked
    assert found is not None
    assert found.encode("latin-1").decode() == f"Bearer {sent}"


def test_a_token_that_no_header_holds_is_refused_and_not_shown(
    other: Answering, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "first-line\nsecond-line")
    assert cli.main(["status", f"http://127.0.0.1:{other.port}"]) == 1
    assert other.asked == []
    said = capsys.readouterr().err
    assert "the token holds a control character" in said
    assert "first-line" not in said


def test_the_configs_token_is_sent_to_its_own_listener_only(tmp_path: Path, other: Answering) -> None:
    file = written(tmp_path, listen="127.0.0.1:1", token=TOKEN)
    cli.main(["status", f"http://127.0.0.1:{other.port}"])
    assert other.asked.pop() == ("/status.json", None)
    cli.main(["status", f"http://127.0.0.1:{other.port}", "-c", str(file)])  # both are named: it is meant
    assert other.asked.pop() == ("/status.json", f"Bearer {TOKEN}")
    written(tmp_path, listen=f"0.0.0.0:{other.port}", token=TOKEN)
    cli.main(["status", f"http://127.0.0.1:{other.port}"])
    assert other.asked.pop() == ("/status.json", f"Bearer {TOKEN}")


def test_a_redirect_is_not_followed(other: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    other.status = 302
    assert cli.main(["status", f"http://127.0.0.1:{other.port}/under/status.json"]) == 1
    assert other.asked == [("/under/status.json", None)]
    assert "answered 302 Found\nis this an admin listener of onegate?" in capsys.readouterr().err


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b"[" * 100_000, b"\xff"])
def test_what_is_no_status_is_named(body: bytes, other: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    other.body = body
    assert cli.main(["status", f"http://127.0.0.1:{other.port}"]) == 1
    assert "/status.json is no status of onegate" in capsys.readouterr().err


def test_where_nothing_listens_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "127.0.0.1:1"]) == 1
    assert "no gateway answers at http://127.0.0.1:1: Connection refused\nstart one" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://[", "http://x:y", "http://x:0", "::", "http://a..b"])
def test_what_is_no_url_is_named(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", url]) == 1
    assert url in capsys.readouterr().err


@pytest.mark.parametrize(("listen", "said"), [(None, "no admin listener"), ("127.0.0.1:0", "any free port")])
def test_a_config_that_names_no_address_says_so(
    listen: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, listen=listen)
    assert cli.main(["status"]) == 1
    assert said in capsys.readouterr().err


def test_a_config_that_is_being_edited_keeps_nobody_from_asking(
    tmp_path: Path, other: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "onegate.yaml").write_text("mcpServers: {")
    cli.main(["status", f"http://127.0.0.1:{other.port}"])
    assert "the config cannot be read" in capsys.readouterr().err
    assert other.asked
