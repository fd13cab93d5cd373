"""`--as`: which identity claims make, and what is said of claims that nobody could carry."""

import argparse
from pathlib import Path

import pytest

from gateway.auth_claims import as_token
from gateway.cli_identity import identity
from gateway.cli_output import Mistake
from gateway.config import Config
from policies.model import Identity


def who(claims: str | None) -> Identity:
    local = Identity("local", "me", claims={"sub": "me"})
    return identity(argparse.Namespace(as_claims=claims), Config(Path("x"), Path(), {}, local=local))


def test_without_claims_it_is_the_local_identity_of_the_config() -> None:
    assert who(None) == Identity("local", "me")
    assert who(None).claims == {"sub": "me"}


def test_claims_stand_for_a_token_that_carries_them() -> None:
    found = who('{"sub": "ann", "iss": "https://idp.example.com", "role": "viewer", "scope": "a b", "n": 1.0}')
    assert found == Identity("jwt", "ann", "https://idp.example.com")
    assert found.scopes == ("a", "b")
    assert type(found.claims["n"]) is float


def test_claims_without_a_subject_can_be_tried() -> None:
    assert (as_token({}).kind, as_token({}).sub) == ("jwt", "")


@pytest.mark.parametrize("claims", ["{", "[]", "null", '{"sub": 1}', '{"sub": ""}', '{"iss": 1}', '{"a": NaN}', ""])
def test_claims_that_no_token_could_carry_are_refused(claims: str) -> None:
    with pytest.raises(Mistake, match=r"^--as: "):
        who(claims)
