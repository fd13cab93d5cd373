"""ContextForge as a peer of the benchmark: SQLite, limits off, one process; runs in ContextForge's environment.

Rate limits, plugins, web pages and the checks of addresses and origins are off; what else it does for a call, such as
its own metrics in the database, is as it comes. Calls to /mcp need no token; the upstream is registered with one.
Prints its URL when the upstream's tools are known.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

from listening import free_port, wait_until_listening

ADMIN = "admin@example.com"  # made by ContextForge at its first start
SETTINGS = {
    "CACHE_TYPE": "memory",
    "CSRF_ENABLED": "false",
    "LOG_LEVEL": "ERROR",
    "MCPGATEWAY_UI_ENABLED": "false",
    "MCP_REQUIRE_AUTH": "false",
    "PLUGINS_ENABLED": "false",
    "RATE_LIMITING_ENABLED": "false",
    "RATE_LIMITING_REDIS_ENABLED": "false",
    "SSRF_PROTECTION_ENABLED": "false",
}


def register(port: int, upstream: str) -> None:
    """Makes the upstream's tools callable as `fast-NAME`, then says where."""
    wait_until_listening(port)
    command = [sys.executable, "-m", "mcpgateway.utils.create_jwt_token", "--username", ADMIN, "--admin"]
    token = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.split()[-1]
    body = json.dumps({"name": "fast", "url": upstream, "transport": "STREAMABLEHTTP"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/gateways", body, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        answer.read()
    print(f"http://127.0.0.1:{port}/mcp", flush=True)


def main(upstream: str, scratch: Path) -> None:
    keys = {name: secrets.token_urlsafe(48) for name in ("JWT_SECRET_KEY", "AUTH_ENCRYPTION_SECRET")}
    os.environ.update(SETTINGS | keys | {"DATABASE_URL": f"sqlite:///{scratch}/mcp.db"})
    os.chdir(scratch)  # where it would look for settings of others, and keeps its files
    from mcpgateway import cli  # reads the settings as it is imported

    port = free_port()
    threading.Thread(target=register, args=(port, upstream), daemon=True).start()
    sys.argv = ["mcpgateway", "mcpgateway.main:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    cli.main()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="the upstream's URL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        main(options.upstream, Path(scratch))
