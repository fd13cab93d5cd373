"""What a decision costs, in microseconds: `python tests/bench/policy.py`. Figures, no verdicts."""

import time
from collections.abc import Callable

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


def main() -> None:
    """Print the table."""
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
    print(
        "cached decision, 10 rules      ",
        f"{microseconds(lambda: ten.decide(caller, call, arguments), 20_000):9.2f} us",
    )
    print(
        "one rule on arguments          ",
        f"{microseconds(lambda: plain.decide(caller, call, arguments), 5_000):9.2f} us",
    )
    print(
        "one guarded by has             ",
        f"{microseconds(lambda: guarded.decide(caller, call, arguments), 5_000):9.2f} us",
    )
    print(
        "one macro over arguments       ",
        f"{microseconds(lambda: looping.decide(caller, call, arguments), 5_000):9.2f} us",
    )
    first = min(first_list(ten, targets, number) for number in range(1, 6))
    print("first list, 1,000 tools x 10   ", f"{first:9.2f} ms")
    print("next list, same claims         ", f"{min(first_list(ten, targets, 5) for _ in range(5)):9.2f} ms")
    huge = {"text": "x" * 4_000_000, "force": 1}
    many = {"items": list(range(2_000_000))}
    print(
        "4 MB string in the arguments   ",
        f"{microseconds(lambda: guarded.decide(caller, call, huge), 20) / 1e3:9.2f} ms",
    )
    print(
        "2,000,000 numbers in them      ",
        f"{microseconds(lambda: guarded.decide(caller, call, many), 20) / 1e3:9.2f} ms",
    )


if __name__ == "__main__":
    main()
