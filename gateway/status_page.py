"""The status page as HTML: a snapshot in, a text out. Pure; whatever a server or a client said is escaped in here.

It holds no script and no style of its own (Content-Security-Policy); both come from `assets`.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.logs import escaped
from gateway.status_chart import chart
from gateway.status_words import clock, condition, duration, milliseconds, protocols, reloaded

Document = Mapping[str, Any]

REFRESH_SECONDS: Final = 10  # without JavaScript; with it the script does so more often
MAX_DESCRIPTION: Final = 2_000
COLUMNS: Final = (
    "Server", "State", "Protocol", "Tools", "Prompts", "Resources", "Restarts", "Running", "Calls", "Errors",
    "p50 ms", "p99 ms",
)  # fmt: skip
EXAMPLE: Final = '{"sub": "ann", "role": "viewer"}'


@dataclass(frozen=True, slots=True)
class Sight:
    """The tools as somebody sees them: ``claims`` as they were typed, nothing for all tools. ``wrong`` says why not."""

    claims: str = ""
    tools: Sequence[tuple[str, str, str]] = ()
    """Name, server, description."""
    total: int = 0
    wrong: str = ""


def tool_shown(server: str, shown: Mapping[str, Any]) -> tuple[str, str, str]:
    """One line of a `Sight`."""
    said = shown.get("description")
    description = said.strip() if isinstance(said, str) else ""
    if len(description) > MAX_DESCRIPTION:
        description = description[:MAX_DESCRIPTION] + "…"
    return str(shown.get("name", "")), server, description


def page(document: Document, sight: Sight) -> str:
    """The whole page."""
    gateway = document["gateway"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(gateway["name"])}: {"ready" if gateway["ready"] else "not ready"}</title>
<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS}"></noscript>
<link rel="stylesheet" href="/status.css">
<script src="/status.js" defer></script>
</head>
<body>
<p id="stale" role="alert" hidden>The gateway does not answer; this is what it said last.</p>
<header data-live="head">{_head(gateway)}</header>
<main>
<section data-live="upstreams"><h2>Servers</h2>{_upstreams(document)}</section>
<section data-live="calls"><h2>Calls per minute</h2>{chart(document["calls_per_minute"])}</section>
<section data-live="failures"><h2>Latest failures</h2>{_events(document["failures"])}</section>
<section data-live="denials"><h2>Latest denials</h2>{_events(document["denials"])}</section>
<section><h2>Tools</h2>{_form(sight)}<div data-live="tools">{_tools(document, sight)}</div></section>
</main>
</body>
</html>
"""


def _head(gateway: Document) -> str:
    figures = {
        "Up": duration(gateway["uptime_seconds"]),
        "In flight": gateway["in_flight"],
        "Streams": gateway["streams"],
        "Sessions": gateway["sessions"],
    }
    kind = "good" if gateway["ready"] else "bad"
    tiles = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in figures.items())
    reading = gateway["reload"]
    warn = "" if reading is None or reading["taken"] else ' class="bad"'
    return (
        f"<h1>{_text(gateway['name'])} <small>onegate {_text(gateway['version'])}</small></h1>"
        f'<p class="pill {kind}">{_text(condition(gateway))}</p><dl class="tiles">{tiles}</dl>'
        f'<p class="quiet">Config {_text(gateway["config"])}, <span{warn}>{_text(reloaded(gateway))}</span></p>'
    )


def _upstreams(document: Document) -> str:
    heads = "".join(f"<th{_number(name)}>{name}</th>" for name in COLUMNS)
    rows = "".join(_upstream(one) for one in document["upstreams"])
    off = "".join(
        f'<p class="bad">{_text(one["name"])} is disabled: {_text(one["reason"])}</p>' for one in document["disabled"]
    )
    if not rows:
        return off or '<p class="quiet">No servers.</p>'
    return f'<table class="cards servers"><thead><tr>{heads}</tr></thead>{rows}</table>{off}'


def _upstream(one: Document) -> str:
    """The rows of one server: its figures, then what is wrong with it and what it said last."""
    kind = _text(one["transport"]) + (", required" if one["required"] else "")
    state = one["state"]
    cells = (
        f"<b>{_text(one['name'])}</b><small>{kind}</small>",
        f'<span class="pill {KINDS.get(state, "")}">{_text(state)}</span><small>{duration(one["for_seconds"])}</small>',
        _text(protocols(one)),
        *(_text(one[key]) for key in ("tools", "prompts", "resources", "restarts")),
        _text(one["in_flight"]) + (f"<small>{_text(one['queued'])} wait</small>" if one["queued"] else ""),
        *(_text(one[key]) for key in ("calls", "errors")),
        *(_text(milliseconds(one[key])) for key in ("p50_ms", "p99_ms")),
    )
    row = "".join(
        f'<td data-label="{label}"{_number(label)}>{cell}</td>' for label, cell in zip(COLUMNS, cells, strict=True)
    )
    return f'<tbody id="server-{_text(one["name"])}"><tr>{row}</tr>{_said(one)}</tbody>'


KINDS: Final = {"ready": "good", "starting": "fair", "waiting": "bad", "resting": "bad"}


def _said(one: Document) -> str:
    """The row under a server's figures, where there is anything to say."""
    parts = [f'<p class="bad">{_text(one["last_error"])}</p>'] if one["last_error"] else []
    if one["stderr"]:
        lines = "\n".join(_text(line) for line in one["stderr"])
        key = _text(f"stderr-{one['name']}")
        parts.append(f'<details id="{key}"><summary>Last lines of stderr</summary><pre>{lines}</pre></details>')
    return f'<tr class="said"><td colspan="{len(COLUMNS)}">{"".join(parts)}</td></tr>' if parts else ""


EVENT_COLUMNS: Final = ("Time", "What", "Server", "Who", "Reason", "Request")


def _events(events: Iterable[Document]) -> str:
    rows = [
        (clock(one["time"]), f"{one['method']} {one['target']}", one["upstream"], one["identity"], one["reason"],
         one["request_id"])
        for one in events
    ]  # fmt: skip
    return _table(EVENT_COLUMNS, [tuple(map(_text, row)) for row in rows]) if rows else '<p class="quiet">None.</p>'


def _form(sight: Sight) -> str:
    wrong = f'<p class="bad">{_text(sight.wrong)}</p>' if sight.wrong else ""
    everything = '<a href="/status">All tools</a>' if sight.claims else ""
    return (
        '<form method="get" action="/status"><label for="as">As a caller with these claims sees them</label>'
        f'<input id="as" name="as" value="{_text(sight.claims)}" placeholder="{_text(EXAMPLE)}" '
        'autocomplete="off" autocapitalize="off" spellcheck="false"><button>Show</button>'
        f"{everything}</form>{wrong}"
    )


def _tools(document: Document, sight: Sight) -> str:
    if sight.wrong:
        return ""
    whose = f"as {_text(sight.claims)} sees them" if sight.claims else "all of them, whoever may see them"
    more = f", the first {len(sight.tools)} of {sight.total} shown" if sight.total > len(sight.tools) else ""
    doors = ", ".join(f"{_text(one['path'])} ({one['tools']})" for one in document["doors"])
    rows = [
        (f"<b>{_text(name)}</b>", _text(server), _described(f"tool-{server}-{name}", said))
        for name, server, said in sight.tools
    ]
    return f'<p class="quiet">{sight.total} tools, {whose}{more}. Doors and how many tools they have: {doors}</p>' + (
        _table(("Tool", "Server", "Description"), rows) if rows else ""
    )


def _described(key: str, description: str) -> str:
    first, _, rest = description.partition("\n")
    if not rest.strip():
        return _text(first)
    inner = f"<summary>{_text(first)}</summary><pre>{_text(rest.strip())}</pre>"
    return f'<details id="{_text(key)}">{inner}</details>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    heads = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in zip(columns, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<table class="cards"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _number(column: str) -> str:
    return ' class="number"' if column not in ("Server", "State", "Protocol") else ""


def _text(value: object) -> str:
    """Safe as text and in a quoted attribute; what is invisible is spelled out."""
    return html.escape(escaped(str(value), keep="\n\t"), quote=True)
