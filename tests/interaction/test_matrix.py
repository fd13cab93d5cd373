"""Every identity at every door in every way of speaking: what is listed is callable, the rest was never there."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.guarded import DOORS, SERVERS, Guarded, Who, guarded, identities, sees, settings
from tests.fixtures.live_gateway import ENVELOPE, WAIT_SECONDS, Message, request
from tests.fixtures.matrix import (
    ERAS,
    EXPANDED,
    LISTS,
    Client,
    ToolApiClient,
    clients,
    differences,
    targets,
    unknown,
    use,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("gate")) as one:
        yield one


WHO = {who.name: who for who in identities()}


def test_there_are_enough_targets() -> None:
    assert len(WHO) >= 4
    assert len(list(targets("/mcp"))) >= 60


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", WHO)
def test_what_is_listed_is_callable_and_the_rest_was_never_there(gate: Guarded, name: str, door: str) -> None:
    who = WHO[name]
    if door == "/scoped" and not who.scoped:
        for era in ERAS:
            client = Client(gate.live.port, who.headers, door, era)
            answers = [client.ask(*use(kind, own)) for kind, _, _, own in targets(door)]
            assert {status for status, _, _ in answers} == {403 if who.headers else 401}
        return

    def seen(kind: str, server: str, own: str) -> bool:
        return sees(who, door, kind, server, own)

    found = {speaking: differences(client, seen) for speaking, client in clients(gate.live.port, who.headers, door)}
    assert len(found) == (len(ERAS) + 2 if door == "/mcp" else len(ERAS))
    assert found == {speaking: [] for speaking in found}


def test_hidden_and_unknown_are_alike_where_only_completion_and_subscriptions_name_them(gate: Guarded) -> None:
    for era in ERAS:
        client = Client(gate.live.port, WHO["developer"].headers, "/mcp", era)
        for ref, name in (("ref/prompt", "beta_plan-0"), ("ref/resource", "beta://vault/{id}")):
            key = "name" if ref == "ref/prompt" else "uri"
            argument = {"name": "id", "value": ""}
            hidden, never = (
                client.ask("completion/complete", {"ref": {"type": ref, key: one}, "argument": argument})
                for one in (name, unknown(name))
            )
            assert "error" in json.loads(hidden[2])
            assert hidden[:2] == never[:2]
            assert hidden[2].replace(name.encode(), unknown(name).encode()) == never[2]
        if era not in ("sessionless", "modern"):
            for method in ("resources/subscribe", "resources/unsubscribe"):
                hidden, never = (client.ask(method, {"uri": f"alpha://shut/{end}"}) for end in ("01", "zz"))
                assert hidden[:2] == never[:2]
                assert hidden[2].replace(b"shut/01", b"shut/zz") == never[2]


class Pipe:
    """A client of `onegate stdio`, modern or with a session."""

    def __init__(self, config: Path, modern: bool) -> None:
        argv = [sys.executable, "-m", "gateway.cli", "stdio", "-c", str(config)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=ROOT)
        self.modern, self.asked = modern, 0
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not modern:
            self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}})

    def ask(self, method: str, params: Message) -> Message:
        assert self.process.stdin is not None
        self.asked += 1
        message = request(method, {**params, **({"_meta": ENVELOPE} if self.modern else {})}, self.asked)
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            answer: Message = json.loads(self.lines.get(timeout=WAIT_SECONDS))
            if "method" not in answer:  # what a starting server has changed
                return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(WAIT_SECONDS)
        self.reader.join(WAIT_SECONDS)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.put(line)


@pytest.mark.parametrize("modern", [False, True])
def test_over_stdio_the_local_identity_sees_and_reaches_what_its_claims_allow(
    gate: Guarded, tmp_path: Path, modern: bool
) -> None:
    file = tmp_path / "onegate.yaml"
    file.write_text(json.dumps(settings(gate.upstreams)))
    client, local = Pipe(file, modern), Who("local", {}, "developer")
    try:
        for kind, (method, key, naming) in LISTS.items():
            listed = [one[naming] for one in client.ask(method, {})["result"][key]]
            assert listed == [
                name
                for one, server, own, name in targets("/mcp")
                if one == kind and sees(local, "/mcp", kind, server, own)
            ]
            for name in [name for one, _, _, name in targets("/mcp") if one == kind]:
                answer = client.ask(*use(kind, name))
                assert ("result" in answer) is (name in listed), answer
                if "error" in answer:
                    never = json.dumps(client.ask(*use(kind, unknown(name)))["error"])
                    own, other = (one.replace("{id}", EXPANDED) for one in (name, unknown(name)))
                    assert json.dumps(answer["error"]).replace(own, other) == never
    finally:
        client.close()


def test_every_server_is_asked_only_for_what_was_allowed(gate: Guarded) -> None:
    who = WHO["anonymous"]
    before = {name: len(one.calls_seen()) for name, one in gate.upstreams.items()}
    ways = (
        Client(gate.live.port, who.headers, "/mcp", "sessionless"),
        ToolApiClient(gate.live.port, who.headers, "chat"),
    )
    for client in ways:
        for kind, _, _, name in targets("/mcp"):
            if kind in client.kinds:
                client.use(kind, name)
    called = {name: len(one.calls_seen()) - before[name] for name, one in gate.upstreams.items()}
    assert called == dict.fromkeys(SERVERS, len(ways))
