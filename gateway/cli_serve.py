"""`onegate serve`: the gateway over HTTP; one line on stdout says where."""

import argparse
import errno
import sys
from collections.abc import Callable
from typing import Final

from gateway.cli_config import log_as_service, may_audit, may_listen, need_a_door, read_config
from gateway.cli_output import Mistake, out
from gateway.config import Config
from gateway.config_problems import ConfigError

MENDS: Final = {
    errno.EADDRINUSE: "another program uses it; choose another port with --port or server.port",
    errno.EACCES: "this needs rights that you do not have; choose a port over 1023 with --port or server.port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another with --host or server.host",
}
NO_ADMIN: Final = "choose another address with admin.listen, or none with admin: {listen: null}"
PORTS: Final = range(65536)


class PortTaken(Mistake):
    """Another program listens there."""


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    config = read_config(args)
    host, port = listen_on(config, args)
    may_listen(config, host)
    log_as_service(config)
    need_a_door(config)
    may_audit(config)
    return serve(config, host, port, lambda url: out(f"onegate listens on {url}"))


def listen_on(config: Config, args: argparse.Namespace) -> tuple[str, int]:
    """Host and port: the arguments', else the config's."""
    port = config.server.port if args.port is None else args.port
    if port not in PORTS:
        raise Mistake(f"--port: {port} is no port; choose one from 0 (any free one) to {PORTS[-1]}")
    return config.server.host if args.host is None else args.host, port


def serve(config: Config, host: str, port: int, ready: Callable[[str], None]) -> int:
    """Serve and call ``ready`` with the URL. Raises `Mistake` when it cannot listen there, or has no keys to use."""
    from gateway import app_serving
    from gateway.transports.admin_server import CannotListen

    listening = False

    def on_ready(url: str) -> None:
        nonlocal listening
        listening = True
        ready(url)

    try:
        code: int = app_serving.run(app_serving.serve(config, host, port, on_ready))
    except ConfigError as exc:  # a key file; after the start such a config is refused by the reload itself
        raise Mistake(str(exc)) from exc
    except OSError as exc:
        if listening:
            raise
        if isinstance(exc, CannotListen):
            raise Mistake(f"{exc}; {NO_ADMIN}") from exc
        mend = MENDS.get(exc.errno or 0, f"{exc.strerror or exc}; see --host, --port, server.host, server.port")
        kind = PortTaken if exc.errno == errno.EADDRINUSE else Mistake
        raise kind(f"onegate cannot listen on {shown(host, port)}: {mend}") from exc
    sys.stdout.flush()
    return code


def shown(host: str, port: int) -> str:
    """An address as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
