"""The variables that rules may read, as one table, and the values of one decision; knows no syntax."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from policies.cel_values import EvaluationError, OutOfWork

MAX_WORK: Final = 40_000  # steps of one decision, each about a microsecond at worst: 40 ms, under the promised 50


class UnknownInput(Exception):
    """A value that is not known yet: the arguments while listing."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What stands for a value that cannot be read, and the error that reading it is."""

    error: type[Exception]


UNKNOWN: Final = Missing(UnknownInput)
ABSENT: Final = Missing(EvaluationError)


@dataclass(slots=True)
class Variables:
    """The inputs of one decision. `memo` keeps what depends on the caller alone; `work` is what is left to spend."""

    jwt: Any = UNKNOWN
    identity_kind: Any = UNKNOWN
    identity_sub: Any = UNKNOWN
    identity_issuer: Any = UNKNOWN
    identity_scopes: Any = UNKNOWN
    path: Any = UNKNOWN
    host: Any = UNKNOWN
    headers: Any = UNKNOWN
    address: Any = UNKNOWN
    kind: Any = UNKNOWN
    target: Any = UNKNOWN
    method: Any = UNKNOWN
    tool_name: Any = UNKNOWN
    tool_annotations: Any = UNKNOWN
    tool_arguments: Any = UNKNOWN
    prompt_name: Any = UNKNOWN
    resource_uri: Any = UNKNOWN
    memo: dict[int, Any] = field(default_factory=dict)
    work: int = MAX_WORK
    item: Any = ABSENT  # what a macro stands at; macros do not nest

    def spend(self, steps: int) -> None:
        """Account for work whose amount the input decides."""
        self.work -= steps + 1
        if self.work < 0:
            raise OutOfWork


@dataclass(frozen=True, slots=True)
class Field:
    """One declared variable: where its value is, and what reading it makes of the rule."""

    attribute: str
    reads: str
    about: str | None = None  # the kind of target that a rule reading it is about
    of_caller: bool = True

    @property
    def getter(self) -> Callable[[Variables], Any]:
        """Reads the value, or raises what its absence means."""
        get = attrgetter(self.attribute)

        def read(variables: Variables) -> Any:
            value = get(variables)
            if value.__class__ is Missing:
                raise value.error
            return value

        return read


JWT: Final = ("jwt",)
HEADERS: Final = ("request", "headers")
FIELDS: Final[Mapping[tuple[str, ...], Field]] = {
    JWT: Field("jwt", "jwt"),
    ("identity", "kind"): Field("identity_kind", "identity"),
    ("identity", "sub"): Field("identity_sub", "identity"),
    ("identity", "issuer"): Field("identity_issuer", "identity"),
    ("identity", "scopes"): Field("identity_scopes", "identity"),
    ("mcp", "kind"): Field("kind", "mcp.kind", of_caller=False),
    ("mcp", "target"): Field("target", "mcp.target", of_caller=False),
    ("mcp", "method"): Field("method", "mcp.method", of_caller=False),
    ("mcp", "tool", "name"): Field("tool_name", "mcp.tool.name", "tool", of_caller=False),
    ("mcp", "tool", "annotations"): Field("tool_annotations", "mcp.tool.annotations", "tool", of_caller=False),
    ("mcp", "tool", "arguments"): Field("tool_arguments", "mcp.tool.arguments", "tool", of_caller=False),
    ("mcp", "prompt", "name"): Field("prompt_name", "mcp.prompt.name", "prompt", of_caller=False),
    ("mcp", "resource", "uri"): Field("resource_uri", "mcp.resource.uri", "resource", of_caller=False),
    ("request", "path"): Field("path", "request.path"),
    ("request", "host"): Field("host", "request.host"),
    HEADERS: Field("headers", "request.headers"),
    ("source", "address"): Field("address", "source.address"),
}
ROOTS: Final = frozenset(path[0] for path in FIELDS)
SPACES: Final = frozenset(path[:end] for path in FIELDS for end in range(1, len(path)))  # `mcp`, `mcp.tool`, …
