"""Writes policies/cel_table.json: the parser tables of the CEL library, so that no start has to work them out.

To be run by `make cel-table` when requirements/ has another version of cel-python or lark; a test says when.
"""

import json
from pathlib import Path
from typing import Any

from celpy.celparser import CELParser
from lark.grammar import Rule
from lark.lexer import TerminalDef
from lark.parsers.lalr_analysis import IntParseTable

import policies
from policies.cel_table import FILE, origin

PATH = Path(policies.__file__).with_name(FILE)
NOT_DATA = ("lexer_callbacks", "tree_class", "_plugins")  # the first is put back when the tables are read


def made() -> dict[str, Any]:
    """The tables as the installed library works them out, in what JSON can hold."""
    CELParser.CEL_PARSER = None
    CELParser()
    lark: Any = CELParser.CEL_PARSER
    # The library asks for tables that can be debugged, whose states are sets of rules; numbers say the same.
    lalr = lark.parser.parser
    lalr._parse_table = IntParseTable.from_ParseTable(lalr._parse_table)
    CELParser.CEL_PARSER = None
    data, memo = lark.memo_serialize([TerminalDef, Rule])
    options = {name: value for name, value in data["options"].items() if name not in NOT_DATA}
    data["parser"]["parser"] = _ordered(data["parser"]["parser"])
    data["options"] = {**options, "debug": False, "g_regex_flags": int(options["g_regex_flags"])}
    table = {"origin": origin(), "data": data, "memo": memo}
    in_json: dict[str, Any] = json.loads(json.dumps(table))  # keys are texts there, and tuples lists
    return in_json


def _ordered(tables: dict[str, Any]) -> dict[str, Any]:
    """The same tables with the states in the order in which a walk from the start meets them: the library's changes."""
    names = tables["tokens"]
    states = {
        state: {names[token]: action for token, action in sorted(actions.items(), key=lambda entry: names[entry[0]])}
        for state, actions in tables["states"].items()
    }
    order = list(tables["start_states"].values())
    for state in order:  # grows while it is walked
        for reduces, to in states[state].values():
            if not reduces and to not in order:
                order.append(to)
    number = {state: index for index, state in enumerate(order)}
    token = {name: index for index, name in enumerate(sorted(names.values()))}
    return {
        "tokens": {index: name for name, index in token.items()},
        "states": {
            number[state]: {
                token[name]: [reduces, to if reduces else number[to]] for name, (reduces, to) in states[state].items()
            }
            for state in order
        },
        "start_states": {name: number[state] for name, state in tables["start_states"].items()},
        "end_states": {name: number[state] for name, state in tables["end_states"].items()},
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(made(), separators=(",", ":")) + "\n", encoding="utf-8")
