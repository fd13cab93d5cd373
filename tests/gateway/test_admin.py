"""The admin listener from the outside: its routes, who gets in, and what never leaves it."""

import base64
import html
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.config_telemetry import AdminConfig
from tests.fixtures.gateways import raw_entry
from tests.fixtures.live_gateway import LiveGateway, Message, live_gateway
from tests.fixtures.raw_upstream import raw_upstream
from tests.fixtures.waiting import until

TOKEN = "a-token-of-operators"
SECRET = "s3cr3t-of-the-config"
ANY_PORT = "127.0.0.1:0"
ROUTES = ["/status", "/status.json", "/status.css", "/status.js", "/metrics", "/", "/nothing"]
RULES = {"allow": ['jwt.role == "admin"', 'jwt.role == "viewer" && mcp.tool.name == "echo"']}


def config(**sections: object) -> Message:
    return {"admin": {"listen": ANY_PORT}, "mcpServers": {"a": raw_entry()}, **sections}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    hidden = raw_entry(env={"PASSWORD": SECRET})
    servers = {"a": hidden, "far": {"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": SECRET}}}
    issuer = {"issuer": "i", "audiences": ["a"], "algorithms": ["HS256"], "secret": SECRET * 2}
    sections = config(
        admin={"listen": ANY_PORT, "token": TOKEN},
        mcpServers=servers,
        policy=RULES,
        auth={"mode": "optional", "jwt": [issuer]},
    )
    with live_gateway(tmp_path_factory.mktemp("live"), sections) as live:
        yield live


def asked(live: LiveGateway, path: str, **headers: str) -> str:
    answer = live.admin(path, Authorization=f"Bearer {TOKEN}", **headers)
    assert answer.status == 200, answer
    return answer.body.decode()


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic d3Jvbmc6d3Jvbmc="}])
def test_nothing_is_told_without_the_token(live: LiveGateway, path: str, given: dict[str, str]) -> None:
    answer = live.admin(path, **given)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert b"Bearer" in answer.body
    assert b"far" not in answer.body


def test_the_token_lets_in_as_bearer_and_as_a_password(live: LiveGateway) -> None:
    assert json.loads(asked(live, "/status.json"))["gateway"]["name"] == "onegate"
    word = base64.b64encode(f"me:{TOKEN}".encode()).decode()
    assert live.admin("/status", Authorization=f"Basic {word}").status == 200


@pytest.mark.parametrize("path", ROUTES)
def test_another_host_is_refused_before_the_token_is_looked_at(live: LiveGateway, path: str) -> None:
    answer = live.admin(path, Host="rebound.example.com", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 403


def test_whether_it_lives_is_told_to_anybody_and_nothing_else(live: LiveGateway) -> None:
    answer = live.admin("/healthz", Host="10.0.0.7")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", [*ROUTES, "/healthz"])
def test_every_answer_forbids_to_keep_embed_and_run_it(live: LiveGateway, path: str) -> None:
    for answer in (live.admin(path), live.admin(path, Authorization=f"Bearer {TOKEN}")):
        found = answer.headers
        assert found["cache-control"] == "no-store"
        assert found["x-content-type-options"] == "nosniff"
        assert found["content-security-policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "unsafe" not in found["content-security-policy"]
        assert not [name for name in found if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_answers_questions(live: LiveGateway, method: str) -> None:
    answer = live.admin("/status", method, Authorization=f"Bearer {TOKEN}")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_what_is_not_there_is_not_found_and_the_root_leads_to_the_page(live: LiveGateway) -> None:
    assert live.admin("/mcp", Authorization=f"Bearer {TOKEN}").status == 404
    answer = live.admin("/", Authorization=f"Bearer {TOKEN}")
    assert (answer.status, answer.headers["location"]) == (307, "/status")


def test_no_secret_of_the_config_is_shown(live: LiveGateway) -> None:
    until(lambda: '"waiting"' in asked(live, "/status.json"), "the server that is not there has failed")
    for path in ("/status", "/status.json", f"/status?as={quote('{}')}"):
        said = asked(live, path)
        assert "far" in said
        assert SECRET not in said
        assert TOKEN not in said
        assert "raw_server.py" not in said


def test_the_page_shows_all_tools_and_says_so(live: LiveGateway) -> None:
    said = asked(live, "/status")
    assert "5 tools, all of them, whoever may see them" in said
    assert "The tool spawn." in said


def test_the_page_shows_what_some_claims_would_see(live: LiveGateway) -> None:
    claims = '{"role": "viewer"}'
    said = asked(live, f"/status?as={quote(claims)}")
    assert f"1 tools, as {html.escape(claims)} sees them" in said
    assert "The tool echo." in said
    assert "The tool spawn." not in said
    assert "0 tools" in asked(live, f"/status?as={quote('{}')}")


@pytest.mark.parametrize("claims", ["{", "[]", '{"sub": 1}', "<script>alert(1)</script>"])
def test_claims_that_no_token_could_carry_are_named_and_show_no_tools(live: LiveGateway, claims: str) -> None:
    answer = live.admin(f"/status?as={quote(claims)}", Authorization=f"Bearer {TOKEN}")
    assert answer.status == 400
    assert b"The tool" not in answer.body
    assert b"<script>" not in answer.body
    assert b"Servers" in answer.body


def test_a_query_with_too_many_fields_is_refused(live: LiveGateway) -> None:
    assert live.admin("/status?" + "a=1&" * 100, Authorization=f"Bearer {TOKEN}").status == 400


def test_refusals_are_counted(live: LiveGateway) -> None:
    before = live.gateway.telemetry.observer.measures.auth_failures.get("401", 0)
    live.admin("/status", Authorization="Bearer a-guess-at-the-token")
    assert live.gateway.telemetry.observer.measures.auth_failures["401"] == before + 1


def test_a_head_that_is_too_large_is_refused_here_too(live: LiveGateway) -> None:
    assert live.admin("/status", X="x" * 70_000).status == 431


def test_metrics_come_in_the_form_that_was_asked_for(tmp_path: Path) -> None:
    def metrics(accept: str | None) -> tuple[bytes, str]:
        if accept == "fail":
            raise RuntimeError(SECRET)
        return f"up 1 # {accept}\n".encode(), "text/plain; version=0.0.4"

    with live_gateway(tmp_path, config(), metrics) as live:
        answer = live.admin("/metrics", Accept="application/openmetrics-text")
        assert answer.body == b"up 1 # application/openmetrics-text\n"
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"
        answer = live.admin("/metrics", Accept="fail")
        assert answer.status == 500
        assert SECRET.encode() not in answer.body
        assert live.admin("/metrics").body == b"up 1 # None\n"


def test_another_token_holds_from_the_next_request(tmp_path: Path) -> None:
    with live_gateway(tmp_path, config()) as live:
        assert live.admin("/status.json").status == 200
        gateway = live.gateway
        renewed = replace(gateway.config, admin=AdminConfig(listen=ANY_PORT, token=TOKEN))
        live.loop.call_soon_threadsafe(gateway.reload, renewed)
        until(lambda: live.admin("/status.json").status == 401, "the new token is asked for")
        assert live.admin("/status.json", Authorization=f"Bearer {TOKEN}").status == 200


HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


def test_what_a_server_says_of_its_tools_is_text(tmp_path: Path) -> None:
    tool = {"name": "bad", "description": f"{HOSTILE}\n{HOSTILE}", "inputSchema": {"type": "object"}}
    with raw_upstream("modern") as upstream:
        upstream.tools = [tool]
        with live_gateway(tmp_path, config(mcpServers={"up": {"url": upstream.url}})) as live:
            said = live.admin("/status").body.decode()
    assert said.count(html.escape(HOSTILE)) == 2
    assert "<img" not in said
    assert said.count("<script") == 1
