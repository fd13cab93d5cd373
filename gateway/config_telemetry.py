"""The checked shape of `telemetry:` and `admin:`; it knows no files and starts nothing."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from upstreams.config import Section, as_text, check_url

LogLevel = Literal["debug", "info", "warning", "error"]

_PREFIX = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")  # of several _ together the exporter would make one
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):([0-9]{1,5})")
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  nothing is bound to them by this
LEAST_TOKEN = 16  # characters: shorter ones are guessed


class MetricsConfig(Section):
    """Names of metrics, and the claim that says a caller's role in them."""

    prefix: str = "onegate"
    role_claim: Annotated[str, Field(min_length=1)] = "role"

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if not _PREFIX.fullmatch(value):
            raise ValueError(
                "must start with a letter and hold letters, digits and single _ between them, such as onegate"
            )
        return value


class OtlpConfig(Section):
    """Where spans and metrics are sent (OTLP over HTTP), and which share of requests gets spans."""

    endpoint: str | None = None
    sample: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    arguments: bool = False

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
        return value


class LogConfig(Section):
    """What is logged and how it looks; `auto` is text on a terminal and JSON in a pipe."""

    level: LogLevel = "info"
    format: Literal["auto", "json", "text"] = "auto"
    levels: dict[str, LogLevel] = Field(default={})


class AuditConfig(Section):
    """The audit file, and what of a call's arguments is written in it."""

    file: Annotated[str, Field(min_length=1)] | None = None
    arguments: Literal["digest", "full", "none"] = "digest"


class TelemetryConfig(Section):
    """Everything that the gateway tells about itself."""

    metrics: MetricsConfig = MetricsConfig()
    otlp: OtlpConfig = OtlpConfig()
    log: LogConfig = LogConfig()
    audit: AuditConfig = AuditConfig()


class AdminConfig(Section):
    """The listener for metrics and status; null for none."""

    listen: str | None = "127.0.0.1:9464"
    token: Annotated[str, BeforeValidator(as_text)] | None = None

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: Any) -> Any:
        if value is not None:
            address(value)
        return value

    @field_validator("token")
    @classmethod
    def _check_token(cls, value: str | None) -> str | None:
        if value is not None and len(value) < LEAST_TOKEN:
            raise ValueError(f"must have at least {LEAST_TOKEN} characters; make one with `openssl rand -base64 24`")
        if value is not None and not (value.isprintable() and value == value.strip()):
            raise ValueError("must hold no line break, no control character and no space around it: no header can")
        return value


def reachable(host: str, port: int) -> str:
    """An address as a URL has it; one that stands for all of the machine's is asked on loopback."""
    host = EVERY_ADDRESS.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9464` or `[::1]:9464`. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be a host and a port, such as 127.0.0.1:9464 or [::1]:9464")
    return match[1].strip("[]"), int(match[2])
