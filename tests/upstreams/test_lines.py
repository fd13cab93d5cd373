"""Cutting a stream into lines: whatever the chunks, the same lines, in linear time and bounded memory."""

import random
import time

import pytest

from upstreams.lines import LineSplitter


def cut(stream: bytes, limit: int, sizes: list[int]) -> tuple[list[bytes], int]:
    splitter = LineSplitter(limit)
    lines: list[bytes] = []
    at = 0
    for size in sizes:
        lines += splitter.feed(stream[at : at + size])
        at += size
    return lines + splitter.feed(stream[at:]), splitter.oversized


def test_lines_end_at_line_feeds_and_lose_one_carriage_return() -> None:
    assert LineSplitter(100).feed(b'{"a":1}\r\n{"b":2}\n{"c"') == [b'{"a":1}', b'{"b":2}']


def test_a_carriage_return_inside_a_line_stays() -> None:
    assert LineSplitter(100).feed(b"a\rb\r\r\n") == [b"a\rb\r"]


def test_blank_lines_are_skipped() -> None:
    assert LineSplitter(100).feed(b"\n\r\n  \t\na\n\n") == [b"a"]


def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    splitter = LineSplitter(4)
    assert splitter.feed(b"1234\n1234\r\n12345\n12345\r\n12\n") == [b"1234", b"1234", b"12"]
    assert splitter.oversized == 2


def test_an_oversized_line_is_dropped_whole_and_the_next_one_is_read() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"x" * 50) == []
    assert splitter.feed(b"y" * 50 + b"\nnext\n") == [b"next"]
    assert splitter.oversized == 1


def test_every_chunking_gives_the_same_lines() -> None:
    rng = random.Random(7)
    for _ in range(300):
        stream = bytes(rng.choice(b"ab\r\n ") for _ in range(rng.randrange(80)))
        limit = rng.randrange(1, 12)
        sizes = [rng.randrange(6) for _ in range(30)]
        assert cut(stream, limit, sizes) == cut(stream, limit, [])


def test_what_is_kept_of_an_unfinished_line_is_bounded_by_the_limit() -> None:
    splitter = LineSplitter(1000)
    for _ in range(100):
        splitter.feed(b"x" * 999)
        assert len(splitter._rest) <= 1001


@pytest.mark.alone
def test_small_pieces_of_a_long_line_cost_linear_time() -> None:
    def seconds(pieces: int) -> float:
        splitter = LineSplitter(64 * 1024 * 1024)
        began = time.perf_counter()
        for _ in range(pieces):
            splitter.feed(b"x" * 256)
        assert len(splitter.feed(b"\n")[0]) == pieces * 256
        return time.perf_counter() - began

    # Ten times the input may cost ten times the time; quadratic growth would cost a hundred times.
    assert seconds(80_000) < 50 * max(seconds(8_000), 0.002)
