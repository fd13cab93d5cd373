"""`onegate check`: is the config right, and with `--connect`: does every server start?"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.cli_config import log_as_tool, may_audit, may_listen, read_config
from gateway.cli_connect import Outcome, started, with_gateway
from gateway.cli_output import FAILED, OK, Mistake, note, out, out_stderr, out_table
from gateway.config import Config
from gateway.config_problems import ConfigError
from gateway.logs import escaped

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.service import Service

HEADER: Final = ("server", "state", "protocol", "tools", "prompts", "resources", "seconds", "error")
LISTED: Final = ("tools", "prompts", "resources")


def run(args: argparse.Namespace) -> int:
    """Print everything that is wrong, or OK; what is wrong is the result here and goes to stdout."""
    try:
        config = read_config(args)
    except Mistake as exc:
        out(escaped(str(exc), keep="\n"))
        return FAILED
    problems = [*_refused(config), *config.disabled.values()]
    for line in config.warnings:
        note(f"warning: {line}")
    for problem in problems:
        out(escaped(problem, keep="\n"))
    code = FAILED if problems else OK
    if args.connect and config.servers:
        code = max(code, _connect(config))
    if code == OK:
        out(_all_well(config))
    return code


def _refused(config: Config) -> Iterator[str]:
    """Why `onegate serve` would not start with a config that is right in itself."""
    for refuse in (partial(may_listen, host=config.server.host), _has_keys, may_audit):
        try:
            refuse(config)
        except Mistake as exc:
            yield str(exc)


def _has_keys(config: Config) -> None:
    """Raise `Mistake` when a key file of `auth.jwt` cannot be used; fetches nothing."""
    if config.auth is None:
        return
    from gateway.auth import Authenticator

    try:
        Authenticator(config.auth, config.source, config.server.public_url)
    except ConfigError as exc:
        raise Mistake(str(exc)) from exc


def _all_well(config: Config) -> str:
    count, off = len(config.servers), len(config.switched_off)
    servers = f"{count} server{'' if count == 1 else 's'} ({', '.join(config.servers)})" if count else "0 servers"
    return escaped(f"OK: {servers}{f', {off} switched off' if off else ''}: {config.source}")


def _connect(config: Config) -> int:
    log_as_tool(config)
    outcomes = with_gateway(config, _outcomes)
    out_table(HEADER, [_row(one) for one in outcomes], heading=HEADER)
    failed = [one for one in outcomes if one.failed]
    for one in failed:
        out_stderr(one.name, one.stderr)
    return FAILED if failed else OK


async def _outcomes(gateway: "Gateway", _: "Service") -> list[Outcome]:
    return await started(gateway)


def _row(one: Outcome) -> tuple[str, ...]:
    seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
    counts = ["" if one.failed else str(len(one.listing.of(kind))) for kind in LISTED]
    return (one.name, one.state, " ".join(one.versions), *counts, seconds, one.error or "")
