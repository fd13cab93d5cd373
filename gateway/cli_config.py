"""The config of a command and the log that goes with it; a config that cannot be used is a mistake of the user."""

import argparse
import logging
import sys

from gateway import logs
from gateway.cli_output import Mistake, colourful
from gateway.config import Config, check_exposure, load
from gateway.config_problems import ConfigError
from gateway.config_telemetry import LogConfig, LogLevel
from gateway.telemetry.declared import declared
from gateway.telemetry.secrets import Redactor

log = logging.getLogger("onegate.mcp")

QUIET: dict[str, LogLevel] = {
    "upstream": "error"
}  # commands that start the servers for a moment report on them in their own words


def read_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, or the first of the lookup. Raises `Mistake`."""
    try:
        return load(args.config)
    except ConfigError as exc:
        raise Mistake(str(exc)) from exc


def may_listen(config: Config, host: str) -> None:
    """Raise `Mistake` when the config does not allow to listen on ``host``."""
    try:
        check_exposure(config, host)
    except ConfigError as exc:
        raise Mistake(str(exc)) from exc


def may_audit(config: Config) -> None:
    """Raise `Mistake` when the audit file cannot be opened; makes none."""
    if config.telemetry.audit.file is None:
        return
    from gateway.telemetry.audit_handover import check_audit

    try:
        check_audit(config)
    except ConfigError as exc:
        raise Mistake(str(exc)) from exc


def need_a_door(config: Config) -> None:
    """Raise `Mistake` when no door is left: there is no path to everything, and no server for a path of its own."""
    from gateway.doors import plan_doors

    if not plan_doors(config):
        raise Mistake(
            f"{config.source}: server.path: is null, and no other door is left\n"
            "give it a path, or mend or enable a server (onegate check names what is wrong)"
        )


def log_as_service(config: Config) -> None:
    """Set up the log of a gateway that runs on, and say in it what the config left out."""
    _log(config, config.telemetry.log)
    for line in config.warnings:
        log.warning("%s", line)
    for name, problem in config.disabled.items():
        log.error("%s is disabled: %s", name, problem.replace("\n", "; "), extra={"upstream": name})


def log_as_tool(config: Config) -> None:
    """Set up the log of a command that prints its own result: only what is out of order, unless debug is asked for."""
    wanted = config.telemetry.log
    if "debug" in (wanted.level, *wanted.levels.values()):
        _log(config, wanted)
    else:
        _log(config, LogConfig(level="warning", levels=QUIET, format=wanted.format))


def _log(config: Config, wanted: LogConfig) -> None:
    logs.set_up(wanted, Redactor(declared(config)).redact, colour=colourful(sys.stderr))
