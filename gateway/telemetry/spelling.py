"""Pure module: a pattern for all the ways in which programs write one value, escapes within escapes included.

JSON, a repr, a URL, HTML; each character on its own, so that no list of forms has to be complete.
"""

import re
from typing import Final

PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]+")  # what nobody escapes (RFC 3986 §2.3)
_PARTS: Final = re.compile(rf"\\\\+|{PLAIN.pattern}|.", re.DOTALL)
SLASH: Final = r"(?:\\|%(?:25)?5[Cc])"  # itself perhaps in a URL
SLASHES: Final = 15  # backslashes before one character: JSON in JSON in JSON in JSON
NAMED: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
ENTITIES: Final = {'"': "quot", "&": "amp", "<": "lt", ">": "gt", "'": "apos"}
AND, HASH, END = "(?:&|%26)(?:amp;)?", "(?:#|%23)", "(?:;|%3[Bb])"  # of an entity, perhaps in a URL
RAW_BYTES: Final = range(0xDC80, 0xDD00)  # a byte of an environment that is no UTF-8, as Python holds it


def is_plain(value: str) -> bool:
    """Whether there is one way only to write it."""
    return PLAIN.fullmatch(value) is not None


def core(value: str) -> str:
    """The longest part that is the same in every spelling; a text without it holds none of them."""
    return max(PLAIN.findall(value), key=len, default="")


def spellings(value: str) -> re.Pattern[str]:
    """What matches the value however it is written."""
    parts, before = [], ""
    for part in _PARTS.findall(value):
        parts.append(part if is_plain(part) else _spelled(part, 0 if before.startswith("\\") else 1))
        before = part
    return re.compile("".join(parts))


def _spelled(part: str, least: int) -> str:
    """A pattern for some backslashes, or for one character that has ``least`` backslashes before its number or name."""
    # Possessive: who tried every way to share out a run of backslashes would not come to an end.
    if part.startswith("\\"):
        return f"{SLASH}{{{len(part)},{(SLASHES + 1) * len(part)}}}+"
    bare = [re.escape(part), _percent(part), *_html(part)]
    if part == " ":
        bare += [r"\+", "%(?:25)?2[Bb]"]  # application/x-www-form-urlencoded
    numbered = _numbered(part, f"{SLASH}{{{least},{SLASHES}}}+")
    return f"(?:{SLASH}{{0,{SLASHES}}}+(?:{'|'.join(bare)})|{'|'.join(numbered)})"


def _numbered(character: str, some: str) -> list[str]:
    """What stands for a character after ``some`` backslashes."""
    number = ord(character)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    pairs = "".join(f"{some}u{units[at : at + 4]}" for at in range(0, len(units), 4))
    ways = [f"(?i:{pairs})", f"(?i:{some}U{number:08x})"]
    if number < 256 or number in RAW_BYTES:
        ways.append(f"(?i:{some}x{number & 0xFF:02x})")
    if character in NAMED:
        ways.append(some + NAMED[character])
    return ways


def _percent(character: str) -> str:
    how = "surrogateescape" if ord(character) in RAW_BYTES else "surrogatepass"
    return "(?i:" + "".join(f"%(?:25)?{byte:02x}" for byte in character.encode("utf-8", how)) + ")"


def _html(character: str) -> list[str]:
    number = ord(character)
    ways = [f"{AND}{HASH}0*{number}{END}", f"(?i:{AND}{HASH}x0*{number:x}{END})"]
    return [*ways, f"{AND}{ENTITIES[character]}{END}"] if character in ENTITIES else ways
