"""What a decision costs, in microseconds: `python tests/bench/policy.py`. Figures, no verdicts."""

import asyncio
import statistics
import time
from collections.abc import Callable

from shown import show

from gateway.access import Access
from gateway.catalog import KINDS, Door, ToolRoute
from policies.config import PolicyConfig
from policies.model import Caller, Identity, Target
from policies.rules import Policy

TEN_RULES = [
    'jwt.role == "admin"',
    'jwt.role == "developer" && mcp.tool.name in ["kubectl-get", "kubectl-describe", "list-pods", "list-services"]',
    'jwt.role == "viewer" && mcp.tool.name.startsWith("list-")',
    'has(jwt.groups) && jwt.groups.exists(g, g == "ops") && mcp.target == "prod"',
    'mcp.target in ["dev", "test"] && !has(jwt.suspended)',
    'mcp.tool.name.matches("^get-[0-9]+$") && "tools.read" in identity.scopes',
    "has(mcp.tool.annotations.readOnlyHint) && mcp.tool.annotations.readOnlyHint && jwt.level > 100",
    'mcp.target == "staging" ? jwt.level >= 2 : mcp.tool.name.endsWith("-public")',
    'mcp.tool.name.contains("999") && request.path == "/mcp"',
    'identity.kind == "api_key" && mcp.tool.name == "ping"',
]
CLAIMS = {"sub": "ada", "role": "nobody", "groups": ["dev", "qa"], "level": 1, "exp": 1_800_000_000}


def policy_of(**sections: list[str]) -> Policy:
    """A compiled policy; the rules here have no mistakes."""
    policy = Policy.compile(PolicyConfig.model_validate(sections))
    assert isinstance(policy, Policy)
    return policy


def microseconds(run: Callable[[], object], count: int) -> float:
    """The best of five rounds, per run."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            run()
        rounds.append((time.perf_counter() - start) / count)
    return min(rounds) * 1e6


def someone(number: int = 0) -> Caller:
    """A caller whose claims differ from those of other numbers."""
    identity = Identity("jwt", f"ada-{number}", "https://idp.example.com", {**CLAIMS, "role": f"role-{number}"})
    return Caller(identity, "/mcp", "gateway.example.com", {}, "10.0.0.7")


def first_list(policy: Policy, targets: list[Target], number: int) -> float:
    """Milliseconds for the first list of a new identity."""
    caller = someone(number)
    start = time.perf_counter()
    for target in targets:
        policy.standing(caller, target)
    return (time.perf_counter() - start) * 1e3


def figures() -> dict[str, float]:
    """What is measured, with its unit, and the figure."""
    caller = someone()
    call = Target("tool", "prod", "kubectl-delete")
    arguments = {"namespace": "default", "force": False, "labels": ["a", "b"]}
    plain = policy_of(deny=["mcp.tool.arguments.force == true"])
    guarded = policy_of(
        deny=['mcp.target == "prod" && has(mcp.tool.arguments.force) && mcp.tool.arguments.force == true']
    )
    looping = policy_of(deny=['mcp.tool.arguments.labels.exists(l, l.startsWith("x"))'])
    ten = policy_of(allow=TEN_RULES)
    targets = [Target("tool", "prod", f"tool-{number}", {"readOnlyHint": True}) for number in range(1000)]
    huge = {"text": "x" * 4_000_000, "force": 1}
    many = {"items": list(range(2_000_000))}
    return {
        "remembered decision, 10 rules, us": microseconds(lambda: ten.decide(caller, call, arguments), 20_000),
        "one rule on arguments, us": microseconds(lambda: plain.decide(caller, call, arguments), 5_000),
        "one guarded by has, us": microseconds(lambda: guarded.decide(caller, call, arguments), 5_000),
        "one macro over arguments, us": microseconds(lambda: looping.decide(caller, call, arguments), 5_000),
        "first list, 1,000 tools x 10 rules, ms": min(first_list(ten, targets, number) for number in range(1, 6)),
        "next list of the same claims, ms": min(first_list(ten, targets, 5) for _ in range(5)),
        "first view of a door of 1,000, longest hold of the loop, ms": asyncio.run(longest_hold(ten)),
        "4 MB string in the arguments, ms": microseconds(lambda: guarded.decide(caller, call, huge), 20) / 1e3,
        "2,000,000 numbers in them, ms": microseconds(lambda: guarded.decide(caller, call, many), 20) / 1e3,
    }


async def longest_hold(policy: Policy) -> float:
    """How long nothing else ran at most while a view of a door of 1,000 tools was made; the median of five callers."""
    tools = {f"t{number}": _route(number) for number in range(1_000)}
    generations = dict.fromkeys(KINDS, 1)
    door = Door("/mcp", ("prod",), tools, {}, {}, {}, {}, dict.fromkeys(KINDS, 0), generations)
    access = Access(policy)
    holds = []
    for number in range(1, 6):
        gaps = [0.0]
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(_beat(gaps))
            await asyncio.sleep(0)
            await access.view(door, someone(number))
            await asyncio.sleep(0)  # so that it sees the last hold, too
            beating.cancel()
        holds.append(max(gaps))
    return statistics.median(holds) * 1e3


async def _beat(gaps: list[float]) -> None:
    while True:
        last = time.perf_counter()
        await asyncio.sleep(0)
        gaps.append(time.perf_counter() - last)


def _route(number: int) -> ToolRoute:
    shown = {"name": f"t{number}", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
    return ToolRoute("prod", f"tool-{number}", shown, {"type": "object"}, (60.0, 600.0), f"t{number}")


if __name__ == "__main__":
    show(figures())
