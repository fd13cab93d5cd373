"""`onegate stdio`: the gateway as a stdio server; nothing but protocol leaves through the real stdout."""

import argparse
import io
import os
import sys
from dataclasses import replace
from typing import BinaryIO

from gateway.cli_config import log_as_service, may_audit, need_a_door, read_config


def run(args: argparse.Namespace) -> int:
    """Serve the client that started us until it closes stdin."""
    config = read_config(args)
    log_as_service(config)
    need_a_door(config)
    may_audit(config)
    # The one client is `config.local`; no token comes in, and no keys are fetched.
    sys.stdout = ProtocolStdout(take_stdout())
    from gateway import app_serving

    code: int = app_serving.run(app_serving.serve_stdio(replace(config, auth=None)))
    return code


class ProtocolStdout(io.TextIOBase):
    """In place of `sys.stdout`: only who asks for ``buffer`` reaches the client, what is printed goes to stderr."""

    def __init__(self, protocol: BinaryIO) -> None:
        self.buffer = protocol

    def write(self, text: str) -> int:
        """Send a stray print to stderr: on stdout it would break the protocol."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Nothing is kept here."""
        sys.stderr.flush()


def take_stdout() -> BinaryIO:
    """Move the real stdout to a descriptor of its own and let descriptor 1 lead to stderr, also for foreign code."""
    sys.stdout.flush()
    protocol = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return protocol
