"""The answer to who does not get in, word for word."""

import re

import pytest

from gateway import unauthorized
from gateway.unauthorized import FAULT, MISSING, SCOPE, UNAVAILABLE, Denial, Unauthorized, answer, bad_token

DENIALS = [value for value in vars(unauthorized).values() if isinstance(value, Denial)]

# RFC 9110 §11.6.1, with the characters that RFC 6750 §3 allows in the values.
CHALLENGE = re.compile(
    r'Bearer( [a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]*"(, [a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]*")*)?'
)


def test_there_are_denials_of_every_status() -> None:
    assert {denial.status for denial in DENIALS} == {400, 401, 403, 503}


@pytest.mark.parametrize("denial", [*DENIALS, bad_token("signature")])
@pytest.mark.parametrize("scopes", [(), ("a", "b")])
@pytest.mark.parametrize("metadata", [None, "https://gw/.well-known/oauth-protected-resource/mcp"])
def test_every_challenge_can_be_read_by_the_book(denial: Denial, scopes: tuple[str, ...], metadata: str | None) -> None:
    found = answer(denial, scopes, metadata)
    if denial.status == 503:
        assert found.challenge == ""
    else:
        assert CHALLENGE.fullmatch(found.challenge)
        assert ('scope="a b"' in found.challenge) == bool(scopes)
        assert (f'resource_metadata="{metadata}"' in found.challenge) == (metadata is not None)


def test_who_brings_nothing_is_told_of_no_error() -> None:
    assert answer(MISSING, (), None) == Unauthorized(401, "Authentication is required", "Bearer")


def test_a_missing_scope_has_its_own_word() -> None:
    assert 'error="insufficient_scope"' in answer(SCOPE, ("a",), None).challenge


def test_why_a_token_is_bad_is_not_told() -> None:
    assert answer(bad_token("signature"), (), None) == answer(bad_token("aud"), (), None)


def test_a_fault_of_ours_asks_for_no_other_credential() -> None:
    assert answer(FAULT, ("a",), "https://x").challenge == answer(UNAVAILABLE, (), None).challenge == ""
