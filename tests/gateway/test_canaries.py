"""Every secret that there is, planted; every way to fail, walked; and then a search in all that people get to read."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from gateway import logs
from gateway.app import Gateway
from gateway.config import load
from gateway.config_telemetry import LogConfig
from tests.fixtures import canaries
from tests.fixtures.canaries import ARGUMENTS, CALLER_HEADERS, places
from tests.fixtures.gateways import command, environment, stdio
from tests.fixtures.live_gateway import JSON, Answer, LiveGateway, call, live_gateway, request
from tests.fixtures.otlp_receiver import Receiver, receiving
from tests.fixtures.process_tree import command_line, descendants
from tests.fixtures.waiting import until


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


UPSTREAMS = ("clumsy", "modern", "legacy")
TOOLS = ("fine", "fails", "errs", "slow", "wait", "barred", "guarded", "limited", "limited", "absent", "dies", "fine")
"""What is called of each upstream, in this order; `slow` and `wait` time out, and after `dies` it is down."""
FINE = "fine"


@dataclass
class Run:
    """A gateway that has seen everything, and what it said."""

    live: LiveGateway
    log: io.StringIO
    audit: Path
    receiver: Receiver
    answers: list[str] = field(default_factory=list)
    """Whole answers, status and headers included."""
    echoed: list[str] = field(default_factory=list)
    """Those that give callers their own arguments back."""
    statuses: set[tuple[int, int | None]] = field(default_factory=set)

    def operator_sees(self, path: str) -> str:
        """What the admin listener answers to whoever has its token."""
        answer = self.live.admin(path, Authorization=f"Bearer {canaries.ADMIN_TOKEN}")
        assert answer.status == 200
        return f"{dict(answer.headers)} {answer.body.decode()}"

    def audited(self) -> str:
        """The audit file, once it has a line for the last call."""
        last = self.live.gateway.telemetry.observer.recent.events[-1].request_id
        return str(until(lambda: text if last in (text := self.audit.read_text()) else "", "a line"))

    def traced(self) -> str:
        """The spans of all calls, as a receiver gets them."""
        self.receiver.named("gateway.respond", "mcp.tool.execute")
        return repr(self.receiver.spans) + "".join(body.decode("latin-1") for body in self.receiver.raw)

    def took(self, answer: Answer, *, echo: bool = False) -> Answer:
        """Keep an answer."""
        said = f"{answer.status} {dict(answer.headers)} {answer.body.decode()}"
        (self.echoed if echo else self.answers).append(said)
        is_json = answer.body[:1] == b"{" or answer.headers.get("content-type") == "text/event-stream"
        self.statuses.add((answer.status, answer.code if is_json else None))
        return answer


TOLD: list[tuple[str, Callable[[Run], str]]] = [
    ("the log", lambda run: run.log.getvalue()),
    ("answers", lambda run: "\n".join(run.answers)),
    ("the latest failures", lambda run: repr(run.live.gateway.telemetry.observer.recent.events)),
    ("labels of metrics", lambda run: repr(vars(run.live.gateway.telemetry.observer.measures))),
    ("errors of upstreams", lambda run: repr([one.last_error for one in run.live.gateway.upstreams.values()])),
    ("metrics", lambda run: run.operator_sees("/metrics")),
    ("the status page", lambda run: run.operator_sees("/status")),
    ("the status document", lambda run: run.operator_sees("/status.json")),
    ("the audit file", lambda run: run.audited()),
    ("traces", lambda run: run.traced()),
    ("last words of upstreams", lambda run: repr([one.stderr() for one in run.live.gateway.upstreams.values()])),
]
"""All that people get to read: whatever is added to what a gateway tells is added here."""


def ask_in_every_era(run: Run, headers: dict[str, str], tools: tuple[str, ...]) -> None:
    """Calls of each upstream, in the three ways in which clients call."""
    live, jsons = run.live, {**headers, **CALLER_HEADERS}
    for server in UPSTREAMS:
        path = f"/mcp/{server}"
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}
        opened = run.took(live.post(request("initialize", params), jsons, path))
        session = {**jsons, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
        for tool in tools:
            for arguments in (ARGUMENTS, {"n": ARGUMENTS["text"]}):
                echo = tool == FINE or arguments is not ARGUMENTS  # a schema's mismatch may be quoted to who made it
                params = {"name": tool, "arguments": arguments}
                run.took(live.post(call(tool, arguments), jsons, path), echo=echo)
                run.took(live.post(call(tool, arguments), session, path), echo=echo)
                run.took(live.modern("tools/call", params, jsons, path), echo=echo)
        for method, params in (
            ("prompts/get", {"name": "greet"}),
            ("resources/read", {"uri": "raw://one"}),
            ("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "a"}}),
            ("nothing/like", {}),
        ):
            run.took(live.post(request(method, params), jsons, path))
            run.took(live.modern(method, params, jsons, path))


def ask_with_bad_credentials(run: Run) -> None:
    """Everybody who is not let in."""
    for headers in (
        {},
        {"Authorization": f"Bearer {canaries.BAD_TOKEN}"},
        {"Authorization": f"Bearer {canaries.TOKEN}x"},
        {"Authorization": f"Basic {canaries.ENCODED['basic']}"},
        {"x-api-key": canaries.GUESSED_KEY},
        {"Authorization": f"Bearer {canaries.TOKEN}", "x-api-key": canaries.GUESSED_KEY},
        {"Authorization": f"Bearer {canaries.TOKEN}", "x-api-key": canaries.KEY, "x-bf-vk": canaries.GUESSED_KEY},
    ):
        run.took(run.live.post(call("fine", ARGUMENTS), {**headers, **CALLER_HEADERS}))
    authorized = {"Authorization": f"Bearer {canaries.TOKEN}", **CALLER_HEADERS}
    for body in (b"{", json.dumps(ARGUMENTS).encode(), b"[]"):
        run.took(run.live.post(body, authorized))
    run.took(run.live.http("GET", f"/{canaries.canary('argument')}", {**JSON, **authorized}))


@pytest.fixture(scope="module", params=["json", "text"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("canaries")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in canaries.ENVIRON.items():
            patch.setenv(name, value)
        servers = {**canaries.clumsy_servers(), **canaries.remote_servers(stack)}
        log = io.StringIO()
        logs.set_up(LogConfig(level="debug", format=request.param), str, log)
        config, receiver = canaries.settings(servers, request.param), stack.enter_context(receiving())
        audit = folder / "audit.jsonl"
        config["telemetry"] |= {"audit": {"file": str(audit)}, "otlp": {"endpoint": receiver.url}}
        live = stack.enter_context(live_gateway(folder, config, environ=canaries.ENVIRON))
        seen = Run(live, log, audit, receiver)
        until(lambda: live.gateway.upstreams["clumsy"].state == "ready", "the clumsy server is up")
        ask_in_every_era(seen, {"Authorization": f"Bearer {canaries.TOKEN}"}, TOOLS)
        ask_in_every_era(seen, {"x-api-key": canaries.KEY}, ("fine", "errs", "barred"))
        ask_with_bad_credentials(seen)
        yield seen


@pytest.mark.parametrize("name", [name for name, _ in TOLD])
def test_no_canary_is_in(run: Run, name: str) -> None:
    text = dict(TOLD)[name](run)
    assert text
    # A caller's own words may come back to him, in the answer to nobody else's request.
    assert places(text) - (canaries.OF_ARGUMENTS if name == "answers" else set()) == set()


def test_answers_that_repeat_a_callers_own_arguments_repeat_nothing_else(run: Run) -> None:
    assert places("\n".join(run.echoed)) == canaries.OF_ARGUMENTS


def test_all_of_it_has_happened(run: Run) -> None:
    """What was not walked cannot have given anything away."""
    codes = {code for _, code in run.statuses}
    assert codes >= {None, -32000, -31403, -31429, -31503, -31504, -32601, -32602, -32700, -31401}
    log, events = run.log.getvalue(), run.live.gateway.telemetry.observer.recent.events
    for said in ("started with", "cannot log in with", "is down", "not let in", "answered initialize"):
        assert said in log, said
    assert {one.status for one in events} >= {"error", "denied"}
    assert run.live.gateway.telemetry.observer.measures.auth_failures == {"401": 6, "400": 1}
    assert "***" in log
    assert "***" in "\n".join(run.answers)


def test_the_search_finds_what_is_there() -> None:
    for form in (canaries.canary("env"), canaries.ODD, json.dumps(canaries.ODD), canaries.TOKEN, f"x{canaries.KEY}x"):
        assert places(f"said {form}")
    assert places("said nothing") == set()


def test_no_canary_is_in_what_a_client_on_pipes_gets_nor_in_the_log_nor_in_the_list_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in canaries.ENVIRON.items():
        monkeypatch.setenv(name, value)
    answers, echoed = [], []
    with ExitStack() as stack:
        servers = {**canaries.clumsy_servers(), **canaries.remote_servers(stack)}
        sections = canaries.settings({}, "text")
        client = stack.enter_context(stdio(tmp_path, servers, **{k: sections[k] for k in ("policy", "telemetry")}))
        answers.append(client.initialize())
        answers.append(client.ask("tools/list"))
        pids = [client.process.pid, *descendants(client.process.pid)] if sys.platform == "linux" else []
        words = [command_line(pid) for pid in pids]
        for tool in TOOLS:
            for server in UPSTREAMS:
                answer = client.ask("tools/call", {"name": f"{server}_{tool}", "arguments": ARGUMENTS})
                (echoed if tool == FINE else answers).append(answer)
    log = client.stderr_text()
    assert len(words) > 2 or sys.platform != "linux"
    assert places(" ".join(words)) == set()
    assert places(json.dumps(answers)) == set()
    assert places(json.dumps(echoed)) == canaries.OF_ARGUMENTS
    assert places(log) == set()
    assert "started with" in log
    assert "***" in json.dumps(answers)


@pytest.mark.anyio
async def test_a_reload_that_changes_a_secret_gives_the_old_one_away_nowhere(tmp_path: Path) -> None:
    log = io.StringIO()
    logs.set_up(LogConfig(), str, log)
    file = tmp_path / "onegate.yaml"
    configs = []
    for secret in ("old", "new"):
        entry = {"command": "server", "env": {"SECRET": canaries.canary(secret)}}
        file.write_text(json.dumps({"mcpServers": {"clumsy": entry}}))
        configs.append(load(file, {}))
    gateway = Gateway(configs[0])
    old = gateway.upstreams["clumsy"]
    gateway.reload(configs[1])
    said = f"{canaries.canary('old')} {canaries.canary('new')}"
    for upstream in (old, gateway.upstreams["clumsy"]):
        upstream.last_error, upstream.tail = said, lambda: [said]
        assert (upstream.last_error, upstream.stderr()) == ("*** ***", ["*** ***"])
    logging.getLogger("onegate.upstream").warning("%s", said)
    assert places(log.getvalue()) == set()
    assert "*** ***" in log.getvalue()


@pytest.mark.parametrize("words", [("check", "--connect"), ("call", "clumsy_errs", json.dumps(ARGUMENTS))])
def test_no_canary_is_in_what_a_command_prints(tmp_path: Path, words: tuple[str, ...]) -> None:
    with ExitStack() as stack:
        servers = {**canaries.clumsy_servers(), **canaries.remote_servers(stack)}
        file = tmp_path / "onegate.yaml"
        file.write_text(yaml.safe_dump(canaries.settings(servers, "json")))
        env = {**environment(tmp_path), **canaries.ENVIRON}
        argv = command(words[0], *words[1:], "-c", file)
        done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 1
    assert places(done.stdout + done.stderr) == set()
    assert "***" in done.stdout + done.stderr
