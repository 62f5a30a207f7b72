"""Parsing of untrusted JSON without exhausting the stack, the memory or the caller's time.

The parsers of the standard library and of msgspec recurse in C. On a thread with a small stack
(1 MiB with musl, 512 KiB for some threads on macOS), a deeply nested document crashes Python 3.12
and 3.13 before they notice, so the depth is measured first.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, Final, cast

DEEPEST: Final = 500
"""Levels of nesting; the service's documents have at most 6."""


def parse(data: bytes, *, most_values: float = math.inf) -> Any:
    """Parse a UTF-8 JSON document; raise a `ValueError` whose message completes "the document is".

    Numbers too large for a float become infinite, and bytes that are not UTF-8 become lone
    surrogates: they are rejected where a field is read.
    """
    check_size(data, most_values=most_values)
    try:
        text = data.decode(errors="surrogateescape")
        return json.loads(text, parse_int=_parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    raise ValueError("not JSON")


def as_object(document: object) -> dict[str, Any]:
    """Return parsed JSON if it is an object, else an empty one."""
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def check_size(data: bytes, *, most_values: float = math.inf) -> None:
    """Raise `ValueError` for a document that is nested too deeply or has too many values.

    The document is not parsed. Values are counted by the characters that separate them, including
    those in strings.
    """
    openers = data.count(b"[") + data.count(b"{")
    if most_values < math.inf and openers + data.count(b",") > most_values:
        raise ValueError("made of too many values")
    # The depth is measured only if there are enough brackets, since that takes longer.
    if openers > DEEPEST and _depth(data) > DEEPEST:
        raise ValueError("nested too deeply")


def _depth(data: bytes) -> int:
    """Return how deeply a document is nested; brackets in strings do not count."""
    brackets = _STRING.sub(b"", data).translate(_SAME_KIND, _NO_BRACKETS)
    return max(accumulate(1 if bracket == _OPEN else -1 for bracket in brackets), default=0)


# Possessive (*+), so that a string without an end does not cause backtracking.
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*+"?', re.DOTALL)
_OPEN: Final = ord("[")
_SAME_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


_MOST_DIGITS: Final = 400
"""Any number with more digits is larger than the largest float, which has 309."""


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
