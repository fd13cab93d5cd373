"""API keys: made long and random, kept as hashes, compared in constant time, and narrowing by globs."""

import hashlib
import hmac
from typing import Any

import pytest
import yaml

from gateway import api_keys
from gateway.api_keys import ApiKeys, ToolFilter, new_key
from gateway.auth_config import ApiKeyConfig, AuthConfig


def entry(name: str, **more: Any) -> ApiKeyConfig:
    return ApiKeyConfig(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), **more)


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def test_a_new_key_has_256_random_bits_and_is_known_by_its_first_letters() -> None:
    keys = {new_key("ci")[0] for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("og_") and len(key) == 3 + 43 for key in keys)


@pytest.mark.parametrize("name", ["ci", "the CI's key", 'say "x"', "a: b, {c}", "ключ", "#1", "yes", "1"])
def test_the_entry_of_a_new_key_lets_it_in_and_does_not_hold_it(name: str) -> None:
    key, text = new_key(name)
    assert key not in text
    config = AuthConfig(api_keys=yaml.safe_load(text))
    found = ApiKeys(config.api_keys).find(digest(key))
    assert found is not None
    assert (found.identity.sub, found.tools) == (name, None)


def test_a_key_is_found_by_its_own_hash_only() -> None:
    keys = ApiKeys([entry("a"), entry("b")])
    found = keys.find(digest("b"))
    assert found is not None
    assert found.identity.sub == "b"
    assert keys.find(digest("c")) is None
    assert keys.find(digest("b")[:-1]) is None
    assert keys.find(b"") is None
    assert ApiKeys([]).find(digest("a")) is None


def test_every_key_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    same = hmac.compare_digest

    def compare(known: bytes, sent: bytes) -> bool:
        compared.append(known)
        return same(known, sent)

    keys = ApiKeys([entry("a"), entry("b"), entry("c")])
    monkeypatch.setattr(api_keys.hmac, "compare_digest", compare)
    for sent in ("a", "b", "c", "d"):
        compared.clear()
        keys.find(digest(sent))
        assert compared == [digest("a"), digest("b"), digest("c")]


def test_a_filter_lets_through_what_is_included_and_not_excluded_and_case_counts() -> None:
    narrow = ToolFilter(("gh_*", "time_now"), ("*_delete",))
    names = ("gh_read", "time_now", "gh_delete", "GH_read", "time_now2", "")
    assert [name for name in names if narrow.lets("any", name)] == ["gh_read", "time_now"]
    assert not ToolFilter((), ()).lets("gh", "gh_read")


def test_only_a_key_that_narrows_has_a_filter() -> None:
    keys = ApiKeys([entry("all"), entry("none", tools={"include": []}), entry("some", tools={"exclude": ["x"]})])
    filters = [keys.find(digest(name)) for name in ("all", "none", "some")]
    assert [found and found.tools for found in filters] == [None, ToolFilter((), ()), ToolFilter(("*",), ("x",))]
