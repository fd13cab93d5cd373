"""JSON in and out: exact, strict, and deep only as far as it is allowed to be."""

import json
import random

import pytest

from upstreams import wire


@pytest.mark.parametrize(
    "number", [0, -1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30]
)
def test_integers_make_the_round_trip_digit_by_digit(number: int) -> None:
    text = json.dumps({"n": [number]}, separators=(",", ":")).encode()
    assert wire.loads(text) == {"n": [number]}
    assert wire.dumps(wire.loads(text)) == text


def test_what_fits_64_bits_stays_a_plain_int_beside_a_big_one() -> None:
    small, big = wire.loads(b"[7, 123456789012345678901234567890]")
    assert type(small) is int
    assert type(big) is wire.BigInt


def test_digits_within_a_text_stay_a_text() -> None:
    assert wire.loads(b'"' + b"9" * 40 + b'"') == "9" * 40


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"[1,]",
        b"{'a':1}",
        b"01",
        b"+1",
        b".5",
        b'"\xff"',
        b'"\\ud800"',
        b'"\x01"',
        b"\xef\xbb\xbf1",
        b"1 2",
        b"[" * 1_100 + b"]" * 1_100,
        b"9" * 400,
        b"9" * 5_000,
        b'[1234567890123456789012,"\\udfff"]',
        b"[1234567890123456789012,NaN]",
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_what_is_not_json_raises_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any of them will do
        wire.loads(text)


INTEGERS = [0, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, -(10**300)]
OTHERS = ["0.1", "1e25", "-1e300", "9223372036854775808.0", "true", '"a"', '"' + "7" * 30 + '"', "1" + "0" * 30 + ".5"]


def typed(value: object) -> object:
    """The same for values of the same types only."""
    if isinstance(value, dict):
        return [(key, typed(one)) for key, one in value.items()]
    return [typed(one) for one in value] if isinstance(value, list) else (type(value), value)


def grown(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(4) if depth else 3
    inside = [grown(rng, depth - 1) for _ in range(rng.randrange(5))] if kind < 2 else []
    if kind == 0:
        return "[" + ", ".join(inside) + "]"
    if kind == 1:  # the keys come again and again
        return "{" + ",".join(f'"{rng.choice("ab")}" :{one}' for one in inside) + "}"
    return rng.choice([*map(str, INTEGERS), *OTHERS])


@pytest.mark.parametrize("beside", ['"' + "x" * 100_000 + '"', '"' + "7" * 100_000 + '"', ",".join(["0"] * 9_000), "1"])
def test_what_stands_beside_a_number_changes_nothing_of_it(beside: str) -> None:
    """A long text and many values are each looked through in another way."""
    rng = random.Random(5)
    for _ in range(60):
        text = f"[{beside},{grown(rng, 4)}]".encode()
        exact = json.loads(text, parse_int=lambda digits: whole_number(int(digits)))
        assert typed(wire.loads(text)) == typed(exact), text[-300:]
        assert typed(wire.loads(bytearray(text))) == typed(wire.loads(memoryview(text))) == typed(exact)
        assert typed(wire.loads(text.decode())) == typed(exact)


def whole_number(number: int) -> int:
    return number if -(2**63) <= number < 2**64 else wire.BigInt(number)


@pytest.mark.parametrize("bad", [b"9" * 400, b"NaN", b"1e999", b'"\xff"', b'"\\ud800"', b"[" * 1_100 + b"]" * 1_100])
def test_what_is_not_json_is_not_beside_a_long_text_either(bad: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any of them will do
        wire.loads(b'["' + b"x" * 100_000 + b'",' + bad + b"]")


def test_of_a_duplicated_key_the_last_one_stays_in_both_parsers() -> None:
    assert wire.loads(b'{"a":1,"a":2}') == {"a": 2}
    assert wire.loads(b'{"a":1234567890123456789012,"a":2}') == {"a": 2}


def nest(depth: int, inside: str = "") -> bytes:
    return ("[" * depth + inside + "]" * depth).encode()


@pytest.mark.parametrize("inside", ["", "1", '"[{"', "1,2"])
def test_depth_is_counted_in_containers(inside: str) -> None:
    assert not wire.too_deep(nest(64, inside), wire.loads(nest(64, inside)), 64)
    assert wire.too_deep(nest(65, inside), wire.loads(nest(65, inside)), 64)


def test_objects_count_as_arrays_do() -> None:
    text = b'{"a":' * 65 + b"1" + b"}" * 65
    assert wire.too_deep(text, wire.loads(text), 64)
    assert not wire.too_deep(text, wire.loads(text), 65)


def test_wide_is_not_deep() -> None:
    text = b"[" + b",".join([b"[[]]"] * 1_000) + b"]"
    assert not wire.too_deep(text, wire.loads(text), 64)


def test_brackets_within_texts_are_not_depth() -> None:
    text = json.dumps(["[{" * 200]).encode()
    assert not wire.too_deep(text, wire.loads(text), 64)


def test_fragments_are_copied_as_they_are() -> None:
    assert wire.dumps({"a": wire.Fragment(b"[1, 2]")}) == b'{"a":[1, 2]}'


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(TypeError):
        wire.dumps({"a": object()})


def test_the_canonical_form_is_the_same_for_the_same_values_of_the_same_types_only() -> None:
    same = [b'{"a": 1, "b": {"c": [1.0], "d": null}}', b'{"b":{"d":null,"c":[1.00]},"a":1}']
    assert wire.canonical(wire.loads(same[0])) == wire.canonical(wire.loads(same[1]))
    texts = [
        b"1",
        b"1.0",
        b"true",
        b'"1"',
        b"null",
        b"[1]",
        b"-0.0",
        b"0.0",
        b"18446744073709551616",
        b"1.8446744073709552e19",
    ]
    forms = [wire.canonical({"a": wire.loads(text)}) for text in texts]
    assert len(set(forms)) == len(texts)
