from pathlib import Path

import pytest

from tests.fixtures.byte_server import SECONDS, Script, Visit, asked, byte_server, echo, pool_to
from tests.fixtures.certificate import certificate
from tests.fixtures.clock import both_loops  # noqa: F401
from upstreams import pool as pools
from upstreams.errors import Unreachable

pytestmark = pytest.mark.anyio


async def test_a_trusted_certificate_lets_exchanges_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with byte_server(echo, tls=context) as server, pool_to(server.origin) as pool:
        bodies = [b"x" * 1_000_000, b"two"]
        for body in bodies:
            assert await asked(pool, body) == body
        assert len(server.visits) == 1


async def test_a_certificate_that_nobody_signed_is_told(tmp_path: Path) -> None:
    _, context = certificate(tmp_path)
    async with byte_server(echo, tls=context) as server, pool_to(server.origin) as pool:
        with pytest.raises(Unreachable, match=r"its certificate is not trusted \(.*self.signed"):
            await asked(pool)


async def test_a_certificate_of_another_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with byte_server(echo, tls=context) as server:
        async with pool_to(server.origin.replace("127.0.0.1", "localhost")) as pool:
            with pytest.raises(Unreachable, match=r"its certificate is not trusted \(Hostname mismatch"):
                await asked(pool)
        assert all(heads == [] for heads in server.heads())


async def plain(visit: Visit) -> None:
    await visit.first_byte()
    await visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await visit.left()


async def hangs_up(visit: Visit) -> None:
    await visit.first_byte()


async def silent(visit: Visit) -> None:
    await visit.left()


@pytest.mark.parametrize(
    ("script", "seconds", "told"),
    [
        (plain, SECONDS, r"TLS failed \(wrong version number\)"),
        (hangs_up, SECONDS, "[Tt]he server closed the connection|Connection reset by peer"),
        (silent, 0.2, "timed out"),
    ],
)
async def test_a_server_that_speaks_no_tls_is_told(
    script: Script, seconds: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "CONNECT_SECONDS", seconds)
    async with byte_server(script) as server, pool_to(server.origin.replace("http:", "https:")) as pool:
        with pytest.raises(Unreachable, match=rf"cannot connect to 127\.0\.0\.1:\d+: ({told})$"):
            await asked(pool)
