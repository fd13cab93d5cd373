"""The `policy` keys and `scopes` of a config: compiles rules, and says which cannot hold; knows no files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationError

from gateway.auth_config import AuthConfig
from gateway.config_problems import Key
from policies.config import PolicyConfig
from policies.rules import ALLOW_ALL, Policy, Problem

SHOWN_RULE: Final = 60  # characters of a rule in a message; its key says which one it is
SECTIONS: Final = ("allow", "deny", "require")

Said = list[tuple[Key, str]]


@dataclass(slots=True)
class Compiled:
    """Every policy of a config, ready to decide, and what is wrong or odd about its rules."""

    policy: Policy = ALLOW_ALL
    routes: dict[str, Policy] = field(default_factory=dict)
    problems: Said = field(default_factory=list)
    warnings: Said = field(default_factory=list)


def compile_policies(data: Mapping[str, Any]) -> Compiled:
    """Compile the rules of a config whose references are expanded; a policy of another shape is passed over."""
    compiled = Compiled()
    if (policy := _compile(data.get("policy"), ("policy",), compiled)) is not None:
        compiled.policy = policy
    for path, route in _routes(data):
        if (policy := _compile(route.get("policy"), ("routes", path, "policy"), compiled)) is not None:
            compiled.routes[path] = policy
    return compiled


def wrong_scopes(data: Mapping[str, Any]) -> Said:
    """Scopes that nobody could be asked for, because nobody is asked who they are."""
    auth = data.get("auth", {"mode": "none"})
    if not isinstance(auth, dict) or auth.get("mode") != "none":
        return []
    found: Said = []
    if auth.get("scopes"):
        found.append((("auth", "scopes"), "mode: none asks for no token that could carry them; remove one of the two"))
    for path, route in _routes(data):
        if route.get("scopes"):
            text = "no token is asked for that could carry them; add auth with a mode other than none, or remove them"
            found.append((("routes", path, "scopes"), text))
    return found


def _compile(raw: Any, key: Key, compiled: Compiled) -> Policy | None:
    try:
        config = PolicyConfig.model_validate(raw) if isinstance(raw, dict) else None
    except ValidationError:
        return None  # said where the whole config is checked
    if config is None:
        return None
    if config.allow is None and not config.deny and not config.require:
        compiled.problems.append((key, f"has no rules; add {', '.join(SECTIONS[:-1])} or {SECTIONS[-1]}{_or_all(key)}"))
        return None
    policy = Policy.compile(config)
    if isinstance(policy, list):
        compiled.problems += _said(policy, key)
        return None
    compiled.warnings += _said(policy.warnings, key)
    return policy


def _said(problems: Iterable[Problem], key: Key) -> Iterator[tuple[Key, str]]:
    for one in problems:
        yield (*key, one.section, one.index), f"{one.message}, in: {_short(one.rule)}"


def _short(rule: str) -> str:
    line = " ".join(rule.split())
    return line if len(line) <= SHOWN_RULE else f"{line[: SHOWN_RULE - 1]}…"


def _routes(data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    routes = data.get("routes")
    for path, route in routes.items() if isinstance(routes, dict) else ():
        if isinstance(route, dict):
            yield path, route


def _or_all(key: Key) -> str:
    return ", or write policy: allow_all" if len(key) == 1 else ", or remove it"


def _take_auth(value: Any) -> Any:
    if value is None:
        raise ValueError("is empty; add jwt or api_keys, or write mode: none in it")
    return value


def _take_policy(value: Any) -> Any:
    if value == "allow_all":
        return None
    if not isinstance(value, dict | PolicyConfig):
        raise ValueError("must be allow_all, or a mapping with allow, deny or require")
    return value


def _take_route_policy(value: Any) -> Any:
    if not isinstance(value, dict | PolicyConfig):
        raise ValueError("must be a mapping with allow, deny or require")
    return value


# Written, but empty, none of them means what it means when it is left out: an emptied section must not open the gate.
AuthKey = Annotated[AuthConfig | None, BeforeValidator(_take_auth)]
PolicyKey = Annotated[PolicyConfig | None, BeforeValidator(_take_policy)]
RoutePolicyKey = Annotated[PolicyConfig | None, BeforeValidator(_take_route_policy)]
