"""What stands in a line of the audit log, and that nothing in it breaks or disguises the line."""

import hashlib
import hmac
import json
from datetime import date
from typing import Any

import pytest

from gateway.telemetry.audit_line import MAX_ASKED, Lines, encoded, keyed_digest
from policies.model import Decision
from tests.fixtures.audit import KEY, use
from upstreams import wire

NOON = 1_750_000_000.0
UNSEEN = "".join(c for c in map(chr, range(0x20000)) if not c.isprintable() and not "\ud800" <= c <= "\udfff")


def record(shown: Any = "digest", key: bytes = KEY, **more: Any) -> dict[str, Any]:
    found = json.loads(Lines(shown, key).line(use(**more), "success", 0.0123456, NOON))
    assert isinstance(found, dict)
    return found


def digest(arguments: Any, key: bytes = KEY) -> str:
    return str(record(key=key, arguments=arguments)["arguments_digest"])


def test_a_line_has_these_fields_in_this_order() -> None:
    line = Lines("digest", KEY).line(use(), "success", 0.0123456, NOON + 0.9999)
    assert list(json.loads(line).items()) == [
        ("time", "2025-06-15T15:06:40.999Z"),
        ("request_id", "r-1"),
        ("identity_kind", "jwt"),
        ("sub", "alice"),
        ("issuer", "https://issuer.example.com"),
        ("method", "tools/call"),
        ("target", "github_search"),
        ("upstream", "github"),
        ("door", "/mcp"),
        ("decision", "allow"),
        ("rule", "true"),
        ("outcome", "success"),
        ("latency_ms", 12.346),
        ("arguments_digest", "hmac-sha256:" + hmac.new(KEY, b'{"q":"x"}', "sha256").hexdigest()),
    ]
    assert line.endswith(b"\n")


def test_the_time_is_that_of_each_line() -> None:
    lines = Lines("none", KEY)
    times = [json.loads(lines.line(use(), "success", 0.0, now))["time"] for now in (NOON, NOON + 0.5, NOON + 1, NOON)]
    assert [time[-7:] for time in times] == ["40.000Z", "40.500Z", "41.000Z", "40.000Z"]


def test_a_denial_names_the_rule_and_what_never_came_to_a_decision_has_none() -> None:
    denied = record(decision=Decision(False, 'mcp.tool.name == "x"'))
    assert (denied["decision"], denied["rule"]) == ("deny", 'mcp.tool.name == "x"')
    undecided = record(decision=None)
    assert (undecided["decision"], undecided["rule"]) == (None, None)


def test_a_name_that_nobody_has_is_written_as_asked_and_cut() -> None:
    name = "x" * 100_000
    unknown = record(target="", upstream="", params={"name": name})
    assert (unknown["target"], unknown["upstream"], unknown["asked"]) == (None, None, "x" * MAX_ASKED)
    assert record(target="", params={"uri": "file:///x"})["asked"] == "file:///x"
    assert record(target="", params={"name": ["no", "text"]})["asked"] is None
    assert "asked" not in record(params={"name": name})


def test_whatever_nobody_sees_is_spelt_out_and_reads_back_the_same() -> None:
    arguments = {UNSEEN: [UNSEEN]}
    line = Lines("full", KEY).line(use(sub=UNSEEN, target=UNSEEN, arguments=arguments), "success", 0.0, NOON)
    assert line.count(b"\n") == 1
    text = line.decode()
    assert text[:-1].isprintable()
    assert len(text.splitlines()) == 1
    found = json.loads(text)
    assert (found["sub"], found["target"], found["arguments"]) == (UNSEEN, UNSEEN, arguments)


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\U000e0001"]
)
def test_one_such_character_is_enough(sign: str) -> None:
    line = Lines("none", KEY).line(use(target="", params={"name": f"a{sign}b"}), "error", 0.0, NOON)
    assert line.decode()[:-1].isprintable()
    assert json.loads(line)["asked"] == f"a{sign}b"


def test_what_people_read_stays_readable() -> None:
    assert "Zürich 東京" in Lines("full", KEY).line(use(arguments={"q": "Zürich 東京"}), "success", 0.0, NOON).decode()


def test_half_a_character_in_a_claim_costs_no_line() -> None:
    line = Lines("digest", KEY).line(use(sub="a\ud800\n"), "success", 0.0, NOON)
    assert line.isascii()
    assert json.loads(line)["sub"] == "a\ud800\n"


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 1000])
@pytest.mark.parametrize("key", [b"k", KEY, bytes(64)])
def test_the_digest_is_hmac_sha256(size: int, key: bytes) -> None:
    data = bytes(index % 251 for index in range(size))
    assert keyed_digest(key)(data) == "hmac-sha256:" + hmac.new(key, data, hashlib.sha256).hexdigest()


def test_equal_arguments_have_equal_digests_in_whatever_order() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_other_arguments_and_other_types_have_other_digests() -> None:
    values: list[Any] = [1, 1.0, "1", True, [1], {"1": 1}, None, wire.BigInt(2**70), 2**53]
    assert len({digest({"a": value}) for value in values} | {digest({}), digest(None)}) == len(values) + 2


def test_no_digest_is_told_without_the_key() -> None:
    plain = hashlib.sha256(b'{"q":"x"}').hexdigest()
    assert digest({"q": "x"}) != digest({"q": "x"}, bytes(32))
    assert plain not in digest({"q": "x"})


def test_there_is_no_digest_where_there_were_no_arguments() -> None:
    assert record(arguments=None)["arguments_digest"] is None


def test_only_full_shows_arguments() -> None:
    arguments = {"q": "hunter2", "n": wire.BigInt(2**70), "f": 1.5}
    assert record("full", arguments=arguments)["arguments"] == arguments
    assert "arguments_digest" not in record("full")
    for shown in ("digest", "none"):
        assert b"hunter2" not in Lines(shown, KEY).line(use(arguments=arguments), "success", 0.0, NOON)
    assert not {"arguments", "arguments_digest"} & record("none").keys()


def test_a_value_that_is_not_json_costs_no_line() -> None:
    odd = {"a": {1, 2}}  # which a config file can hold
    assert record(arguments=odd)["arguments_digest"] == "not JSON"
    assert record("full", arguments=odd)["arguments"] == {"a": "{1, 2}"}


def test_a_line_of_four_mebibytes_that_nobody_sees_is_still_one_line() -> None:
    line = encoded({"arguments": "\u202e" * 1_400_000})
    assert line.count(b"\n") == 1
    assert line.isascii()


def test_a_value_that_only_yaml_has_costs_no_line() -> None:
    record = {"arguments": {date(2026, 11, 21): 1, "day": date(2026, 11, 21), "text": "x"}}
    assert json.loads(encoded(record)) == {"arguments": {"day": "2026-11-21", "text": "x"}}
