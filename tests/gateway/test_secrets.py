"""What is masked in a text, in which forms, how long, and at what cost."""

import base64
import json
import time
from urllib.parse import quote

import pytest

from gateway.api_keys import PREFIX
from gateway.telemetry.secrets import CUT, MASK, MAX_DEPTH, MAX_FORMER, MAX_JSON, MAX_TEXT, Redactor
from tests.fixtures.tokens import token

SECRET = "pa\"ss\\wörd/+& <1>'s"
KEY = PREFIX + "EoSsJaAs0nm2Wes-E8hNRPgLBcMRLZN5zFDUZDNlIpE"


@pytest.fixture
def redactor() -> Redactor:
    return Redactor([SECRET, "hunter-2-hunter"])


@pytest.mark.parametrize("form", [SECRET, json.dumps(SECRET)[1:-1], quote(SECRET)])
def test_a_declared_value_is_masked_however_it_is_written(redactor: Redactor, form: str) -> None:
    assert redactor.redact(f"it said {form}, and hunter-2-hunter") == f"it said {MASK}, and {MASK}"


def test_of_two_values_the_longer_is_masked_whole() -> None:
    assert Redactor(["user:abcdefgh", "abcdefgh"]).redact("user:abcdefgh abcdefgh") == "*** ***"
    assert Redactor(["abcdefgh", "abcdefgh-and-more"]).redact("abcdefgh-and-more abcdefgh") == "*** ***"


def test_text_without_a_secret_stays_as_it_is(redactor: Redactor) -> None:
    for text in (
        "The Authorization header holds no bearer token",
        "basic information about bearer authentication, cookies and keys",
        'Bearer resource_metadata="https://gw.example.com/x"',
        "https://example.com/mcp?page=2&monkey=banana",
        "hunter-2",
        "",
    ):
        assert redactor.redact(text) == text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"refused {token()} for good", token()),
        (f"cut short: {token()[:40]}", token()[20:40]),
        (f"?q=%22{token()}", token()),
        (f"key {KEY} is not known", KEY),
        ("Authorization: Digest s3cret more-of-it", "more-of-it"),
        ("{'Authorization': 'Bearer s3cret'}", "s3cret"),
        ('{"authorization": "s3cret"}', "s3cret"),
        ('{\\"authorization\\": \\"s3cret\\"}', "s3cret"),
        ("[(b'authorization', b'Bearer s3cret')]", "s3cret"),
        ("proxy-authorization=s3cret", "s3cret"),
        ("Set-Cookie: session=s3cret", "s3cret"),
        ("x-api-key: s3cret", "s3cret"),
        ("sent Bearer s3cret-value-1 to it", "s3cret-value-1"),
        ("sent bearer%20s3cret-value-1 to it", "s3cret-value-1"),
        ("sent Basic dXNlcjpwYXNz= to it", "dXNlcjpwYXNz"),
        ("postgres://user:s3cret@db:5432/x", "s3cret"),
        ("https://example.com/mcp?page=2&api_key=s3cret&x=1", "s3cret"),
    ],
)
def test_what_looks_like_a_credential_is_masked_whatever_the_config_says(text: str, hidden: str) -> None:
    masked = Redactor().redact(text)
    assert hidden not in masked
    assert MASK in masked


def test_a_secret_of_the_config_before_is_masked_for_good() -> None:
    redactor = Redactor(["first-secret"])
    redactor.renew(["second-secret"])
    redactor.renew(["third-secret"])
    assert redactor.redact("first-secret second-secret third-secret") == "*** *** ***"


def test_of_many_configs_the_latest_values_are_kept() -> None:
    redactor = Redactor(["the-first-one"])
    for generation in range(4):
        redactor.renew([f"secret-{generation}-{number:03d}" for number in range(MAX_FORMER // 2)])
    assert redactor.redact("secret-3-000 secret-1-000") == f"{MASK} {MASK}"
    assert redactor.redact("the-first-one secret-0-000") == "the-first-one secret-0-000"


def test_json_is_masked_in_keys_and_values_and_keeps_its_types(redactor: Redactor) -> None:
    value = {"hunter-2-hunter": [1, 2.5, None, True, {"deep": SECRET}], "fine": "text"}
    assert redactor.redact_json(value) == {MASK: [1, 2.5, None, True, {"deep": MASK}], "fine": "text"}


def test_json_that_is_too_deep_or_too_large_is_left_out_and_not_passed_unseen(redactor: Redactor) -> None:
    deep: object = SECRET
    for _ in range(MAX_DEPTH + 10):
        deep = [deep]
    many = ["x" * 10_000] * (MAX_JSON // 10_000) + [SECRET, "y" * 10_000, SECRET]
    for value in (deep, many):
        said = json.dumps(redactor.redact_json(value), ensure_ascii=False)
        assert json.dumps(SECRET, ensure_ascii=False) not in said
        assert CUT in said or value is many


def test_a_secret_on_the_edge_of_what_is_looked_through_goes_with_the_rest(redactor: Redactor) -> None:
    for before in range(MAX_TEXT - 14, MAX_TEXT + 2):
        masked = redactor.redact("x" * before + "hunter-2-hunter")
        assert "hunt" not in masked
        assert masked.endswith(CUT)


@pytest.mark.parametrize(
    "unit",
    [
        "eyJ",
        "authorization",
        "bearer ",
        "://a:",
        "://" + "a" * 250,
        "?token",
        'cookie"""',
        "\\",
        "basic+++",
        "basic+1x",
    ],
)
def test_no_text_takes_long(redactor: Redactor, unit: str) -> None:
    """A quadratic pattern would take minutes for these."""
    text = (unit * MAX_TEXT)[:MAX_TEXT]
    begun = time.process_time()
    redactor.redact(text)
    assert time.process_time() - begun < 1.0


def test_basic_credentials_are_only_known_in_the_forms_that_are_told() -> None:
    """Said openly: what somebody encodes otherwise gets through."""
    encoded = base64.b64encode(b"hunter-2-hunter").decode()
    assert Redactor(["hunter-2-hunter"]).redact(encoded) == encoded
