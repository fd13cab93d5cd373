"""`onegate call TOOL [JSON]`: one call of one tool, its result on stdout."""

import argparse
import difflib
import sys
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from gateway.cli_config import log_as_tool, read_config
from gateway.cli_connect import started, tell_failures, with_gateway
from gateway.cli_identity import identity
from gateway.cli_output import FAILED, OK, Mistake, out_json, out_text
from gateway.views import open_doors
from policies.model import Caller, Identity
from upstreams import wire

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.cli_ask import TerminalChannel
    from gateway.config import Config
    from gateway.service import Service

Result = dict[str, Any]

MAX_ROUNDS: Final = 10  # a tool that asks and asks is stuck, or wants something that forms cannot give
NEAREST: Final = 3


def run(args: argparse.Namespace) -> int:
    """Call the tool; the exit code says whether it went well."""
    arguments = parse_arguments(args.arguments)
    config = read_config(args)
    who = identity(args, config)
    log_as_tool(config)

    async def use(gateway: "Gateway", service: "Service") -> int:
        caller = await _caller(config, gateway, who, args.tool)
        result = await _call(service, caller, {"name": args.tool, "arguments": arguments})
        _show(result, args.json)
        return FAILED if result.get("isError") is True else OK

    return with_gateway(config, use)


def parse_arguments(text: str | None) -> Result:
    """The arguments of a call from the command line; `-` reads them from stdin. Raises `Mistake`."""
    if text == "-":
        text = sys.stdin.read()
    if text is None or not text.strip():
        return {}
    try:
        arguments = wire.loads(text)
    except ValueError as exc:
        raise Mistake(f'the arguments are not valid JSON: {exc}\nwrite them like \'{{"city": "Bern"}}\'') from exc
    if not isinstance(arguments, dict):
        raise Mistake('the arguments must be a JSON object, like \'{"city": "Bern"}\'')
    return arguments


async def _caller(config: "Config", gateway: "Gateway", who: Identity, tool: str) -> Caller:
    """The caller, at the door that has the tool for them; waits no longer than until it is there. Raises `Mistake`."""
    relay, service = gateway.relay, gateway.service
    outcomes = await started(gateway, lambda: any(tool in door.tools for door in open_doors(config, service)))
    known: list[str] = []
    for door in open_doors(config, service):
        caller = Caller(who, path=door.path)
        view = await relay.access.view(door, caller)
        route = door.tools.get(tool)
        if tool in view.tools or (route is not None and not relay.access.standing(door, "tools", route, caller).hidden):
            return caller
        known += view.tools
    tell_failures(config, outcomes)
    raise unknown_tool(tool, known)


def unknown_tool(tool: str, known: Iterable[str]) -> Mistake:
    """What to say of a name that is none of the known ones."""
    near = nearest(tool, dict.fromkeys(known))
    mend = f"did you mean {' or '.join(near)}?" if near else "onegate tools lists them"
    return Mistake(f"Unknown tool: {tool}\n{mend}")


def nearest(tool: str, known: Iterable[str]) -> list[str]:
    """The tools that were probably meant: a name without its server's prefix, else those that read alike."""
    known = list(known)
    without_prefix = [name for name in known if name.endswith(f"_{tool}")]
    return (without_prefix or difflib.get_close_matches(tool, known, n=NEAREST))[:NEAREST]


async def _call(service: "Service", caller: "Caller", params: Result) -> Result:
    from gateway.cli_ask import TerminalChannel
    from gateway.errors import to_error

    channel = TerminalChannel()
    meta = {"progressToken": "call"} if channel.watched else {}
    params = {**params, **({"_meta": meta} if meta else {})}
    try:
        for _ in range(MAX_ROUNDS):
            result = await _once(service, caller, params, channel)
            if result.get("resultType") != "input_required":
                return result
            params = {**params, **await _answers(result, channel)}
    except Exception as exc:
        error = to_error(exc, str(uuid.uuid4()))
        raise Mistake(error.message) from exc
    raise Mistake(f"the tool asked for something {MAX_ROUNDS} times and has no result")


async def _once(service: "Service", caller: "Caller", params: Result, channel: "TerminalChannel") -> Result:
    from gateway.request import Dialect, Request

    dialect = Dialect("command line", lambda tool: tool, None)
    return await service.relay.handle(Request("tools/call", params, caller, caller.path, dialect, channel))


async def _answers(result: Result, channel: "TerminalChannel") -> Result:
    """Put what the tool needs to the person, and make the answers part of the next try (MCP 2026-07-28, multi
    round-trip requests)."""
    requests = result.get("inputRequests")
    responses = {
        key: await channel.ask(str(one.get("method")), one.get("params") or {})
        for key, one in (requests if isinstance(requests, dict) else {}).items()
    }
    state = {"requestState": result["requestState"]} if "requestState" in result else {}
    return {"inputResponses": responses, **state}


def _show(result: Result, as_json: bool) -> None:
    """Text as text; what has more than text as JSON into a pipe and as a short line on a terminal."""
    content = result.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    only_text = all(block.get("type") == "text" for block in blocks)
    if as_json or not (only_text or sys.stdout.isatty()):
        out_json(result)
    elif blocks:
        for block in blocks:
            out_text(_line(block))
    elif "structuredContent" in result:
        out_json(result["structuredContent"])


def _line(block: Result) -> str:
    kind = block.get("type")
    inner = block.get("resource")
    if kind == "text":
        return str(block.get("text", ""))
    if isinstance(inner, dict):
        return str(inner.get("text") or f"[resource {inner.get('uri')}]")
    if kind == "resource_link":
        return f"[{block.get('uri')} {block.get('title') or block.get('name') or ''}]"
    return f"[{kind} {block.get('mimeType', '')}]"
