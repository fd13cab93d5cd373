"""`onegate key new NAME`: an API key, shown once, and what the config holds in its place."""

import argparse

from pydantic import ValidationError

from gateway.api_keys import new_key
from gateway.auth_config import ApiKeyConfig
from gateway.cli_output import OK, Mistake, note, out


def run(args: argparse.Namespace) -> int:
    """Print the key and its entry, a line each; what they are for goes to stderr."""
    try:
        ApiKeyConfig(name=args.name, sha256="0" * 64)
    except ValidationError as exc:
        raise Mistake("NAME must not be empty, nor hold control characters") from exc
    key, entry = new_key(args.name)
    note("the key, for the caller; it is shown only now:")
    out(key)
    note("its entry, for auth.api_keys in the config:")
    out(entry)
    return OK
