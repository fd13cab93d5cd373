"""`onegate key new`: the key and its entry, and that one opens what the other guards."""

import hashlib

import pytest
import yaml

from gateway import cli
from gateway.api_keys import ApiKeys
from gateway.auth_config import ApiKeyConfig


def test_the_key_and_the_entry_that_lets_it_in_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["key", "new", 'the "ci": bot']) == 0
    captured = capsys.readouterr()
    key, entry = captured.out.splitlines()
    [config] = yaml.safe_load(entry)
    found = ApiKeys([ApiKeyConfig(**config)]).find(hashlib.sha256(key.encode()).digest())
    assert found is not None
    assert found.identity.sub == 'the "ci": bot'
    assert key not in entry + captured.err


def test_each_key_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["key", "new", "a"]) == cli.main(["key", "new", "a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(set(lines)) == len(lines) == 4


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J"])
def test_a_name_that_the_config_would_refuse_makes_no_key(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["key", "new", name]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("NAME must not be empty")
