"""Which peers are measured, what each is set to and how it is called; starts those that are installed.

A peer has an environment of its own, made from requirements/peer-NAME.txt, and a program in peers/ that runs in it.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import calls
from loading import HERE, PATIENT, WRK, Row
from processes import StartError, running

ROOT = HERE.parent.parent
READY_SECONDS = 90.0  # ContextForge makes its database first
URL = "{upstream}"


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the table."""

    name: str
    package: str
    """Its name on PyPI."""
    environment: str
    command: tuple[str, ...]
    """A program in peers/ and its arguments."""
    settings: str
    """What a reader of the table has to know."""
    tool: str = "echo"
    form: Callable[[str, str], calls.Call] = calls.sessionless  # all serve it, and none another form faster
    generator: tuple[str, ...] = tuple(WRK)
    whole: bool = False

    @property
    def row(self) -> str:
        """Its name in the table, which says the wire form as those of the gateway do."""
        return f"{self.name}, {self.form.__name__}"

    @property
    def version(self) -> str:
        """As it is pinned."""
        lines = (ROOT / f"requirements/peer-{self.environment}.txt").read_text().splitlines()
        return next(line.partition("==")[2] for line in lines if line.startswith(f"{self.package}=="))

    def facts(self) -> dict[str, str]:
        return {"package": self.package, "version": self.version, "settings": self.settings}


FASTMCP = "create_proxy, served without sessions, plain JSON answers, no log of requests, uvloop and httptools; "
BRIDGE = "--stateless (its answers are plain JSON), log level WARNING, uvloop and httptools; "

PEERS = (
    Peer(
        "FastMCP default",
        "fastmcp",
        "fastmcp",
        ("fastmcp_proxy.py", URL),
        FASTMCP + "connects to the upstream for each request, as it does unless told otherwise",
        generator=tuple(PATIENT),
    ),
    Peer(
        "FastMCP held open",
        "fastmcp",
        "fastmcp",
        ("fastmcp_proxy.py", URL, "--held"),
        FASTMCP + "one connected client (2026-07-28) for all callers",
    ),
    Peer(
        "mcp-proxy to stdio",
        "mcp-proxy",
        "mcp-proxy",
        ("mcp_proxy_bridge.py", sys.executable, str(HERE / "fast_stdio.py")),
        BRIDGE + "it bridges HTTP and stdio, so its upstream is a stdio server that only echoes, on the other core",
    ),
    Peer(
        "mcp-proxy twice",
        "mcp-proxy",
        "mcp-proxy",
        ("mcp_proxy_bridge.py", URL),
        BRIDGE + "HTTP to stdio to HTTP, to the upstream of the other rows; CPU and memory of both processes",
        whole=True,
    ),
    Peer(
        "ContextForge",
        "mcp-contextforge-gateway",
        "contextforge",
        ("contextforge.py", URL),
        "SQLite, one process, in-memory cache; rate limits, plugins, web pages, CSRF and SSRF checks off; /mcp open",
        tool="fast-echo",
        generator=tuple(PATIENT),
    ),
)


@dataclass(frozen=True, slots=True)
class Started:
    """The peers that run, and of the others why not."""

    rows: list[Row] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def start_peers(stack: ExitStack, upstream: str, scratch: Path) -> Started:
    """Starts what is installed until the stack closes, and tries each one's call once."""
    started = Started()
    for peer in PEERS:
        try:
            started.rows.append(start_peer(stack, peer, upstream, scratch))
        except (StartError, calls.WrongAnswerError, OSError) as error:
            started.missing[peer.row] = why(error)
    return started


def start_peer(stack: ExitStack, peer: Peer, upstream: str, scratch: Path) -> Row:
    environment = Path(".cache/peers", peer.environment)
    if not (ROOT / environment / ".installed").exists():
        raise StartError(f"not installed (make {environment}/.installed)")
    program, *arguments = (part.format(upstream=upstream) for part in peer.command)
    command = [str(ROOT / environment / "bin/python"), str(HERE / "peers" / program), *arguments]
    server = stack.enter_context(running(peer.name, command, scratch / f"{peer.name}.log", READY_SECONDS))
    row = Row(peer.row, server, peer.form(server.url, peer.tool), "proxy", peer.generator, peer.whole)
    calls.check(row.call)
    return row


def why(error: Exception) -> str:
    """One line: what failed, and the last that was said."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1].strip()}"[:300]
