"""The order of rules, over what is known: deny before require before allow; an error denies where it guards. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from policies.cel import Rule, Truth, Variables
from policies.cel_variables import ABSENT, UNKNOWN
from policies.model import Caller, Decision, Target, Verdict

Guard = Literal["deny", "require"]
Section = Literal["deny", "require", "allow"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one policy. `allow` None: what the others do not refuse is allowed."""

    deny: tuple[Rule, ...]
    require: tuple[Rule, ...]
    allow: tuple[Rule, ...] | None
    on_deny: Literal["hide", "forbid"] = "hide"
    trusted_headers: frozenset[str] = frozenset()

    @property
    def guards(self) -> tuple[tuple[Guard, tuple[Rule, ...]], ...]:
        """The rules that can only refuse, in the order in which they count."""
        return (("deny", self.deny), ("require", self.require))

    @property
    def sections(self) -> tuple[tuple[Section, tuple[Rule, ...]], ...]:
        """All rules in the order in which they count."""
        return (*self.guards, ("allow", self.allow or ()))


class Outcome(Enum):
    """What the arguments can still change: nothing, or everything that is open."""

    ALLOWED = "allowed"
    DENIED = "denied"
    DEPENDS = "depends"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is decided of a target before its arguments are known, and the rules that wait for them."""

    outcome: Outcome
    decision: Decision
    guards: tuple[tuple[Rule, Guard], ...] = ()  # of `deny` and `require`
    allow: tuple[Rule, ...] = ()
    allowed_by: str | None = None


def judge(rules: Rules, variables: Variables, kind: str) -> Standing:
    """What stands whatever the arguments are; DEPENDS where some arguments could still change it."""
    open_guards: list[tuple[Rule, Guard]] = []
    for section, guards in rules.guards:
        for rule in _about(guards, kind):
            truth = rule.evaluate(variables)
            if truth is Truth.UNKNOWN and rule.may_be(_PASSES[section], variables):
                open_guards.append((rule, section))
            elif truth is not _PASSES[section]:
                return _denied(rules, rule.text, section if truth in (Truth.TRUE, Truth.FALSE) else "error")
    allowed_by: str | None = None
    open_allow: list[Rule] = []
    for rule in _about(rules.allow or (), kind):
        truth = rule.evaluate(variables)
        if truth is Truth.TRUE:
            allowed_by, open_allow = rule.text, []
            break
        if truth is Truth.UNKNOWN and rule.may_be(Truth.TRUE, variables):
            open_allow.append(rule)
    if rules.allow is not None and allowed_by is None and not open_allow:
        return _denied(rules, None, "no_allow")
    if not open_guards and not open_allow:
        return Standing(Outcome.ALLOWED, Decision(True, allowed_by))
    undecided = Decision(False, None, "depends")
    return Standing(Outcome.DEPENDS, undecided, tuple(open_guards), tuple(open_allow), allowed_by)


def decide_open(standing: Standing, variables: Variables) -> Decision:
    """Decide what depended on the arguments, now that they are known; refusing it does not hide the target."""
    for rule, section in standing.guards:
        truth = rule.evaluate(variables)
        if truth is not _PASSES[section]:
            opposite = truth is Truth.TRUE or truth is Truth.FALSE
            return Decision(False, rule.text, section if opposite else "error")
    if not standing.allow:
        return Decision(True, standing.allowed_by)
    for rule in standing.allow:
        if rule.evaluate(variables) is Truth.TRUE:
            return Decision(True, rule.text)
    return Decision(False, None, "no_allow")


def decides(section: Section, truth: Truth | None, decision: Decision) -> bool:
    """Whether a rule that came to this truth is one that made this decision."""
    if decision.allowed or section == "allow":
        return decision.allowed and section == "allow" and truth is Truth.TRUE
    if truth is Truth.UNKNOWN:  # beside an error, whatever the arguments will be
        return decision.verdict == "error"
    return truth is not None and truth is not _PASSES[section]


def variables_of(caller: Caller, target: Target, memo: dict[int, Any]) -> Variables:
    """What rules see of a call; the arguments of a tool are unknown until they are set."""
    identity = caller.identity
    variables = Variables(
        jwt=as_dict(identity.claims),
        identity_kind=identity.kind,
        identity_sub=identity.sub,
        identity_issuer=identity.issuer,
        identity_scopes=list(identity.scopes),
        path=caller.path,
        host=caller.host,
        headers=as_dict(caller.headers),
        address=caller.address,
        kind=target.kind,
        target=target.server,
        method=target.method,
        tool_name=ABSENT,
        tool_annotations=ABSENT,
        tool_arguments=ABSENT,
        prompt_name=ABSENT,
        resource_uri=ABSENT,
        memo=memo,
    )
    if target.kind == "tool":
        variables.tool_name = target.name
        variables.tool_annotations = as_dict(target.annotations)
        variables.tool_arguments = UNKNOWN
    elif target.kind == "prompt":
        variables.prompt_name = target.name
    else:
        variables.resource_uri = target.name
    return variables


def as_dict(value: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of mapping that rules read."""
    return value if type(value) is dict else dict(value)


_PASSES: dict[str, Truth] = {"deny": Truth.FALSE, "require": Truth.TRUE}


def _about(rules: Iterable[Rule], kind: str) -> Iterable[Rule]:
    return (rule for rule in rules if rule.applies_to(kind))


def _denied(rules: Rules, rule: str | None, verdict: Verdict) -> Standing:
    return Standing(Outcome.DENIED, Decision(False, rule, verdict, rules.on_deny == "hide"))
