"""YAML as people read it: the plain words of YAML 1.2 and no key twice; the only file that imports yaml at once."""

import re
from typing import Any

import yaml

# YAML 1.1, which PyYAML speaks, reads `off` as false, 2025-01-31 as a date, 0755 as 493 and 1:30 as 90. In this
# config they are words: `pin: off`, a protocol version, a mode, a time (YAML 1.2.2 §10.3, core schema).
WORDS = {
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    "tag:yaml.org,2002:int": (re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})$"), "-+0123456789"),
    "tag:yaml.org,2002:float": (
        re.compile(r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+][0-9]+)$"),
        "-+0123456789",
    ),
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "tag:yaml.org,2002:merge": (re.compile(r"^(?:<<)$"), "<"),
}


class StrictLoader(yaml.SafeLoader):
    """SafeLoader with the words above, text for every key, and no duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # Before the parent's work, which puts merged keys (`<<`) among the mapping's own; those may repeat.
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "a key must be text; quote it", key.start_mark)
            if key.value in seen:
                text = f"key {key.value} appears twice; remove one"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, (_pattern, _first) in WORDS.items():
    StrictLoader.add_implicit_resolver(_tag, _pattern, list(_first))
