"""Credentials of upstreams, marked in the config and looked for in everything that the gateway says when they fail."""

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.fixtures.echoing import REPLIES, answering
from tests.fixtures.live_gateway import ENVELOPE, JSON, Message, call, modern_headers, request
from tests.fixtures.processes import Running, running
from tests.fixtures.raw_upstream import raw_upstream, tool

CANARY = "canary-5f1c9e"  # in every secret, so that one search finds them all

ROOT = Path(__file__).parents[2]


def servers(stack: ExitStack) -> Message:
    """One server for each way to fail, each with secrets wherever an entry can have them."""
    ports = {name: stack.enter_context(answering(data)) for name, data in REPLIES.items()}
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refused = closed.getsockname()[1]
    urls = {name: f"http://user:{CANARY}@127.0.0.1:{port}/mcp?key={CANARY}" for name, port in ports.items()}
    urls["refused"] = f"http://user:{CANARY}@127.0.0.1:{refused}/mcp?key={CANARY}"
    urls["unknown"] = f"http://user:{CANARY}@unknown.invalid/mcp?key={CANARY}"
    urls["tls"] = f"https://user:{CANARY}@127.0.0.1:{ports['garbage']}/mcp?key={CANARY}"
    remote: Message = {
        name: {"url": url, "headers": {"X-Key": CANARY, "Cookie": f"a={CANARY}"}} for name, url in urls.items()
    }
    for name in REPLIES:  # these ones carry a token, which excludes a user in the URL
        remote[f"{name}-token"] = {
            "url": f"http://127.0.0.1:{ports[name]}/mcp?key={CANARY}",
            "headers": {"Authorization": "Bearer ${TOKEN}"},
        }
    remote |= {
        f"{name}-sse": {**remote[name], "type": "sse"} for name in ("garbage", "denied", "reason", "nowhere", "html")
    }
    secret_env = {"env": {"SECRET": CANARY}}
    return remote | {
        "missing": {"command": "/nonexistent/server", "args": ["--token", CANARY], **secret_env},
        "dies": {"command": sys.executable, "args": ["-c", "raise SystemExit(3)", CANARY], **secret_env},
        "mute": {"command": sys.executable, "args": ["-c", "print('nonsense')", CANARY], **secret_env},
        "unset": {"url": "http://127.0.0.1:1/${NOT_SET}", "headers": {"Authorization": f"Bearer {CANARY}"}},
    }


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A gateway before nothing but failing servers, and all that it answered."""
    folder = tmp_path_factory.mktemp("secrets")
    with ExitStack() as stack:
        broken = stack.enter_context(raw_upstream("modern"))
        broken.tools = [tool("echo", {"type": "object", "properties": {"n": {"type": "integer"}}})]
        config = {
            "mcpServers": {
                "works": {"url": f"{broken.url}?key={CANARY}", "headers": {"X-Key": CANARY}},
                **servers(stack),
            },
            "telemetry": {"log": {"level": "debug"}},
        }
        file = folder / "onegate.yaml"
        file.write_text(yaml.safe_dump(config))
        env = {**os.environ, "TOKEN": f"{CANARY}-of-env", "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-m", "gateway", "serve", "-c", file, "--port", "0"]
        gate = stack.enter_context(running(argv, r"http://127\.0\.0\.1:(\d+)/mcp", env, folder))
        answers = ask_everything(int(gate.match[1]), list(config["mcpServers"]))
        broken.calls["echo"] = lambda params: params["nothing"]  # the connection breaks in the middle of a call
        answers += ask_everything(int(gate.match[1]), ["works"])
        gate.end()
        yield gate, answers


def ask_everything(port: int, names: list[str]) -> str:
    """All that the doors say of these servers."""
    answers = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20.0)
    for name in names:
        for message in (
            call("echo", {"n": 1}),
            call("echo", {"n": "x"}),
            request("tools/list"),
            request("prompts/get", {"name": "x"}),
        ):
            for path, headers in ((f"/mcp/{name}", {}), ("/mcp", {})):
                connection.request("POST", path, request_bytes(message), {**JSON, **headers})
                response = connection.getresponse()
                answers.append(f"{response.status} {response.headers} {response.read()!r}")
        params = {"name": "echo", "arguments": {}, "_meta": ENVELOPE}
        for method in ("tools/call", "server/discover"):
            connection.request(
                "POST",
                f"/mcp/{name}",
                request_bytes(request(method, params)),
                {**JSON, **modern_headers(method, params)},
            )
            response = connection.getresponse()
            answers.append(f"{response.status} {response.headers} {response.read()!r}")
    for path in ("/healthz", "/readyz", "/nothing"):
        connection.request("GET", path)
        answers.append(repr(connection.getresponse().read()))
    connection.close()
    return "\n".join(answers)


def request_bytes(message: Message) -> bytes:
    return json.dumps(message).encode()


def lines_with(text: str) -> list[str]:
    return [line for line in text.splitlines() if CANARY in line]


def test_no_answer_tells_a_credential(said: tuple[Running, str]) -> None:
    assert lines_with(said[1]) == []


def test_every_failing_server_was_tried_and_named(said: tuple[Running, str]) -> None:
    log = said[0].stderr_text()
    for name in ("closes", "garbage-token", "reason-token", "refused", "unknown", "tls", "missing", "dies", "mute"):
        assert f"{name} is down" in log, log[-3000:]
    assert '"code":-31503' in said[1]


def test_no_line_of_the_log_tells_a_credential(said: tuple[Running, str]) -> None:
    assert lines_with(said[0].stderr_text()) == []


def test_no_line_on_stdout_tells_a_credential(said: tuple[Running, str]) -> None:
    assert lines_with("".join(said[0].stdout_lines)) == []


def test_no_failing_server_makes_the_gateway_stumble(said: tuple[Running, str]) -> None:
    """A traceback or an internal error would mean that a failure was not foreseen."""
    log = said[0].stderr_text().splitlines()
    assert [line for line in log if '"level": "error"' in line and "unset is disabled" not in line] == []
    assert "-32603" not in said[1]
