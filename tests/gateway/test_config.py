"""The whole file: what a config becomes, what stops it, and in which words."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import gateway
from gateway.addresses import is_loopback
from gateway.config import Config, check_exposure, load
from gateway.config_problems import ConfigError
from gateway.config_telemetry import AdminConfig, TelemetryConfig
from policies.config import Rate
from policies.model import LOCAL, Caller, Identity, Target
from policies.rules import ALLOW_ALL

ONE_SERVER = "mcpServers: {a: {command: npx}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(text: str, environ: Mapping[str, str] | None = None, name: str = "onegate.yaml") -> Config:
    Path(name).write_text(text, encoding="utf-8")
    return load(Path(name), environ or {})


def errors(text: str, environ: Mapping[str, str] | None = None, name: str = "onegate.yaml") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(text, environ, name)
    return str(caught.value).splitlines()


def test_one_server_is_enough_and_the_rest_has_defaults(folder: Path) -> None:
    found = config(ONE_SERVER)
    assert list(found.servers) == ["a"]
    assert (found.name, found.allow_all) == ("onegate", False)
    assert (found.telemetry, found.admin, found.says_admin) == (TelemetryConfig(), AdminConfig(), False)
    assert (found.auth, found.local, found.policy, found.has_policy) == (None, LOCAL, ALLOW_ALL, False)
    assert (found.route_policies, found.rate_limits) == ({}, [])
    assert (found.routes, found.warnings, found.disabled, found.switched_off) == ({}, [], {}, [])
    assert (found.source, found.folder) == (Path("onegate.yaml"), folder)
    server = found.server
    assert (server.host, server.port, server.path, server.per_server_doors) == ("127.0.0.1", 8080, "/mcp", True)
    assert (server.max_body, server.max_message, server.drain) == (4 << 20, 16 << 20, 20.0)
    assert (server.public_url, server.allowed_hosts, server.allowed_origins) == (None, [], [])
    assert (server.allow_unauthenticated, server.discovery_on_get) == (False, False)


def test_every_key_of_this_release_is_taken(folder: Path) -> None:
    found = config(
        """
name: acme-tools
mcpServers:
  filesystem:
    command: npx
    args: ["-y", "@modelcontextprotocol/server-filesystem", "/data"]
    env: {LOG: 1}
    env_pass: [HTTPS_PROXY]
    cwd: data
  github:
    url: https://example.com/mcp
    headers: {Authorization: "Bearer ${GITHUB_TOKEN}"}
    prefix: gh
    tools:
      include: ["*"]
      exclude: ["delete_*"]
      pin: off
      overrides:
        create_issue: {name: new_issue, timeout: 120s, arguments: {default: {draft: true}, set: {org: acme}}}
    timeout: 60s
    max_timeout: 10m
    isolation: shared
    protocol: 2025-06-18
    required: true
    concurrency: 8
    validate_arguments: false
server: {host: "::1", port: "${PORT:-9000}", path: null, public_url: https://x.example, drain: 0s, max_body: 1MiB,
  allowed_hosts: [x.example], allowed_origins: [https://x.example], discovery_on_get: true, per_server_doors: false}
routes:
  /mcp/read:
    {upstreams: [github, filesystem], prefix: never, tools: {include: ["list-*"]}, timeout: 30s,
     policy: {allow: [jwt.role == "viewer"]}, scopes: [tools.read]}
auth:
  mode: optional
  scopes: [tools.call]
  jwt:
    - {issuer: https://idp.example.com, audiences: [onegate], algorithms: [RS256],
       jwks_url: https://idp.example.com/jwks.json}
  api_keys:
    - {name: ci, sha256: "ab${DIGITS}", claims: {role: developer}, tools: {include: ["gh_*"]}}
  stdio: {claims: {sub: me, role: admin}}
policy:
  allow: [jwt.role == "admin"]
  deny: ['mcp.target == "prod"']
  require: [has(jwt.sub)]
  on_deny: forbid
  trusted_headers: [X-Team]
rate_limits: [{per: tool, rate: 600/m, burst: 50, tools: ["gh_*"]}]
telemetry: {log: {level: debug, levels: {mcp: warning}}}
""",
        {"GITHUB_TOKEN": "t", "DIGITS": "0" * 62},
    )
    assert list(found.servers) == ["filesystem", "github"]
    assert found.servers["filesystem"].cwd == str(folder / "data")
    assert found.servers["filesystem"].env == {"LOG": "1"}
    github = found.servers["github"]
    assert github.headers == {"Authorization": "Bearer t"}
    assert (github.protocol, github.required, github.effective_prefix) == ("2025-06-18", True, "gh")
    assert (found.server.port, found.server.path, found.server.drain) == (9000, None, 0.0)
    route = found.routes["/mcp/read"]
    assert (route.upstreams, route.prefix, route.timeout) == (["github", "filesystem"], "never", 30.0)
    assert (route.tools.include, route.tools.exclude) == (["list-*"], [])
    assert (found.name, found.allow_all, found.telemetry.log.level) == ("acme-tools", False, "debug")
    assert found.telemetry.log.levels == {"mcp": "warning"}
    assert found.auth is not None
    assert (found.auth.mode, found.auth.scopes, route.scopes) == ("optional", ["tools.call"], ["tools.read"])
    assert [key.sha256 for key in found.auth.api_keys] == ["ab" + "0" * 62]
    assert (found.local, found.local.claims) == (Identity("local", "me"), {"sub": "me", "role": "admin"})
    assert (found.has_policy, set(found.policy.trusted_headers)) == (True, {"x-team"})
    assert [(one.per, one.rate, one.burst) for one in found.rate_limits] == [("tool", Rate(600, 60.0), 50)]
    admin, listing = (
        Caller(Identity("jwt", "a", claims={"sub": "a", "role": "admin"})),
        Target("tool", "github", "list"),
    )
    assert found.policy.decide(admin, listing, {}).allowed
    assert not found.route_policies["/mcp/read"].decide(admin, listing, {}).allowed


def test_allow_all_is_said_or_left_out_and_the_difference_is_known(folder: Path) -> None:
    said, silent = config(ONE_SERVER + "policy: allow_all"), config(ONE_SERVER)
    assert said.policy is silent.policy is ALLOW_ALL
    assert (said.has_policy, said.allow_all, silent.has_policy, silent.allow_all) == (True, True, False, False)


def test_mode_none_asks_nobody_but_keeps_who_calls_over_stdio(folder: Path) -> None:
    found = config(ONE_SERVER + "auth: {mode: none, stdio: {claims: {role: viewer}}}")
    assert found.auth is None
    assert found.local.claims == {"sub": "local", "role": "viewer"}


def test_doubtful_rules_are_warned_about(folder: Path) -> None:
    assert config(ONE_SERVER + "policy: {allow: ['1 == 2']}").warnings == [
        "onegate.yaml: policy.allow[0]: can never be true: it allows nothing, in: 1 == 2"
    ]


def test_rules_are_checked_although_something_else_is_wrong(folder: Path) -> None:
    lines = errors(ONE_SERVER + "server: {prot: 1}\npolicy: {allow: [jwtt.role]}")
    assert [line.split(": ")[1] for line in lines] == ["server.prot", "policy.allow[0]"]


def test_unknown_keys_deep_in_auth_policy_and_limits_name_the_nearest(folder: Path) -> None:
    lines = errors(
        ONE_SERVER
        + """
auth: {jwt: [{issuer: x, audience: [y], secret: "%s"}], api_keys: [{nmae: x, tools: {inclde: []}}], stdio: {clams: {}}}
policy: {alow: []}
rate_limits: [{rat: 1/s}]
routes: {/x: {upstreams: [a], policy: {dney: []}}}
"""
        % ("s" * 32)
    )
    assert [line.partition(": ")[2] for line in lines if "did you mean" in line] == [
        "routes./x.policy.dney: unknown key; did you mean deny?",
        "auth.jwt[0].audience: unknown key; did you mean audiences?",
        "auth.api_keys[0].tools.inclde: unknown key; did you mean include?",
        "auth.api_keys[0].nmae: unknown key; did you mean name?",
        "auth.stdio.clams: unknown key; did you mean claims?",
        "policy.alow: unknown key; did you mean allow?",
        "rate_limits[0].rat: unknown key; did you mean rate?",
    ]


def test_every_mistake_is_said_at_once(folder: Path) -> None:
    assert errors("""
nmae: x
mcpServers:
  github: {command: npx, timout: 30s, timeout: 30, tools: {exlude: []}}
  web: {url: example.com}
server: {port: many, max_body: 4MB}
routes:
  /mcp/x: {upstreams: [githib]}
  mcp: {upstreams: []}
telemetry: {log: {levl: info}}
""") == [
        "onegate.yaml: routes.mcp: a path must start with / and hold no ?, # or space",
        "onegate.yaml: server.port: must be a whole number",
        "onegate.yaml: server.max_body: is not a size; write it like 64KiB or 4MiB",
        "onegate.yaml: routes.mcp.upstreams: must not be empty",
        "onegate.yaml: telemetry.log.levl: unknown key; did you mean level?",
        "onegate.yaml: nmae: unknown key; did you mean name?",
        "onegate.yaml: mcpServers.github.tools.exlude: unknown key; did you mean exclude?",
        "onegate.yaml: mcpServers.github.timeout: has no unit; write it like 500ms, 30s, 5m or 1h",
        "onegate.yaml: mcpServers.github.timout: unknown key; did you mean timeout?",
        "onegate.yaml: mcpServers.web.url: must be an http:// or https:// URL with a host, without spaces",
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server: {state_dir: null}", "server.state_dir"),
    ],
)
def test_what_a_later_release_brings_is_said_so(folder: Path, text: str, key: str) -> None:
    assert errors(ONE_SERVER + text) == [f"onegate.yaml: {key}: not in this release; remove the key"]


@pytest.mark.parametrize(
    ("entry", "mend"),
    [
        ("proxy", "is no address and no network; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"),
        ("10.0.0.1/8", "has bits beyond its length; write 10.0.0.0/8, or 10.0.0.1 alone"),
        ("0.0.0.0/0", "names every address, so that any client could say who it is; name the proxies"),
        ("::/0", "names every address, so that any client could say who it is; name the proxies"),
        ("::ffff:10.0.0.1", "is an IPv4 address within IPv6; write the IPv4 one, which means both"),
    ],
)
def test_a_proxy_is_named_by_address_or_network(folder: Path, entry: str, mend: str) -> None:
    text = f"server: {{trusted_proxies: [127.0.0.1, '2001:db8::/32', '{entry}']}}"
    assert errors(ONE_SERVER + text) == [f"onegate.yaml: server.trusted_proxies[2]: {mend}"]


@pytest.mark.parametrize("keys", ["isolation: per_session", "tools: {pin: enforce}"])
def test_so_is_what_a_later_release_brings_to_a_server(folder: Path, keys: str) -> None:
    [line] = errors(f"mcpServers: {{a: {{command: npx, {keys}}}}}")
    assert line.endswith("not in this release; remove the key")


def test_an_unset_variable_outside_the_servers_stops_the_start(folder: Path) -> None:
    assert errors(ONE_SERVER + "server: {port: '${PORT}'}") == [
        "onegate.yaml: server.port: variable PORT is not set; set it, or write ${PORT:-default}"
    ]


def test_an_unset_variable_in_one_entry_leaves_the_others_alone(folder: Path) -> None:
    found = config("mcpServers: {a: {command: npx}, b: {url: https://x.example, headers: {K: '${KEY}'}}}")
    assert list(found.servers) == ["a"]
    assert found.disabled == {
        "b": "onegate.yaml: mcpServers.b.headers.K: variable KEY is not set; set it, or write ${KEY:-default}"
    }


@pytest.mark.parametrize("text", ["", "name: x\n", "mcpServers: {}\n", "mcpServers:\n"])
def test_a_file_without_servers_is_refused_with_an_example(folder: Path, text: str) -> None:
    assert errors(text) == [
        "onegate.yaml: mcpServers: no servers; add one, such as",
        "mcpServers: {time: {command: uvx, args: [mcp-server-time]}}",
    ]


def test_a_foreign_file_without_servers_is_refused(folder: Path) -> None:
    for text in ("{}", '{"mcpServers": null, "servers": {"a": {}}}', '{"servers": {}}', '{"other": 1}'):
        assert errors(text, name="mcp.json")[0] == "mcp.json: no servers; add one, such as"


def test_without_servers_nothing_is_said_about_the_names_in_routes(folder: Path) -> None:
    assert len(errors("routes: {/x: {upstreams: [a]}}")) == 2


def test_the_servers_key_of_vs_code_is_named_by_ours_in_our_file(folder: Path) -> None:
    assert errors("servers: {a: {command: npx}}") == ["onegate.yaml: servers: unknown key; did you mean mcpServers?"]


@pytest.mark.parametrize("text", ["mcpServers: [a]", "mcpServers: npx"])
def test_servers_that_are_no_mapping_are_refused(folder: Path, text: str) -> None:
    assert errors(text) == ["onegate.yaml: mcpServers: must be a mapping from a server's name to its entry"]


def test_a_route_to_a_server_that_nobody_knows_names_the_nearest(folder: Path) -> None:
    assert errors(ONE_SERVER.replace("a:", "github:") + "routes: {/x: {upstreams: [github, gitub]}}") == [
        "onegate.yaml: routes./x.upstreams[1]: unknown server; did you mean github?"
    ]


def test_a_route_may_name_servers_that_are_off_for_now(folder: Path) -> None:
    found = config("""
mcpServers: {a: {command: npx}, b: {command: "${B}"}, c: {command: npx, disabled: true}}
routes: {/x: {upstreams: [a, b, c]}}
""")
    assert (list(found.servers), list(found.disabled), found.switched_off) == (["a"], ["b"], ["c"])


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1", "/v1/mcp/tools", "/.well-known/x", "/openapi.json"])
def test_no_route_takes_a_path_of_the_gateway(folder: Path, path: str) -> None:
    assert errors(ONE_SERVER + f"routes: {{{path}: {{upstreams: [a]}}}}") == [
        f"onegate.yaml: routes.{path}: this path is taken by the gateway itself; choose another"
    ]


def test_a_size_of_nothing_is_refused(folder: Path) -> None:
    assert errors(ONE_SERVER + "server: {max_body: 0B}") == ["onegate.yaml: server.max_body: must be greater than 0"]


def test_a_json_file_with_a_key_of_ours_is_strict(folder: Path) -> None:
    text = '{"mcpServers": {"a": {"command": "npx", "autoApprove": []}}, "server": {"port": 1}}'
    [line] = errors(text, name="mcp.json")
    assert line.startswith("mcp.json: mcpServers.a.autoApprove: unknown key")


def test_an_entry_that_starts_onegate_is_left_out_with_a_warning(folder: Path) -> None:
    found = config("mcpServers: {gate: {command: uvx, args: [onegate, stdio]}, a: {command: npx}}")
    assert list(found.servers) == ["a"]
    assert found.warnings == ["onegate.yaml: mcpServers.gate: starts onegate itself; left out"]


def test_a_file_with_nothing_but_onegate_is_refused(folder: Path) -> None:
    assert errors("mcpServers: {gate: {command: onegate, args: [stdio]}}") == [
        "onegate.yaml: mcpServers: no servers but onegate itself; add the servers that it shall serve"
    ]


def test_a_foreign_file_gives_one_warning_for_all_keys_that_mean_nothing(folder: Path) -> None:
    text = '{"globalShortcut": "", "mcpServers": {"a": {"command": "npx", "autoApprove": [], "timeout": 60}}}'
    assert config(text, name="mcp.json").warnings == [
        "mcp.json: keys that mean nothing here are ignored: "
        "globalShortcut, mcpServers.a.autoApprove, mcpServers.a.timeout"
    ]


def test_a_long_list_of_ignored_keys_is_cut(folder: Path) -> None:
    others = "".join(f'"k{number}": 1, ' for number in range(20))
    [line] = config('{%s"mcpServers": {"a": {"command": "npx"}}}' % others, name="mcp.json").warnings  # noqa: UP031
    assert line.endswith("k6, k7 and 12 more")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_words(folder: Path, host: str) -> None:
    assert is_loopback(host)
    check_exposure(config(ONE_SERVER), host)


WHO = 'auth: {api_keys: [{name: ci, sha256: "%s"}]}' % ("0" * 64)
NOBODY_ASKED = ("", "auth: {mode: none}")
ANYBODY = "server: {allow_unauthenticated: true}"
RULES = "policy: {allow: ['true']}"


@pytest.mark.parametrize("auth", ["", "auth: {mode: none}", WHO, WHO.replace("{api", "{mode: optional, api"), ANYBODY])
@pytest.mark.parametrize("policy", ["", RULES, "policy: allow_all"])
def test_other_hosts_need_to_know_who_comes_and_what_they_may_do(folder: Path, auth: str, policy: str) -> None:
    found = config(f"{ONE_SERVER}{auth}\n{policy}")
    needed = [mend for mend, lacks in (("add auth", auth in NOBODY_ASKED), ("add policy", not policy)) if lacks]
    if not needed:
        check_exposure(found, "0.0.0.0")
        return
    with pytest.raises(ConfigError) as caught:
        check_exposure(found, "0.0.0.0")
    first, second = str(caught.value).splitlines()
    assert first.startswith("onegate.yaml: server.host: 0.0.0.0 lets other machines in, and nothing says")
    assert [mend for mend in ("add auth", "add policy") if mend in second] == needed


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "gateway.example", ""])
def test_other_hosts_are_open_with_both_words(folder: Path, host: str) -> None:
    assert not is_loopback(host)
    check_exposure(config(ONE_SERVER + "policy: allow_all\nserver: {allow_unauthenticated: true}"), host)


def test_reading_a_json_file_does_not_pay_for_yaml(folder: Path) -> None:
    Path("mcp.json").write_text('{"mcpServers": {"a": {"command": "npx"}}}')
    code = "import sys; from gateway.config import load, Path; load(Path('mcp.json')); sys.exit('yaml' in sys.modules)"
    root = str(Path(gateway.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, timeout=60)
    assert done.returncode == 0


def test_a_path_that_requests_cannot_carry_says_how_to_write_it(folder: Path) -> None:
    assert errors("""
mcpServers: {a: {command: x}}
routes: {/größe: {upstreams: [a]}}
""") == ["onegate.yaml: routes./größe: requests carry other characters percent-encoded; write /gr%C3%B6%C3%9Fe"]


@pytest.mark.parametrize("more", ["", "auth: {mode: none}", "policy: allow_all", WHO])
def test_nothing_of_rules_and_tokens_is_imported_before_it_is_needed(folder: Path, more: str) -> None:
    Path("onegate.yaml").write_text(f"{ONE_SERVER}{more}")
    code = (
        "import sys; from gateway.config import load, Path; load(Path('onegate.yaml'));"
        "sys.exit(any(name in sys.modules for name in ('celpy', 'lark', 'jwt', 'cryptography')))"
    )
    root = str(Path(gateway.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, timeout=60)
    assert done.returncode == 0


EXAMPLES = sorted(path for path in (Path(gateway.__file__).parent.parent / "examples").iterdir() if path.is_file())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_can_be_started(path: Path) -> None:
    found = load(path, {"ONEGATE_INPUT_GITHUB_TOKEN": "t", "GITHUB_TOKEN": "t", "HOME": "/home/me"})
    check_exposure(found, found.server.host)
    assert found.servers


def test_the_example_of_a_team_grants_each_role_its_tools() -> None:
    policy = load(next(path for path in EXAMPLES if path.name == "team.yaml"), {}).policy

    def may(role: str, tool: str, **arguments: str) -> bool:
        caller = Caller(Identity("jwt", "x", claims={"sub": "x", "role": role}))
        return policy.decide(caller, Target("tool", "files", tool), arguments).allowed

    tools = ("read_file", "write_file", "move_file")
    assert {role: [may(role, tool) for tool in tools] for role in ("admin", "developer", "viewer", "guest")} == {
        "admin": [True, True, True],
        "developer": [True, True, False],
        "viewer": [True, False, False],
        "guest": [False, False, False],
    }
    assert not may("viewer", "read_file", path="/secret/x")
    assert may("admin", "read_file", path="/secret/x")
