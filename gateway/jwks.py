"""Where the keys of an issuer come from, and when they are fetched anew; knows no tokens and no HTTP status.

A URL is read only because the config names it, and only by the task that `run` is: one fetch at a time, whoever asks.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import urlsplit

import anyio

from gateway.addresses import is_loopback
from gateway.auth_keys import NO_KEYS, KeySet, VerifyKey, keys_of_jwks
from upstreams import wire

log = logging.getLogger("onegate.auth")

REFRESH_SECONDS: Final = 240.0  # with a retry still under 5 minutes, after which a key that has left must be gone
RETRY_SECONDS: Final = 30.0
FIRST_RETRY_SECONDS: Final = 5.0  # without any keys the gateway is not ready: its start waits for this
UNKNOWN_SECONDS: Final = 30.0  # anybody can name a key that is not there; that must not become a flood of fetches
MAX_AGE_SECONDS: Final = 3600.0  # how long the last good keys outlive an issuer that does not answer
FETCH_SECONDS: Final = 5.0
MAX_BYTES: Final = 2**20
READ_CHUNK: Final = 2**16
MAX_DEPTH: Final = 16

Clock = Callable[[], float]
Fetch = Callable[[], Awaitable["bytes | NotFetched"]]


@dataclass(frozen=True, slots=True)
class NotFetched:
    """Why there is no new key set; never holds the URL or what the server said."""

    reason: str


@dataclass(frozen=True, slots=True)
class Timing:
    """What to do when, in seconds of one steady clock; pure. `fetched` is when the fetch of the keys in use began."""

    fetched: float = -math.inf
    began: float = -math.inf
    unknown: float = -math.inf

    def due(self) -> float:
        """When the next fetch is to be made, if nobody asks for one before."""
        if self.fetched == self.began:
            return self.fetched + REFRESH_SECONDS
        return self.began + (FIRST_RETRY_SECONDS if math.isinf(self.fetched) else RETRY_SECONDS)

    def usable(self, now: float) -> bool:
        """Whether the keys in use may still be trusted."""
        return now - self.fetched < MAX_AGE_SECONDS

    def may_ask(self, now: float) -> bool:
        """Whether an unknown key may cause a fetch."""
        return now - self.unknown >= UNKNOWN_SECONDS


class KeySource(Protocol):
    """What the verification of tokens sees of an issuer's keys."""

    @property
    def keys(self) -> KeySet:
        """The keys to trust now; none when there are none, or when they are too old."""

    @property
    def ready(self) -> bool:
        """Whether there have been keys at all."""

    @property
    def available(self) -> bool:
        """Whether `keys` can be relied on: a key that is not in it is not the issuer's."""

    def holds(self, key: VerifyKey) -> bool:
        """Whether this key is still one to trust."""

    async def wanted(self) -> None:
        """A token names a key that is not here: give it a bounded time to appear, if that is possible."""

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""


class StaticKeys:
    """Keys from the config or a file: they change with a reload only."""

    ready = True
    available = True

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys

    def holds(self, key: VerifyKey) -> bool:
        return key.digest in self.keys.digests

    async def wanted(self) -> None:
        """Nothing can change."""

    async def run(self) -> None:
        """Nothing to do."""


class JwksUrl:
    """The keys behind a URL; `issuer` names them in the log, `algorithms` is what they may be used for."""

    def __init__(self, issuer: str, algorithms: frozenset[str], fetch: Fetch, clock: Clock = time.monotonic) -> None:
        self._issuer = issuer
        self._algorithms = algorithms
        self._fetch = fetch
        self._clock = clock
        self._keys = NO_KEYS
        self._timing = Timing()
        self._asked = asyncio.Event()
        self._done = asyncio.Event()  # of the fetch that is on the way, or of the next one
        self._in_flight = False
        self._failing = False

    @property
    def keys(self) -> KeySet:
        return self._keys if self.available else NO_KEYS

    @property
    def ready(self) -> bool:
        return not math.isinf(self._timing.fetched)

    @property
    def available(self) -> bool:
        return self._timing.usable(self._clock())

    def holds(self, key: VerifyKey) -> bool:
        return key.digest in self._keys.digests and self.available

    def inherit(self, former: "JwksUrl") -> None:
        """Go on with the keys of a source of the same URL, issuer and algorithms, which ends with its config."""
        self._keys, self._timing = former._keys, former._timing

    async def run(self) -> None:
        """Fetch at once, when it is due and when somebody asks; for ever."""
        while True:
            delay = self._timing.due() - self._clock()
            if delay > 0:
                with anyio.move_on_after(delay):
                    await self._asked.wait()
            self._in_flight = True
            self._asked.clear()
            try:
                await self._refresh()
            finally:
                self._in_flight = False
                done, self._done = self._done, asyncio.Event()
                done.set()

    async def wanted(self) -> None:
        """Wait for the fetch that is on the way, or ask for one if the last such wish is long enough ago."""
        if not self._in_flight and not self._asked.is_set():
            now = self._clock()
            if not self._timing.may_ask(now):
                return
            self._timing = replace(self._timing, unknown=now)
            self._asked.set()
        done = self._done
        with anyio.move_on_after(FETCH_SECONDS + 1):
            await done.wait()

    async def _refresh(self) -> None:
        began = self._clock()
        self._timing = replace(self._timing, began=began)
        try:
            body = await self._fetch()
            keys = body if isinstance(body, NotFetched) else read_jwks(body, self._algorithms)
        except Exception as exc:  # of ours: the keys in use must outlive it
            keys = NotFetched(type(exc).__name__)
        if isinstance(keys, NotFetched):
            self._report_failure(keys.reason)
            return
        if not keys.keys:
            if not self.ready:  # a set that was never filled says nothing; one that was emptied takes its keys back
                self._report_failure("lists no key that can be used")
                return
            log.warning("the issuer has taken back all its keys", extra={"issuer": self._issuer})
        elif self._failing:
            log.info("keys are fetched again", extra={"issuer": self._issuer})
        self._failing = False
        self._keys = keys
        self._timing = replace(self._timing, fetched=began)

    def _report_failure(self, reason: str) -> None:
        if not self._failing:  # once per outage
            log.warning("keys cannot be fetched", extra={"issuer": self._issuer, "reason": reason})
        self._failing = True


def read_jwks(body: bytes, algorithms: frozenset[str]) -> KeySet | NotFetched:
    """The keys in the bytes of a JWK Set."""
    try:
        document = wire.loads(body)
    except ValueError:
        return NotFetched("is not JSON")
    if wire.too_deep(body, document, MAX_DEPTH):
        return NotFetched("is nested too deep")
    keys = keys_of_jwks(document, algorithms)
    return NotFetched(keys) if isinstance(keys, str) else keys


async def fetch(url: str, seconds: float = FETCH_SECONDS) -> bytes | NotFetched:
    """Read one URL of the config: no redirects, no .netrc, no compression, no cookies of another time."""
    import aiohttp

    from upstreams.web import proxy_for, status_line

    # A proxy would take what is meant for this machine to another one.
    proxy = None if is_loopback(urlsplit(url).hostname or "") else proxy_for(url)
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False) as client,
            client.get(url, allow_redirects=False, proxy=proxy) as response,
        ):
            if response.status != 200:
                return NotFetched(status_line(response.status))
            if "Content-Encoding" in response.headers:
                return NotFetched("is compressed, which was not asked for")
            return await _read(response.content)
    except TimeoutError:
        return NotFetched(f"no answer within {seconds:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        return NotFetched(type(exc).__name__)


class _Stream(Protocol):
    async def read(self, n: int) -> bytes: ...


async def _read(stream: _Stream) -> bytes | NotFetched:
    chunks, size = [], 0
    while chunk := await stream.read(READ_CHUNK):
        size += len(chunk)
        if size > MAX_BYTES:
            return NotFetched(f"is over {MAX_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
