"""Every identity at every door in every way of speaking: what is listed is callable, the rest was never there."""

import http.client
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.guarded import (
    DOORS,
    PROMPTS,
    RESOURCES,
    SERVERS,
    TEMPLATES,
    TOOLS,
    Guarded,
    Who,
    guarded,
    identities,
    sees,
    settings,
)
from tests.fixtures.live_gateway import ENVELOPE, JSON, WAIT_SECONDS, Message, modern_headers, request

ROOT = Path(__file__).resolve().parents[2]
ERAS = ("sessionless", "2025-03-26", "2025-06-18", "2025-11-25", "modern")
LISTS = {
    "tools": ("tools/list", "tools", "name"),
    "prompts": ("prompts/list", "prompts", "name"),
    "resources": ("resources/list", "resources", "uri"),
    "templates": ("resources/templates/list", "resourceTemplates", "uriTemplate"),
}
OWN = {"tools": TOOLS, "prompts": PROMPTS, "resources": RESOURCES, "templates": TEMPLATES}
ARGUMENTS = {"env": "dev"}
EXPANDED = "5"

Answer = tuple[int, list[tuple[str, str]], bytes]


class Client:
    """One identity at one door, in one way of speaking, on one connection."""

    def __init__(self, port: int, who: Who, door: str, era: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        self.who, self.door, self.era = who, door, era
        self.headers = {**JSON, **who.headers}
        if era not in ("sessionless", "modern"):
            about = {"protocolVersion": era, "capabilities": {}, "clientInfo": {"name": "t"}}
            _, headers, _ = self.post(request("initialize", about))
            session = dict(headers).get("mcp-session-id")
            self.headers |= {"Mcp-Session-Id": session} if session is not None else {}

    def ask(self, method: str, params: Message) -> Answer:
        """One request in this era."""
        if self.era != "modern":
            return self.post(request(method, params))
        return self.post(request(method, {**params, "_meta": ENVELOPE}), modern_headers(method, params))

    def post(self, message: Any, headers: Mapping[str, str] | None = None) -> Answer:
        self.connection.request("POST", self.door, json.dumps(message).encode(), {**self.headers, **(headers or {})})
        response = self.connection.getresponse()
        headers = [(name, "…" if name == "x-request-id" else value) for name, value in response.getheaders()]
        return response.status, headers, response.read()

    def listed(self, kind: str) -> list[str]:
        """The names of one list, all pages of it."""
        method, key, name = LISTS[kind]
        names: list[str] = []
        params: Message = {}
        for _ in range(20):
            result = json.loads(self.ask(method, params)[2])["result"]
            names += [one[name] for one in result[key]]
            if "nextCursor" not in result:
                return names
            params = {"cursor": result["nextCursor"]}
        raise AssertionError("the list does not end")


def targets(door: str) -> Iterator[tuple[str, str, str, str]]:
    """Every target behind a door: its kind, server and own name, and what it is called there."""
    for kind, names in OWN.items():
        for server in DOORS[door]:
            for own in names[server]:
                prefix = f"{server}_" if len(DOORS[door]) > 1 and kind in ("tools", "prompts") else ""
                yield kind, server, own, prefix + own


def use(kind: str, name: str) -> tuple[str, Message]:
    """The request that uses a target."""
    match kind:
        case "tools":
            return "tools/call", {"name": name, "arguments": ARGUMENTS}
        case "prompts":
            return "prompts/get", {"name": name}
        case "resources":
            return "resources/read", {"uri": name}
    return "resources/read", {"uri": name.replace("{id}", EXPANDED)}


def unknown(name: str) -> str:
    """A name as long, in the same place, of nothing."""
    return name.replace("notes", "nodes").replace("vault", "vaunt") if "{" in name else name[:-2] + "zz"


def differences(client: Client) -> list[str]:
    """Where listing, calling, hiding and the policy's words do not agree."""
    found: list[str] = []
    lists = {kind: client.listed(kind) for kind in LISTS}
    expected: dict[str, list[str]] = {kind: [] for kind in LISTS}
    for kind, server, own, name in targets(client.door):
        if sees(client.who, client.door, kind, server, own):
            expected[kind].append(name)
        answer = client.ask(*use(kind, name))
        called = "result" in json.loads(answer[2])
        if called is not (name in lists[kind]):
            found.append(f"{kind} {name}: listed {name in lists[kind]}, called {called}: {answer}")
        if not called and not alike(answer, client.ask(*use(kind, unknown(name))), name, unknown(name)):
            found.append(f"{kind} {name} does not answer like {unknown(name)}: {answer}")
    return found + [f"{kind}: {lists[kind]}, not {expected[kind]}" for kind in LISTS if lists[kind] != expected[kind]]


def alike(hidden: Answer, never: Answer, name: str, other: str) -> bool:
    """The same bytes but for the name, the same status and headers."""
    own, others = (one.replace("{id}", EXPANDED).encode() for one in (name, other))
    assert len(own) == len(others)
    return hidden[:2] == never[:2] and hidden[2].replace(own, others) == never[2]


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
            client = Client(gate.live.port, who, door, era)
            answers = [client.ask(*use(kind, own)) for kind, _, _, own in targets(door)]
            assert {status for status, _, _ in answers} == {403 if who.headers else 401}
        return
    found = {era: differences(Client(gate.live.port, who, door, era)) for era in ERAS}
    assert found == {era: [] for era in ERAS}


def test_hidden_and_unknown_are_alike_where_only_completion_and_subscriptions_name_them(gate: Guarded) -> None:
    for era in ERAS:
        client = Client(gate.live.port, WHO["developer"], "/mcp", era)
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
    client = Client(gate.live.port, who, "/mcp", "sessionless")
    for kind, _, _, name in targets("/mcp"):
        client.ask(*use(kind, name))
    assert {name: len(one.calls_seen()) - before[name] for name, one in gate.upstreams.items()} == dict.fromkeys(
        SERVERS, 1
    )
