"""What the HTTP server refuses before the application sees it: a real server, raw sockets."""

from collections.abc import Iterator

import pytest

from gateway.transports.limits import LimitedProtocol
from tests.fixtures.limited import GET, LOOPS, POST, Server, read_all, serve, status
from tests.fixtures.waiting import until


class Patient(LimitedProtocol):
    head_seconds = 5.0
    body_seconds = 5.0


@pytest.fixture(scope="module", params=LOOPS)
def patient_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from serve(request.param, Patient)


@pytest.fixture
def server(patient_server: Server) -> Iterator[Server]:
    with patient_server.fresh():
        yield patient_server


def test_a_plain_request_passes_and_the_connection_stays(server: Server) -> None:
    connection = server.connect()
    for _ in range(3):
        connection.sendall(POST + b"Content-Length: 5\r\n\r\nhello")
        answer = read_all(connection, stop=b"}")
        assert status(answer) == 200
        assert b'"body": 5' in answer


REFUSED = {
    "a length beside a transfer encoding": (400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a transfer encoding beside a length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    "two lengths": (400, POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    "a list of lengths": (400, POST + b"Content-Length: 5, 5\r\n\r\n"),
    "a signed length": (400, POST + b"Content-Length: +5\r\n\r\n"),
    "a negative length": (400, POST + b"Content-Length: -5\r\n\r\n"),
    "a length that overflows": (400, POST + b"Content-Length: 99999999999999999999999\r\n\r\n"),
    "a space before the colon": (400, POST + b"Content-Length : 5\r\n\r\n"),
    "an unknown transfer encoding": (400, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "two transfer encodings": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
    "a transfer encoding in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "an empty host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "two hosts": (400, GET + b"Host: localhost\r\n\r\n"),
    "two hosts in HTTP/1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    "a host with a user": (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    "a host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "a host with two names": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "a host that is not ASCII": (400, b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n"),
    "a content encoding": (415, POST + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
    "an absolute target": (400, b"GET http://localhost/a HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a star": (400, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a tunnel": (400, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a NUL in the target": (400, b"GET /a\x00b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "an encoded NUL": (400, b"GET /a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a broken escape": (400, b"GET /a%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a target that is not ASCII": (400, b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a folded header": (400, GET + b"X: a\r\n b\r\n\r\n"),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: localhost\n\n"),
    "HTTP/2 without agreement": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "another version": (400, b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n"),
    "version 0.9": (400, b"GET /\r\n\r\n"),
    "TLS on a plain port": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "too many headers": (431, GET + b"".join(b"x-%d: y\r\n" % n for n in range(201)) + b"\r\n"),
    "a header that is too large": (431, GET + b"X: " + b"y" * 70_000 + b"\r\n\r\n"),
    "a target that is too large": (431, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "headers that are too large together": (431, GET + (b"x: " + b"y" * 1000 + b"\r\n") * 70 + b"\r\n"),
    "a head that never ends": (431, GET + b"X: " + b"y" * 1_000_000),
}


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused_unseen_by_the_application(server: Server, what: str) -> None:
    expected, data = REFUSED[what]
    connection = server.connect(data)
    answer = read_all(connection)
    assert status(answer) == expected
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert server.app.seen == []


ACCEPTED = {
    "a query with anything": b"GET /a?q=%zz&u=http://x/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an encoded slash": b"GET /a%2Fb HTTP/1.1\r\nHost: localhost:8080\r\n\r\n",
    "an IPv6 host": b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "HTTP/1.0 without a host": b"GET / HTTP/1.0\r\n\r\n",
    "200 headers": GET + b"".join(b"x-%d: y\r\n" % n for n in range(199)) + b"\r\n",
    "60 KiB of headers": GET + b"X: " + b"y" * 60_000 + b"\r\n\r\n",
    "chunks": POST + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_is_accepted(server: Server, what: str) -> None:
    assert server.status(ACCEPTED[what]) == 200


def test_trailers_never_become_headers(server: Server) -> None:
    connection = server.connect(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: x\r\n\r\n")
    answer = read_all(connection, stop=b"}")
    assert status(answer) == 200
    assert b"authorization" not in answer


@pytest.mark.parametrize("tail", [b"0\r\nX: ", b"5;"], ids=["trailers", "chunk extensions"])
def test_what_surrounds_the_chunks_is_bounded(server: Server, tail: bytes) -> None:
    connection = server.connect(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + tail)
    until(lambda: server.app.seen, "the request arrives")
    connection.sendall(b"y" * 500_000)
    assert status(read_all(connection)) == 431
    until(lambda: server.app.seen == ["/a", "disconnect"], "the application hears of the end")


def test_rubbish_after_a_request_does_not_spoil_its_answer(server: Server) -> None:
    connection = server.connect(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    until(lambda: server.app.seen, "the request arrives")
    connection.sendall(b"rubbish\r\n\r\n")
    assert server.status(GET + b"\r\n") == 200
    server.app.release.set()
    answer = read_all(connection)
    assert status(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1


def test_pipelined_requests_are_answered_in_order_up_to_a_bound(server: Server) -> None:
    asked = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(100)]
    answer = read_all(server.connect(b"".join(asked)))
    count = answer.count(b"HTTP/1.1 200")
    assert 10 <= count <= 20
    assert server.app.seen == [f"/{n}" for n in range(count)]


@pytest.mark.parametrize("cut", [0, 30, 500])
def test_a_wish_to_upgrade_is_ignored_and_the_body_is_read(server: Server, cut: int) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    for framing in (b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
        data = POST + upgrade + framing
        connection = server.connect()
        for _ in range(2):
            connection.sendall(data[:cut])
            connection.sendall(data[cut:])
            answer = read_all(connection, stop=b"}")
            assert status(answer) == 200
            assert b'"body": 5' in answer
