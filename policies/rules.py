"""One policy, or several that must all allow: the only entry for decisions, in lists and calls alike. Does no I/O."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.bounds import fault_of
from policies.cel import Rule, RuleError, Truth, Variables, compile_rule
from policies.config import PolicyConfig
from policies.judging import Outcome, Rules, Section, Standing, as_dict, decide_open, decides, judge, variables_of
from policies.memory import Memory
from policies.model import Caller, Decision, Target

__all__ = ["ALLOW_ALL", "Explanation", "Outcome", "Policies", "Policy", "Problem", "Standing"]

SECTIONS: Final[tuple[Section, ...]] = ("deny", "require", "allow")
MAX_REMEMBERED_NAME: Final = 1024  # characters; clients choose URIs, and memory is counted in entries

_DOUBTS: dict[Section, dict[str, str]] = {
    "deny": {"is always true": "denies everything", "can never be true": "denies nothing, or everything by an error"},
    "require": {"is always true": "requires nothing", "can never be true": "denies everything"},
    "allow": {"can never be true": "allows nothing"},
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong or odd about one rule, and where it stands."""

    section: Section
    index: int
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one rule came to (None: it is about another kind of target), and whether it decided."""

    rule: str
    section: Section
    truth: Truth | None
    decided: bool


class Policy:
    """Compiled rules and what they decided lately. Made anew at every reload, so nothing outlives its rules."""

    def __init__(self, rules: Rules, warnings: Iterable[Problem] = ()) -> None:
        self.warnings: Final = tuple(warnings)
        self.trusted_headers: Final = rules.trusted_headers
        self.hides: Final = rules.on_deny == "hide"
        self._rules = rules
        every = [rule for _, section in rules.sections for rule in section]
        self._reads = _reads_of_caller(every)
        self._claims = _claims_of(every)
        self._fixed = None if every else judge(rules, Variables(), "tool")
        self._memory: Memory[Standing] = Memory()

    @classmethod
    def compile(cls, config: PolicyConfig) -> "Policy | list[Problem]":
        """Check and compile all rules; all problems are found at once."""
        rules: dict[Section, tuple[Rule, ...]] = {}
        problems: list[Problem] = []
        warnings: list[Problem] = []
        for section in SECTIONS:
            compiled = []
            for index, text in enumerate(getattr(config, section) or ()):
                made = _compile(text, config.trusted_headers)
                if isinstance(made, str):
                    problems.append(Problem(section, index, text, made))
                    continue
                compiled.append(made)
                effects = _DOUBTS[section]
                warnings += [
                    Problem(section, index, text, f"{doubt}: it {effects[doubt]}")
                    for doubt in made.warnings
                    if doubt in effects
                ]
            rules[section] = tuple(compiled)
        allow = None if config.allow is None else rules["allow"]
        trusted = frozenset(config.trusted_headers)
        return problems or cls(Rules(rules["deny"], rules["require"], allow, config.on_deny, trusted), warnings)

    @property
    def said(self) -> Hashable:
        """What the rules say, in order: equal for policies that decide alike."""
        rules = self._rules
        allow = None if rules.allow is None else tuple(rule.text for rule in rules.allow)
        guards = tuple(tuple(rule.text for rule in section) for section in (rules.deny, rules.require))
        return guards, allow, rules.on_deny, rules.trusted_headers

    def view_key(self, caller: Caller) -> Hashable:
        """Callers with the same key see the same: it holds every input of theirs that the rules read, with its type."""
        return caller.key(self._reads, self._claims)

    def standing(self, caller: Caller, target: Target) -> Standing:
        """What is decided whatever the arguments are; what some arguments could reach DEPENDS."""
        if self._fixed is not None:
            return self._fixed
        known = self._memory.of(caller.key(self._reads, self._claims))
        standing = known.entries.get(target.key)
        if standing is None:
            standing = judge(self._rules, self._variables(caller, target, known.memo), target.kind)
            if len(target.name) <= MAX_REMEMBERED_NAME:
                self._memory.keep(known, target.key, standing)
        return standing

    def decide(self, caller: Caller, target: Target, arguments: Mapping[str, Any] | None) -> Decision:
        """Whether a call may go ahead; works out only what its standing leaves open."""
        standing = self.standing(caller, target)
        if standing.outcome is not Outcome.DEPENDS:
            return standing.decision
        if fault_of(arguments) is not None:
            return Decision(False, None, "error")
        known = self._memory.of(caller.key(self._reads, self._claims))
        variables = self._variables(caller, target, known.memo)
        variables.tool_arguments = as_dict(arguments or {})
        return decide_open(standing, variables)

    def explain(self, caller: Caller, target: Target, arguments: Mapping[str, Any] | None = None) -> list[Explanation]:
        """What every rule comes to, in the order in which they count; without arguments some stay unknown."""
        if arguments is None:
            decision = self.standing(caller, target).decision
        else:
            decision = self.decide(caller, target, arguments)
        explanations = []
        for section, rules in self._rules.sections:
            for rule in rules:
                truth = self._truth(rule, caller, target, arguments) if rule.applies_to(target.kind) else None
                decided = rule.text == decision.rule and decides(section, truth, decision)
                explanations.append(Explanation(rule.text, section, truth, decided))
        return explanations

    def _truth(self, rule: Rule, caller: Caller, target: Target, arguments: Mapping[str, Any] | None) -> Truth:
        variables = self._variables(caller, target, {})
        if arguments is not None and target.kind == "tool":
            if fault_of(arguments) is not None and "mcp.tool.arguments" in rule.reads:
                return Truth.ERROR
            variables.tool_arguments = as_dict(arguments)
        return rule.evaluate(variables)

    def _variables(self, caller: Caller, target: Target, memo: dict[int, Any]) -> Variables:
        variables = variables_of(caller, target, memo)
        if "request.headers" in self._reads:  # as a whole; single ones were checked when the rules were compiled
            variables.headers = {name: text for name, text in caller.headers.items() if name in self.trusted_headers}
        return variables


class Policies:
    """The gateway's policy and a route's: all must allow."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(policies)
        self.trusted_headers: Final = frozenset[str]().union(*(policy.trusted_headers for policy in policies))
        self.hides: Final = all(policy.hides for policy in policies)

    def view_key(self, caller: Caller) -> Hashable:
        """See `Policy.view_key`."""
        if len(self._policies) == 1:
            return self._policies[0].view_key(caller)
        return tuple(policy.view_key(caller) for policy in self._policies)

    def standing(self, caller: Caller, target: Target) -> Standing:
        """The strictest of all: DENIED before DEPENDS before ALLOWED, and hidden when any of them hides."""
        if len(self._policies) == 1:
            return self._policies[0].standing(caller, target)
        standings = [policy.standing(caller, target) for policy in self._policies]
        return max(standings, key=_strictness, default=_ALLOWED)

    def decide(self, caller: Caller, target: Target, arguments: Mapping[str, Any] | None) -> Decision:
        """Whether a call may go ahead; what is denied for every arguments counts before what these arguments deny."""
        standing = self.standing(caller, target)
        if standing.outcome is not Outcome.DEPENDS:
            return standing.decision
        decision = standing.decision
        for policy in self._policies:
            decision = policy.decide(caller, target, arguments)
            if not decision.allowed:
                break
        return decision

    def explain(self, caller: Caller, target: Target, arguments: Mapping[str, Any] | None = None) -> list[Explanation]:
        """The explanations of all, in their order."""
        return [part for policy in self._policies for part in policy.explain(caller, target, arguments)]


_ALLOWED: Final = Standing(Outcome.ALLOWED, Decision(True))
_STRICTNESS: Final = {Outcome.ALLOWED: 0, Outcome.DEPENDS: 1, Outcome.DENIED: 2}


def _strictness(standing: Standing) -> tuple[int, bool]:
    return _STRICTNESS[standing.outcome], standing.decision.hidden


def _compile(text: str, trusted_headers: Sequence[str]) -> Rule | str:
    try:
        rule = compile_rule(text)
    except RuleError as error:
        return str(error)
    for read in sorted(rule.reads):
        name = read.removeprefix("request.headers.")
        if name != read and name not in trusted_headers:
            return f"reads the header {name}, which rules do not see; add it to trusted_headers"
    return rule


def _reads_of_caller(rules: Iterable[Rule]) -> tuple[str, ...]:
    reads = {read for rule in rules for read in rule.reads if not read.startswith("mcp.")}
    if "request.headers" in reads:
        reads = {read for read in reads if not read.startswith("request.headers.")}
    return tuple(sorted(reads))


def _claims_of(rules: Iterable[Rule]) -> frozenset[str] | None:
    names: set[str] = set()
    for rule in rules:
        if rule.claims is None:
            return None
        names |= rule.claims
    return frozenset(names)


ALLOW_ALL: Final = Policy(Rules((), (), None))
