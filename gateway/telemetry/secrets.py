"""Takes secrets out of texts that people get to read. Pure: values in, masked texts out; knows no config and no log.

Two nets: the values that a config declares, however they are escaped; and whatever looks like a credential, known or
not. Not caught: a value in another encoding (base64, hex, reversed), one that is cut in two by whoever wrote it, one
shorter than the floor of `declared`, and a JSON number.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from gateway.api_keys import PREFIX
from gateway.telemetry.spelling import core, is_plain, spellings

MASK: Final = "***"
MAX_TEXT: Final = 2**16  # characters looked through, 20 ms at worst; nobody reads an error text that is longer
MAX_JSON: Final = 2**17  # of all texts in one value
MAX_DEPTH: Final = 64
MAX_FORMER: Final = 500  # values of configs before: a text from before a reload may still be under way
CUT: Final = "… (cut)"

NOTHING: Final = re.compile(r"(?!)")
ESCAPED: Final = 12  # how much longer a value may get: each quote as `&amp;quot;`

# What a text must hold (in lower case) for the pattern to be tried, the pattern, and what stands there instead. Each is
# linear: where a run of characters can start a match, what stands before it may not be one of the run.
SHAPES: Final = (
    # A signed token, whole or cut short: its header is the base64 of `{"`.
    (("eyj",), re.compile(r"(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))eyJ[\w-]{17,}(?:\.[\w-]*)*", re.ASCII), MASK),
    ((PREFIX,), re.compile(rf"(?<![\w-]){PREFIX}[\w-]{{43}}", re.ASCII), MASK),
    # A header that holds a credential, as `Name: value`, as JSON, or as a pair of quoted texts.
    (
        ("authorization", "cookie", "x-api-key", "x-bf-vk"),
        re.compile(
            r"(authorization|cookie|x-api-key|x-bf-vk)"
            r"([\"'\\]*\s{0,8}[:=]\s{0,8}b?[\"'\\]*|[\"']+\s{0,8},\s{0,8}b?[\"']+)[^\r\n\"'\\]+",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (
        ("bearer", "basic"),
        re.compile(
            # More than a word: prose says `basic information`, a challenge `Bearer realm="x"`.
            r"\b((?i:bearer|basic))((?:\s|%20|\+){1,8})(?=[\w.~+/-]{0,256}(?:[0-9]|[a-z][A-Z]))[\w.~+/-]{8,}=*",
            re.ASCII,
        ),
        rf"\1\2{MASK}",
    ),
    # The user and the password of a URL, and what its query calls a secret.
    (("://",), re.compile(r"(?<=://)[^\s/@:\"'<>]{0,256}:[^\s/@\"'<>]{1,1024}@"), f"{MASK}@"),
    (
        ("token=", "key=", "secret=", "password=", "sig=", "signature="),
        re.compile(
            r"(?<=[?&])((?:access_|api_?|auth_?|client_)?(?:token|key|secret|password)|sig|signature)=[^&\s\"'<>\\#]+",
            re.IGNORECASE,
        ),
        rf"\1={MASK}",
    ),
)


class Redactor:
    """Masks the values of one config after another: a text may outlive the config whose secret it holds."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: dict[str, None] = {}
        self._plain = NOTHING
        self._spelled: list[tuple[str, str]] = []
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._longest = 0
        self.renew(values)

    def renew(self, values: Iterable[str]) -> None:
        """Mask these too from now on."""
        present = dict.fromkeys(values)
        former = [value for value in self._values if value not in present]
        self._values = present | dict.fromkeys(former[:MAX_FORMER])
        self._longest = min(ESCAPED * max(map(len, self._values), default=0), MAX_TEXT)
        # The longest first, as one may be the start of another.
        ordered = sorted(self._values, key=len, reverse=True)
        plain = [re.escape(value) for value in ordered if is_plain(value)]
        self._plain = re.compile("|".join(plain)) if plain else NOTHING
        self._spelled = [(core(value), value) for value in ordered if not is_plain(value)]
        self._patterns = {}

    def redact(self, text: str) -> str:
        """The text with `***` in place of every secret; the end of a very long one is cut off."""
        if len(text) <= MAX_TEXT:
            return self._masked(text)
        # What the cut has halved is not recognised any more: it goes too.
        return self._masked(text[:MAX_TEXT])[: -self._longest or None] + CUT

    def redact_json(self, value: Any) -> Any:
        """A copy of a JSON value with every text in it masked, keys too; what is too large or deep is left out."""
        return _Walk(self).copy(value, MAX_DEPTH)

    def _masked(self, text: str) -> str:
        for part, value in self._spelled:  # first: a plain value may be a part of one of these
            if part in text:
                text = self._pattern(value).sub(MASK, text)
        text = self._plain.sub(MASK, text)
        lowered = text.lower()
        for hints, pattern, instead in SHAPES:
            if any(hint in lowered for hint in hints):
                text = pattern.sub(instead, text)
        return text

    def _pattern(self, value: str) -> re.Pattern[str]:
        """Made when it is first needed, which is mostly never: it takes milliseconds, and a start has no time."""
        known = self._patterns.get(value)
        if known is None:
            known = self._patterns[value] = spellings(value)
        return known


class _Walk:
    """One JSON value being copied, and how much of it may still be looked through."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._left = MAX_JSON

    def copy(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            self._left -= len(value)
            return self._redactor.redact(value) if self._left >= 0 else CUT
        if not isinstance(value, dict | list):
            return value
        if depth == 0:
            return CUT
        if isinstance(value, list):
            return [self.copy(one, depth - 1) for one in value]
        return {self.copy(key, depth - 1): self.copy(one, depth - 1) for key, one in value.items()}
