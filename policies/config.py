"""The checked shape of `policy:` and `rate_limits:`; it knows no files, and compiles no rule."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0}

_RATE = re.compile(r"([0-9]{1,9}) ?/ ?([smh])")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, RFC 9110 §5.6.2
_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization", "x-api-key", "x-bf-vk"}
_FORWARDING = {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in so many seconds."""

    calls: int
    seconds: float


def parse_rate(value: object) -> Rate:
    """A rate from `10/s`, `600/m` or `1000/h`."""
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("is not a rate; write it like 10/s, 600/m or 1000/h")
    return Rate(int(match[1]), PERIODS[match[2]])


def _rule_text(value: Any) -> Any:
    if isinstance(value, bool):  # YAML reads the bare word as a boolean; as a rule it means the same
        return "true" if value else "false"
    return value


RuleText = Annotated[str, BeforeValidator(_rule_text), Field(min_length=1)]


class PolicySection(BaseModel):
    """What both sections share: unknown keys are errors, and values stay out of error texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PolicyConfig(PolicySection):
    """Rules in CEL. `allow` left out allows what the others do not refuse; an empty `allow` allows nothing."""

    allow: list[RuleText] | None = None
    deny: list[RuleText] = []
    require: list[RuleText] = []
    on_deny: Literal["hide", "forbid"] = "hide"
    trusted_headers: list[str] = []

    @field_validator("trusted_headers")
    @classmethod
    def _check_headers(cls, value: list[str]) -> list[str]:
        for name in value:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a header name; use letters, digits and hyphens")
            if name.lower() in _SECRET_HEADERS:
                raise ValueError(f"{name} holds a credential, which rules never see; remove it")
            if name.lower() in _FORWARDING:
                raise ValueError(f"{name} counts from server.trusted_proxies only; name them, and read source.address")
        return [name.lower() for name in value]


class RateLimitConfig(PolicySection):
    """One token bucket per identity, per tool, or per identity and tool, for the tools that the globs name.

    `burst` is what a full bucket holds; left out, it is the calls of the rate: 600 for `600/m`.
    """

    per: Literal["identity", "tool", "identity_tool"] = "identity"
    rate: Annotated[Rate, BeforeValidator(parse_rate)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    tools: Annotated[list[str], Field(min_length=1)] = ["*"]
