"""`onegate policy explain`: what one identity may call, and which rule says so; calls nothing."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.cli_call import parse_arguments, unknown_tool
from gateway.cli_config import log_as_tool, read_config
from gateway.cli_connect import Outcome, started, tell_failures, with_gateway
from gateway.cli_identity import identity
from gateway.cli_output import FAILED, OK, out, out_json, out_table
from gateway.views import open_doors
from policies.cel import Truth
from policies.model import Caller, Decision, Identity
from policies.rules import Explanation
from policies.rules import Outcome as Standing

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.catalog import ToolRoute
    from gateway.config import Config
    from gateway.service import Service
    from policies.rules import Policies

TRUTHS: Final = {
    Truth.TRUE: "true",
    Truth.FALSE: "false",
    Truth.ERROR: "error",
    Truth.UNKNOWN: "depends",
    None: "not about tools",
}
# Where no single rule decided.
REASONS: Final = {"allow": "no rule refuses it", "no_allow": "no allow rule is true"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tool comes to for one identity. ``deciding`` is None where no single rule decided."""

    tool: str
    server: str
    outcome: str
    deciding: Explanation | None
    reason: str
    rules: tuple[Explanation, ...]


def run(args: argparse.Namespace) -> int:
    """Explain every tool of the door to everything, or the one that is named."""
    arguments = None if args.args is None else parse_arguments(args.args)
    config = read_config(args)
    who = identity(args, config)
    log_as_tool(config)

    async def explained(gateway: "Gateway", service: "Service") -> tuple[list[Outcome], list[Verdict]]:
        outcomes = await started(gateway, lambda: _has(config, service, args.tool))
        if args.tool is not None and not _has(config, service, args.tool):
            tell_failures(config, outcomes)
            raise unknown_tool(args.tool, [name for door in open_doors(config, service) for name in door.tools])
        return outcomes, _verdicts(config, service, who, args.tool, arguments)

    outcomes, verdicts = with_gateway(config, explained)
    if args.tool is None:
        tell_failures(config, outcomes)
    if args.json:
        out_json([_as_json(one, args.tool is not None) for one in verdicts])
    else:
        _print(verdicts, args.tool is not None)
    return OK if verdicts or any(not one.failed for one in outcomes) else FAILED


def explain(policies: "Policies", caller: Caller, route: "ToolRoute", arguments: Mapping[str, Any] | None) -> Verdict:
    """What the policies of a door make of one tool; without arguments it may depend on them."""

    target = route.target
    standing = policies.standing(caller, target)
    decision = standing.decision
    if arguments is not None:
        decision = policies.decide(caller, target, arguments)
    depends = standing.outcome is Standing.DEPENDS and arguments is None
    outcome = "depends" if depends else "allow" if decision.allowed else "deny"
    rules = tuple(policies.explain(caller, target, arguments))
    deciding = _deciding(rules, depends)
    return Verdict(route.shown["name"], route.server, outcome, deciding, _reason(decision, deciding), rules)


def _deciding(rules: Sequence[Explanation], depends: bool) -> Explanation | None:
    """The rule that decided, or the first that waits for the arguments."""
    return next((rule for rule in rules if (rule.truth is Truth.UNKNOWN if depends else rule.decided)), None)


def _reason(decision: Decision, deciding: Explanation | None) -> str:
    return deciding.rule if deciding is not None else REASONS.get(decision.verdict, decision.verdict)


def _has(config: "Config", service: "Service", tool: str | None) -> bool:
    return any(tool in door.tools for door in open_doors(config, service))


def _verdicts(
    config: "Config", service: "Service", who: Identity, tool: str | None, arguments: Mapping[str, Any] | None
) -> list[Verdict]:
    verdicts: dict[tuple[str, str], Verdict] = {}
    for door in open_doors(config, service):
        policies = service.relay.access.policies(door.path)
        caller = Caller(who, path=door.path)
        for name, route in door.tools.items():
            if tool in (None, name) and (name, route.server) not in verdicts:
                verdicts[name, route.server] = explain(policies, caller, route, arguments)
    return list(verdicts.values())


def _print(verdicts: list[Verdict], in_full: bool) -> None:
    header = ("tool", "server", "outcome", "section", "rule")
    if verdicts:
        out_table(header, [(one.tool, one.server, one.outcome, _section(one), one.reason) for one in verdicts])
    for one in verdicts if in_full else ():
        if one.rules:
            out("")
            out_table(("section", "is", "decides", "rule"), [_row(one, rule) for rule in one.rules])


def _row(verdict: Verdict, rule: Explanation) -> tuple[str, ...]:
    return (rule.section, TRUTHS[rule.truth], "yes" if rule is verdict.deciding else "", " ".join(rule.rule.split()))


def _section(verdict: Verdict) -> str:
    return verdict.deciding.section if verdict.deciding is not None else ""


def _as_json(verdict: Verdict, in_full: bool) -> dict[str, Any]:
    deciding = verdict.deciding
    shown: dict[str, Any] = {
        "tool": verdict.tool,
        "server": verdict.server,
        "outcome": verdict.outcome,
        "section": None if deciding is None else deciding.section,
        "rule": None if deciding is None else deciding.rule,
        "reason": verdict.reason,
    }
    if in_full:
        shown["rules"] = [
            {"section": rule.section, "rule": rule.rule, "is": TRUTHS[rule.truth], "decides": rule is deciding}
            for rule in verdict.rules
        ]
    return shown
