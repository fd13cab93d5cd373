"""How long a client may take over a request, and what does not count as its time."""

import time
from collections.abc import Iterator

import pytest

from gateway.transports.limits import LimitedProtocol
from tests.fixtures.limited import GET, LOOPS, POST, Server, read_all, serve, status
from tests.fixtures.waiting import until

pytestmark = pytest.mark.alone


class Hasty(LimitedProtocol):
    head_seconds = 0.2
    body_seconds = 0.3


@pytest.fixture(scope="module", params=LOOPS)
def hasty_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from serve(request.param, Hasty)


@pytest.fixture
def hasty(hasty_server: Server) -> Iterator[Server]:
    with hasty_server.fresh():
        yield hasty_server


def test_a_head_that_is_too_slow_answers_408(hasty: Server) -> None:
    connection = hasty.connect(GET)
    answer = read_all(connection)
    assert status(answer) == 408
    assert hasty.app.seen == []


def test_dripping_bytes_do_not_prolong_the_head(hasty: Server) -> None:
    connection = hasty.connect(GET)
    connection.settimeout(0.03)
    answer, began = b"", time.monotonic()
    while not answer and time.monotonic() - began < 5.0:
        try:
            connection.sendall(b"x: y\r\n")
            answer = connection.recv(1000)
        except TimeoutError:
            continue
    assert status(answer) == 408


@pytest.mark.parametrize("junk", [b"", b"\r\n"], ids=["silence", "empty lines"])
def test_a_connection_that_never_asks_is_closed(hasty: Server, junk: bytes) -> None:
    connection = hasty.connect(junk)
    assert status(read_all(connection)) in (0, 408)


def test_empty_lines_do_not_keep_an_answered_connection_open(hasty: Server) -> None:
    connection = hasty.connect(GET + b"\r\n")
    assert status(read_all(connection, stop=b"}")) == 200
    connection.sendall(b"\r\n")
    assert status(read_all(connection)) in (0, 408)


def test_a_body_that_is_too_slow_answers_408_and_the_application_hears_of_it(hasty: Server) -> None:
    connection = hasty.connect(POST + b"Content-Length: 10\r\n\r\nhello")
    assert status(read_all(connection)) == 408
    until(lambda: hasty.app.seen == ["/a", "disconnect"], "the application hears of the end")


def test_a_body_that_trickles_after_an_early_answer_ends_the_connection(hasty: Server) -> None:
    connection = hasty.connect(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
    answer = read_all(connection)
    assert status(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1


def test_a_slow_answer_is_no_slow_request(hasty: Server) -> None:
    connection = hasty.connect(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    until(lambda: hasty.app.seen, "the request arrives")
    connection.sendall(b"hello")
    assert hasty.status(GET) == 408  # the limits have passed on another connection
    assert hasty.status(GET) == 408
    hasty.app.release.set()
    assert status(read_all(connection, stop=b"}")) == 200


def test_a_body_that_we_do_not_read_is_not_the_clients_fault(hasty: Server) -> None:
    connection = hasty.connect(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    until(lambda: hasty.app.seen, "the request arrives")
    connection.sendall(POST + b"Content-Length: 10\r\n\r\nhello")  # waits behind the first, unread
    connection.sendall(b"world")
    assert hasty.status(GET) == 408  # the limits have passed on other connections
    assert hasty.status(POST + b"Content-Length: 10\r\n\r\n") == 408
    hasty.app.release.set()
    assert read_all(connection, stop=b'"body": 10').count(b"HTTP/1.1 200") == 2
