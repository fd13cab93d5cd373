"""`onegate status`: how a running gateway and its servers fare, as its admin listener says."""

import argparse
import http.client
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from gateway.cli_output import FAILED, OK, Mistake, note, out, out_json, out_stderr, out_table
from gateway.config import Config, load
from gateway.config_files import locate
from gateway.config_problems import ConfigError
from gateway.config_telemetry import AdminConfig, address, reachable
from gateway.logs import escaped
from gateway.status_words import clock, condition, duration, milliseconds, protocols, reloaded

TOKEN: Final = "ONEGATE_ADMIN_TOKEN"  # noqa: S105  the name of a variable
DEFAULT: Final = AdminConfig()
SECONDS: Final = 10.0  # the answer is ready at once; whoever takes longer is stuck
MAX_BYTES: Final = 32 * 2**20
DOCUMENT: Final = "/status.json"
HEADER: Final = (
    "server", "state", "for", "protocol", "tools", "prompts", "resources", "restarts", "calls", "errors", "p50 ms",
    "p99 ms", "error",
)  # fmt: skip
EVENT_HEADER: Final = ("time", "request", "what", "server", "identity", "reason")

Document = Mapping[str, Any]


def run(args: argparse.Namespace) -> int:
    """Ask once; the exit code says whether all is well."""
    config = _config(args.config)
    admin = DEFAULT if config is None else config.admin
    url = _own_url(admin) if args.url is None else _document_url(args.url)
    document = fetch(url, os.environ.get(TOKEN, "").strip() or _own_token(args, admin, url))
    if args.json:
        out_json(document)
    else:
        _show(document)
    return OK if _is_well(document) else FAILED


def _config(path: Path | None) -> Config | None:
    """The config, if there is one: a gateway can be asked from where its config is not, or is being edited."""
    try:
        path = locate(path, os.environ) if path is None else path
    except ConfigError:
        return None
    try:
        return load(path)
    except ConfigError as exc:
        note(f"the config cannot be read, so its admin section is not heeded:\n{exc}")
        return None


def _own_url(admin: AdminConfig) -> SplitResult:
    if admin.listen is None:
        raise Mistake("admin.listen is null, so this gateway has no admin listener\nset it to 127.0.0.1:9464")
    host, port = address(admin.listen)
    if port == 0:
        raise Mistake("admin.listen has any free port\ngive the URL: the log of onegate serve names it")
    return urlsplit(f"http://{reachable(host, port)}{DOCUMENT}")


def _document_url(text: str) -> SplitResult:
    """Where the document is, from the listener's address or the URL of any of its pages."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as exc:
        raise Mistake(f"{text}: {exc}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Mistake(f"{text} is no URL; write it like http://127.0.0.1:9464")
    path = parts.path.rstrip("/").removesuffix(".json").removesuffix("/status")
    return parts._replace(path=path + DOCUMENT, query="", fragment="")


def _own_token(args: argparse.Namespace, admin: AdminConfig, url: SplitResult) -> str | None:
    """The config's token, for its own listener or where the user names both; nobody else is sent it unasked."""
    if args.url is None or args.config is not None or admin.listen is None:
        return admin.token
    host, port = address(admin.listen)
    return admin.token if url.netloc == reachable(host, port) else None


def fetch(url: SplitResult, token: str | None) -> Document:
    """The status document. Follows no redirect and asks no proxy. Raises `Mistake`."""
    headers = {} if token is None else {"Authorization": _credential(token)}
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=SECONDS)
    try:
        connection.request("GET", url.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES)
    except (OSError, http.client.HTTPException, UnicodeError) as exc:  # the last: a host that DNS cannot spell
        said = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise Mistake(
            f"no gateway answers at {url.scheme}://{url.netloc}: {said}\n"
            "start one with onegate serve, or give the URL of its admin listener, which its log names"
        ) from exc
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        mend = MENDS.get(answer.status, "is this an admin listener of onegate? its log names the URL")
        raise Mistake(f"{url.scheme}://{url.netloc} answered {answer.status} {answer.reason}\n{mend}")
    return _read(body, url)


def _credential(token: str) -> bytes:
    if not token.isprintable():
        raise Mistake(f"the token holds a control character, which no header can\nwrite {TOKEN} or admin.token anew")
    return f"Bearer {token}".encode()


MENDS: Final = {
    401: f"it needs its token: set {TOKEN}, or name its config with -c",
    403: "it listens on loopback: ask on the same machine, under a loopback name",
}


def _read(body: bytes, url: SplitResult) -> Document:
    try:
        document = json.loads(body)
        if {"gateway", "upstreams", "disabled", "failures", "denials"} <= document.keys():
            return dict(document)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise Mistake(f"{url.geturl()} is no status of onegate")


def _show(document: Document) -> None:
    gateway = document["gateway"]
    figures = (
        f"up {duration(gateway['uptime_seconds'])}",
        f"{gateway['in_flight']} in flight",
        f"{gateway['sessions']} sessions",
        reloaded(gateway),
    )
    out(escaped(f"{gateway['name']} {gateway['version']}: {condition(gateway)}; {', '.join(figures)}"))
    out("")
    out_table(HEADER, [_row(one) for one in document["upstreams"]], heading=HEADER)
    for one in document["disabled"]:
        out(escaped(f"{one['name']} is disabled: {one['reason']}", keep="\n"))
    _events("failures", document["failures"])
    _events("denials", document["denials"])
    for one in document["upstreams"]:
        if one["state"] != "ready":
            out_stderr(one["name"], one["stderr"])


def _row(one: Document) -> Sequence[str]:
    counts = (str(one[key]) for key in ("tools", "prompts", "resources", "restarts", "calls", "errors"))
    quantiles = (milliseconds(one[key]) for key in ("p50_ms", "p99_ms"))
    age = duration(one["for_seconds"])
    return (one["name"], one["state"], age, protocols(one), *counts, *quantiles, one["last_error"] or "")


def _events(title: str, events: Sequence[Document]) -> None:
    if not events:
        return
    out(f"\nlatest {title}:")
    rows = [
        (clock(one["time"]), one["request_id"], f"{one['method']} {one['target']}", one["upstream"], one["identity"],
         one["reason"])
        for one in events
    ]  # fmt: skip
    out_table(EVENT_HEADER, rows)


def _is_well(document: Document) -> bool:
    up = all(one["state"] == "ready" for one in document["upstreams"])
    return bool(document["gateway"]["ready"]) and up and not document["disabled"]
