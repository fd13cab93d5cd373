import random

import pytest

from upstreams.events import Event, EventParser, EventTooLarge

STREAM = (
    ': a comment\nid: 1\nretry: 500\ndata:\n\nevent: message\ndata: {"a":\ndata:1}\nid: 2\n\ndata: ü\n\nnothing\n\n'
)
EVENTS = [
    Event("message", b"", "1", 500),
    Event("message", b'{"a":\n1}', "2"),
    Event("message", "ü".encode()),
]


def parse(*chunks: bytes, limit: int = 2**20) -> list[Event]:
    parser = EventParser(limit)
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_any_byte_whatever_ends_its_lines(end: str) -> None:
    data = STREAM.replace("\n", end).encode()
    for cut in range(len(data) + 1):
        assert parse(data[:cut], data[cut:]) == EVENTS, cut
    assert parse(*(data[at : at + 1] for at in range(len(data)))) == EVENTS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_into_pieces_of_any_size(end: str) -> None:
    data = STREAM.replace("\n", end).encode()
    for size in range(2, 12):
        assert parse(*(data[at : at + size] for at in range(0, len(data), size))) == EVENTS, size


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_chunking_of_long_lines_gives_the_same_events(end: bytes) -> None:
    rng = random.Random(11)
    names = [
        b"data",
        b"data: ",
        b"data:",
        b"data:  ",
        b"datax: ",
        b"id: ",
        b"event:",
        b": ",
        b"",
        b"\xef\xbb\xbfdata: ",
    ]
    for _ in range(200):
        lines = [rng.choice(names) + rng.choice([b"", b"a:b", b" ", b":" * 20, b"x" * 90]) for _ in range(12)]
        stream = b"".join(line + end * rng.choice([1, 1, 2]) for line in lines) + end
        cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.randrange(1, 40)))
        ends = [*cuts, len(stream)]
        assert parse(*map(stream.__getitem__, map(slice, [0, *cuts], ends))) == parse(stream), (stream, cuts)


def test_empty_chunks_change_nothing() -> None:
    assert parse(b"data: a\r", b"", b"\ndata: b\r", b"", b"\n\r\n") == [Event("message", b"a\nb")]


def test_line_ends_may_be_mixed() -> None:
    assert parse(b"data: a\r\ndata: b\rdata: c\n\r\n") == [Event("message", b"a\nb\nc")]


def test_only_the_three_line_ends_of_the_specification_end_a_line() -> None:
    assert parse(b"data: a\x0bb\x0cc\x1cd\xc2\x85e\r\n\r\n") == [Event("message", b"a\x0bb\x0cc\x1cd\xc2\x85e")]


def test_an_event_without_an_end_is_not_dispatched() -> None:
    assert parse(b"data: a\n") == []


def test_a_name_without_data_is_no_event() -> None:
    assert parse(b"event: ping\n\ndata: x\n\n") == [Event("message", b"x")]


def test_of_a_value_only_one_leading_space_is_taken() -> None:
    assert parse(b"data:  a: b \n\n") == [Event("message", b" a: b ")]


def test_an_id_with_a_nul_is_ignored() -> None:
    assert parse(b"id: a\0b\ndata: x\n\n") == [Event("message", b"x", None)]


@pytest.mark.parametrize("retry", [b"", b"-1", b"1.5", b"abc", b"9999999999", "²".encode()])
def test_a_retry_that_is_no_small_number_is_ignored(retry: bytes) -> None:
    assert parse(b"retry: " + retry + b"\ndata: x\n\n") == [Event("message", b"x", None, None)]


def test_an_empty_id_resets_the_last_one() -> None:
    assert parse(b"id\ndata: x\n\n") == [Event("message", b"x", "")]


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_first_field() -> None:
    assert parse(b"\xef\xbb\xbfdata: x\n\n") == [Event("message", b"x")]
    assert parse(b"\xef", b"\xbb", b"\xbfdata: x\n\n") == [Event("message", b"x")]


@pytest.mark.parametrize("piece", [b"a" * 100, b"data: aaaa\n", b"data\n", b":" + b"a" * 99 + b"\n"])
def test_an_event_that_never_ends_is_refused_at_the_limit(piece: bytes) -> None:
    parser, fed = EventParser(1000), 0

    def feed_on() -> None:
        nonlocal fed
        while fed < 5000:
            fed += len(piece)
            parser.feed(piece)

    with pytest.raises(EventTooLarge):
        feed_on()
    assert fed <= 1000 + 2 * len(piece)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_the_limit_is_of_one_event_and_not_of_the_stream(end: bytes) -> None:
    one = b"data: " + b"x" * 500 + end + end
    assert len(parse(*[one] * 100, limit=1000)) == 100
    assert len(parse(one * 100, limit=1000)) == 100


def test_an_event_over_the_limit_is_found_out_at_the_next_chunk_at_the_latest() -> None:
    with pytest.raises(EventTooLarge):
        parse(b"data: " + b"x" * 500, b"x", limit=100)


def test_the_work_is_linear_in_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long line in many chunks is put together once, not at every chunk."""
    lines: list[int] = []
    original = EventParser._line
    monkeypatch.setattr(
        EventParser,
        "_line",
        lambda self, pieces, events: (lines.append(sum(map(len, pieces))), original(self, pieces, events))[1],
    )
    parser = EventParser(2**20)
    parser.feed(b"data: ")
    for _ in range(1000):
        parser.feed(b"x" * 100)
        assert sum(map(len, parser._tail)) <= 6 + 100_000
    assert lines == []
    (event,) = parser.feed(b"\n\n")
    assert (lines, len(event.data)) == ([100_006, 0], 100_000)
