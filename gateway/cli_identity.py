"""Who a command of the terminal stands for: the claims after `--as`, else the local identity of the config."""

import argparse

from gateway.auth_claims import EXAMPLE, identity_of
from gateway.cli_output import Mistake
from gateway.config import Config
from policies.model import Identity


def identity(args: argparse.Namespace, config: Config) -> Identity:
    """Whom the command stands for. Raises `Mistake` for claims that no token could carry."""
    if args.as_claims is None:
        return config.local
    try:
        return identity_of(args.as_claims)
    except ValueError as exc:
        quoted = f"'{EXAMPLE}'"  # as a shell takes it
        raise Mistake(f"--as: {exc}".replace(EXAMPLE, quoted)) from exc
