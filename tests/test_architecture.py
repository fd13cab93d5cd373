"""What ARCHITECTURE.md promises of the code itself: who may import whom, what is said where, and how long it is."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("gateway", "upstreams", "policies")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

LAYERS = (
    ("gateway.cli",),
    ("gateway.app", "gateway.reload"),
    ("gateway.transports", "gateway.admin", "gateway.status"),
    ("gateway.eras",),
    ("gateway.service", "gateway.views"),
    ("gateway.relay", "gateway.changes"),
    ("gateway.completion", "gateway.resources"),
    ("gateway.access", "gateway.hop", "gateway.patience"),
    ("gateway.doors", "gateway.catalog"),
)
"""From the top down; a module may import those of its own layer and of those under it."""

LEAVES = (
    "gateway.request",
    "gateway.errors",
    "gateway.addresses",
    "gateway.names",
    "gateway.logs",
    "gateway.seal",
    "gateway.templates",
    "gateway.uris",
    "gateway.arguments",
    "gateway.auth",
    "gateway.api_keys",
    "gateway.jwks",
    "gateway.protected_resource",
    "gateway.unauthorized",
    "gateway.readiness",
    "gateway.telemetry",
    "gateway.call_formats",
    "gateway.narrowing",
    "gateway.arrivals",
    "gateway.once",
    "gateway.openapi",
)
"""Any gateway module may import them, and what follows their names (`auth_keys`); they import none of the layers."""

BESIDE = ("gateway", "gateway.__main__", "gateway.config", "gateway.samples")
"""The package, the config that the layers are built from, and the sample servers: they import no layer but the CLI."""

FOR_TYPES_ONLY = {
    ("gateway.status", "gateway.app"),
    ("gateway.status", "gateway.reload"),
    ("gateway.transports.server", "gateway.app"),
    ("gateway.completion", "gateway.relay"),
    ("gateway.resources", "gateway.relay"),
}
"""Imports upward that exist only for the type checker."""

FILE_LINES, FUNCTION_LINES = 300, 50

TESTED_ELSEWHERE = {
    "upstreams/channel.py": "tests/upstreams/test_correlation.py",
    "upstreams/connection.py": "tests/upstreams/test_supervisor.py",
    "upstreams/errors.py": "tests/upstreams/test_upstream.py",
    "upstreams/listening.py": "tests/upstreams/test_supervisor.py",
    "upstreams/environment.py": "tests/upstreams/test_process.py",
    "upstreams/process_group.py": "tests/upstreams/test_process.py",
    "upstreams/spawn.py": "tests/upstreams/test_process.py",
    "upstreams/stderr_tail.py": "tests/upstreams/test_process.py",
    "upstreams/watchdog_process.py": "tests/upstreams/test_watchdog.py",
    "gateway/app.py": "tests/interaction/test_changes.py",
    "gateway/app_serving.py": "tests/system/test_signals.py",
    "gateway/telemetry/gauges.py": "tests/gateway/test_exposition.py",
    "gateway/telemetry/prometheus.py": "tests/gateway/test_exposition.py",
    "gateway/telemetry/push.py": "tests/gateway/test_otlp_metrics.py",
    "gateway/openapi_parts.py": "tests/gateway/test_openapi.py",
    "gateway/openapi_schemas.py": "tests/gateway/test_openapi.py",
    "gateway/hop.py": "tests/gateway/test_relay.py",
    "gateway/eras/describe.py": "tests/interaction/test_plain.py",
    "gateway/eras/legacy.py": "tests/interaction/test_calls.py",
    "gateway/eras/modern.py": "tests/interaction/test_calls.py",
    "gateway/eras/sessionless.py": "tests/interaction/test_raw.py",
    "gateway/transports/bodies.py": "tests/gateway/test_http_attacks_messages.py",
    "gateway/transports/malformed.py": "tests/gateway/test_limits.py",
    "gateway/transports/stall.py": "tests/gateway/test_http_attacks_load.py",
    "gateway/transports/http.py": "tests/gateway/test_http_attacks_messages.py",
    "gateway/transports/http_eras.py": "tests/interaction/test_wire.py",
    "gateway/transports/idempotency.py": "tests/gateway/test_once_attacks.py",
    "gateway/transports/inbound.py": "tests/gateway/test_http_attacks_messages.py",
    "gateway/transports/server.py": "tests/system/test_signals.py",
    "gateway/transports/signals.py": "tests/system/test_signals.py",
    "gateway/transports/stdio.py": "tests/interaction/test_calls.py",
    "gateway/telemetry/spans.py": "tests/system/test_traces.py",
    "gateway/resources.py": "tests/gateway/test_relay.py",
    "gateway/request.py": "tests/gateway/test_relay.py",
    "gateway/auth_claims.py": "tests/gateway/test_cli_identity.py",
    "gateway/readiness.py": "tests/gateway/test_status.py",
    "gateway/views.py": "tests/gateway/test_cli_ask.py",
    "gateway/transports/listener.py": "tests/gateway/test_admin.py",
    "gateway/cli_config.py": "tests/gateway/test_cli.py",
    "gateway/cli_connect.py": "tests/gateway/test_cli_ask.py",
    "gateway/cli_output.py": "tests/gateway/test_cli_ask.py",
    "gateway/cli_serve.py": "tests/system/test_cli.py",
    "gateway/cli_stdio.py": "tests/system/test_cli.py",
    "gateway/cli_tools.py": "tests/gateway/test_cli_ask.py",
    "gateway/samples/notes.py": "tests/gateway/test_samples.py",
    "gateway/samples/server.py": "tests/gateway/test_samples.py",
    "gateway/samples/weather.py": "tests/gateway/test_samples.py",
    "policies/model.py": "tests/gateway/test_relay.py",
}
"""Source files that another file's tests go through."""


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def for_types(path: Path) -> set[ast.AST]:
    """Every node under `if TYPE_CHECKING:`."""
    blocks = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each module of ours that a file imports, and whether only for types; imports inside functions count."""
    typed = for_types(path)
    for node in ast.walk(tree(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            inner = [f"{module}.{alias.name}" for alias in node.names]
            names = [one if (ROOT / one.replace(".", "/")).with_suffix(".py").exists() else module for one in inner]
        for name in names:
            if name.split(".")[0] in ROOMS:
                yield name, node in typed


def leaf(module: str) -> bool:
    return any(module == name or module.startswith((f"{name}_", f"{name}.")) for name in LEAVES)


def layer(module: str) -> int | None:
    for index, names in enumerate(LAYERS):
        if any(module == name or module.startswith((f"{name}.", f"{name}_")) for name in names):
            return index
    return None


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_source = pytest.mark.parametrize("path", SOURCES, ids=name_of)


@every_source
def test_upstreams_and_policies_import_neither_the_gateway_nor_each_other(path: Path) -> None:
    room = dotted(path).split(".")[0]
    if room != "gateway":
        assert {name.split(".")[0] for name, _ in imports(path)} <= {room}


@every_source
def test_no_module_imports_a_layer_above_its_own(path: Path) -> None:
    own = layer(dotted(path))
    if own is None:
        return
    for name, typed in imports(path):
        above = layer(name)
        if above is not None and above < own:
            assert typed, f"{dotted(path)} imports {name}"
            assert (dotted(path), name) in FOR_TYPES_ONLY


@every_source
def test_every_gateway_module_has_its_place(path: Path) -> None:
    name = dotted(path)
    beside = name in BESIDE or name.startswith(tuple(f"{one}{sign}" for one in BESIDE[1:] for sign in "._"))
    places = (layer(name) is not None) + leaf(name) + beside
    assert places == (name.split(".")[0] == "gateway")
    if beside:
        assert {above for above, _ in imports(path) if layer(above) is not None} <= {"gateway.cli"}


@every_source
def test_leaves_import_no_layer(path: Path) -> None:
    if leaf(dotted(path)):
        assert [name for name, _ in imports(path) if layer(name) is not None] == []


def test_the_exceptions_are_still_needed() -> None:
    upward = {(dotted(path), name) for path in SOURCES for name, typed in imports(path) if typed}
    assert upward >= FOR_TYPES_ONLY
    for source, test in TESTED_ELSEWHERE.items():
        assert (ROOT / source).exists(), source
        assert (ROOT / test).exists(), test


VERSIONED = ("gateway/eras/", "upstreams/negotiation.py")


def docstrings(path: Path) -> set[ast.AST]:
    """Every string that stands alone: docstrings, and what is said under a constant."""
    return {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}


@every_source
def test_only_the_eras_know_versions(path: Path) -> None:
    if name_of(path).startswith(VERSIONED):
        return
    said = docstrings(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said:
            assert not re.search(r"\d{4}-\d{2}-\d{2}", node.value), f"{name_of(path)}:{node.lineno}"


@every_source
def test_only_the_eras_know_session_ids(path: Path) -> None:
    if name_of(path).startswith(VERSIONED):
        return
    for node in ast.walk(tree(path)):
        for value in vars(node).values():
            assert value != "session_id", f"{name_of(path)}:{getattr(node, 'lineno', 0)}"


@every_source
def test_tasks_live_in_task_groups(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and node.attr in ("create_task", "ensure_future"):
            assert not isinstance(node.value, ast.Name) or node.value.id not in ("asyncio", "loop"), node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            assert not {alias.name for alias in node.names} & {"create_task", "ensure_future"}


@every_source
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path))


@every_source
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name


def own_test(path: Path) -> Path:
    room = path.relative_to(ROOT).parts[0]
    return ROOT / "tests" / room / f"test_{path.stem}.py"


@every_source
def test_every_source_file_has_tests(path: Path) -> None:
    if path.stem not in ("__init__", "__main__"):
        assert own_test(path).exists() or name_of(path) in TESTED_ELSEWHERE, f"{own_test(path)} is missing"
