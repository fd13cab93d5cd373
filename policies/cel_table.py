"""The CEL library's parser, made of tables worked out in advance; it knows no rules, and never imports `celpy`.

To work them out of the grammar takes a third of a start, so they lie beside this file, as `scripts/cel_table.py` wrote
them. They are those of one version of the library, and of lark on which it stands: with any other there are none, and
who asks makes the parser as the library does.
"""

import json
import pkgutil
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lark import Lark, Token

FILE: Final = "cel_table.json"
MADE_OF: Final = ("cel.lark", "celparser.py")  # of `celpy`: the grammar, and with which options it is read


def load_parser() -> "Lark | None":
    """The parser as its library would make it, or None where the tables are of other versions."""
    from lark import Lark  # 20 ms, which only a config with rules pays

    try:
        table = json.loads(pkgutil.get_data(__package__, FILE) or b"{}")
        if table.get("origin") != origin():
            return None
    except OSError:  # an installation that has left out one of the files
        return None
    # Not `Lark.load` of a file, which is pickle: what JSON holds is only ever data.
    parser: Lark = Lark.load(_revived(table))
    return parser


def origin() -> dict[str, str]:
    """What the tables depend on: by content, since to ask for a package's version takes longer than to read two files.

    Raises OSError where the library's files cannot be read.
    """
    import lark

    found = find_spec("celpy")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("celpy")
    digests = {}
    for name in MADE_OF:
        with open(f"{found.submodule_search_locations[0]}/{name}", "rb") as file:
            digests[name] = sha256(file.read()).hexdigest()
    return {"lark": lark.__version__, **digests}


def _revived(table: dict[str, Any]) -> dict[str, Any]:
    """What lark takes, of what JSON can hold: there every key is a text, and nothing is a function."""
    data = table["data"]
    tables = data["parser"]["parser"]
    tables["tokens"] = _numbered(tables["tokens"])
    tables["states"] = {state: _numbered(actions) for state, actions in _numbered(tables["states"]).items()}
    data["options"]["lexer_callbacks"] = {"IDENT": _name_or_boolean}
    return {"data": data, "memo": _numbered(table["memo"])}


def _numbered(entries: dict[str, Any]) -> dict[int, Any]:
    return {int(key): value for key, value in entries.items()}


def _name_or_boolean(token: "Token") -> "Token":
    """As the library does it: to the grammar `true` and `false` are names."""
    from lark import Token

    return Token("BOOL_LIT", token.value) if token.value in ("true", "false") else token
