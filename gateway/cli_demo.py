"""`onegate demo`: the gateway over the built-in sample servers, and what to paste where."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import gateway
from gateway.addresses import is_loopback
from gateway.cli_config import log_as_service
from gateway.cli_output import OK, Mistake, note, out
from gateway.cli_serve import PortTaken, listen_on, serve
from gateway.config import Config, ServerConfig
from upstreams.config import ServerEntry

SAMPLES: Final = ("weather", "notes")
CALL: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "weather_forecast", "arguments": {"city": "Bern"}},
}
GUIDE: Final = """\
onegate listens on {url}

Call a tool:

  curl -s {url} -H 'content-type: application/json' -d '{call}'

Put it into a client:

  Claude Code
    claude mcp add --transport http onegate {url}

  Cursor, in ~/.cursor/mcp.json
    {cursor}

  VS Code, in .vscode/mcp.json
    {vscode}

  Claude Desktop, in claude_desktop_config.json; it starts programs, so name a config with servers of your own
    {desktop}

The servers behind it are {samples}. Ctrl-C ends it."""


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, which is the ordinary end here."""
    config = demo_config()
    host, port = listen_on(config, args)
    if not is_loopback(host):
        raise Mistake(
            f"the demo is for this machine only and would be open to others on {host}\n"
            "leave --host out, or write a config and use onegate serve"
        )
    log_as_service(config)
    try:
        return _serve(config, host, port, args.port is None)
    except KeyboardInterrupt:
        return OK


def demo_config() -> Config:
    """The config of the demo: both sample servers, run by this very Python."""
    # The folder of our packages, so that `-m` finds them in a checkout too, and nothing else of that name.
    folder = str(Path(gateway.__file__).resolve().parents[1])
    servers = {
        name: ServerEntry(
            name=name, type="stdio", command=sys.executable, args=["-m", f"gateway.samples.{name}"], cwd=folder
        )
        for name in SAMPLES
    }
    return Config(source=Path("demo"), folder=Path.cwd(), servers=servers, name="onegate-demo", server=ServerConfig())


def guide(url: str) -> str:
    """What a newcomer reads when the demo is up."""
    command, *before = own_command()
    # A desktop program's folder is not ours, so both paths are absolute.
    file = Path.home() / ".config" / "onegate" / "onegate.yaml"
    desktop = {"mcpServers": {"onegate": {"command": command, "args": [*before, "stdio", "-c", str(file)]}}}
    return GUIDE.format(
        url=url,
        call=_compact(CALL),
        cursor=json.dumps({"mcpServers": {"onegate": {"url": url}}}),
        vscode=json.dumps({"servers": {"onegate": {"type": "http", "url": url}}}),
        desktop=json.dumps(desktop),
        samples=" and ".join(SAMPLES),
    )


def own_command() -> list[str]:
    """The absolute command line of this installation."""
    beside = shutil.which("onegate", path=str(Path(sys.executable).parent))
    return [beside] if beside else [sys.executable, "-m", "gateway.cli"]


def _serve(config: Config, host: str, port: int, may_move: bool) -> int:
    def ready(url: str) -> None:
        out(guide(url))

    try:
        return serve(config, host, port, ready)
    except PortTaken:
        if not may_move:
            raise
    note(f"port {port} is taken; using a free one")
    return serve(config, host, 0, ready)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
