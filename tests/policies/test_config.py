"""The policy and rate limit sections refuse what they do not know."""

from typing import Any

import pytest
from pydantic import ValidationError

from policies.config import PolicyConfig, Rate, RateLimitConfig


def test_no_allow_and_an_empty_allow_are_different() -> None:
    assert PolicyConfig().allow is None
    assert PolicyConfig.model_validate({"allow": []}).allow == []


def test_the_example_of_the_contract_is_read() -> None:
    config = PolicyConfig.model_validate(
        {
            "allow": ['jwt.role == "admin"'],
            "deny": ["has(jwt.x)"],
            "require": ["has(jwt.sub)"],
            "on_deny": "hide",
            "trusted_headers": [],
        }
    )
    assert config.require == ["has(jwt.sub)"]
    limit = RateLimitConfig.model_validate({"per": "identity", "rate": "600/m", "burst": 50, "tools": ["*"]})
    assert (limit.rate, limit.burst) == (Rate(600, 60.0), 50)


def test_a_bare_true_of_yaml_is_the_rule_true() -> None:
    assert PolicyConfig.model_validate({"allow": [True]}).allow == ["true"]


@pytest.mark.parametrize(
    "section",
    [
        *({"alow": []}, {"allow": "true"}, {"allow": [1]}, {"allow": [""]}, {"deny": None}, {"on_deny": "show"}),
        *({"trusted_headers": ["a b"]}, {"trusted_headers": ["Authorization"]}, {"trusted_headers": ["X-API-Key"]}),
        *({"trusted_headers": ["X-Forwarded-For"]}, {"trusted_headers": ["forwarded"]}),
    ],
)
def test_a_policy_that_is_none_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicyConfig.model_validate(section)


@pytest.mark.parametrize(
    ("text", "rate"), [("10/s", Rate(10, 1.0)), ("600/m", Rate(600, 60.0)), ("5 / h", Rate(5, 3600.0))]
)
def test_a_rate_is_calls_in_a_time(text: str, rate: Rate) -> None:
    assert RateLimitConfig.model_validate({"rate": text}).rate == rate


@pytest.mark.parametrize(
    "section",
    [
        *(
            {"rate": text}
            for text in ("", "0/s", "-1/s", "1.5/s", "10", 10, "10/d", "10/min", "1e3/s", "10/s/s", "٣/s")
        ),
        *(
            {},
            {"rate": "1/s", "burst": 0},
            {"rate": "1/s", "per": "user"},
            {"rate": "1/s", "tools": []},
            {"rate": "1/s", "x": 1},
        ),
    ],
)
def test_a_limit_that_is_none_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RateLimitConfig.model_validate(section)


def test_header_names_are_kept_in_lower_case() -> None:
    assert PolicyConfig.model_validate({"trusted_headers": ["X-Team"]}).trusted_headers == ["x-team"]
