"""Seals what a client carries for us between two requests, so that it comes back unread, unchanged and to its owner.

AES-GCM (NIST SP 800-38D) under a key that lives as long as the process; knows nothing of what it seals.
"""

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Callable
from typing import Final

from upstreams import wire

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
LIFETIME_SECONDS: Final = 3_600.0  # a person answers a question, and a client reads a list to its end, within it
MAX_TEXT: Final = 2**20  # a longer one was not made here


class Sealer:
    """Seals and opens texts. ``purpose`` and ``binding`` must be equal at both ends, or the text opens to nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = os.urandom(KEY_BYTES)
        self._clock = clock

    def seal(self, purpose: str, binding: object, content: object) -> str:
        """Seal ``content`` (JSON) for one purpose and whoever ``binding`` (JSON) describes."""
        nonce, expiry = os.urandom(NONCE_BYTES), self._clock() + LIFETIME_SECONDS
        sealed = self._cipher(purpose).encrypt(nonce, wire.dumps([expiry, content]), wire.dumps(binding))
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, purpose: str, binding: object, text: object) -> object | None:
        """Give back what was sealed; None for what `seal` did not make for both, or too long ago."""
        from cryptography.exceptions import InvalidTag

        if not isinstance(text, str) or len(text) > MAX_TEXT:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            content = self._cipher(purpose).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], wire.dumps(binding))
        except (InvalidTag, binascii.Error, ValueError):
            return None
        expiry, opened = wire.loads(content)
        return opened if self._clock() < expiry else None

    def _cipher(self, purpose: str):  # type: ignore[no-untyped-def]  # its type would load the library at start
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(hashlib.blake2b(purpose.encode(), key=self._root, digest_size=KEY_BYTES).digest())
