"""Values as people read them, and as programs do. Pure."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from openrouter_async import _money

NOTHING: Final = "-"
"""Stands in a table where there is no value."""

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that move the cursor, turn the direction, or break the line."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Of these categories, but part of writing in many scripts, and of emoji."""


def plain(text: str) -> str:
    """Make text harmless for a terminal: whatever would steer it is shown as an escape.

    Names and messages come from the service, where anybody may have put an escape sequence.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if _steers(char) else char for char in text
    )


def _steers(char: str) -> bool:
    return unicodedata.category(char) in _STEERING and char not in _JOINERS


def usd(amount: float | None) -> str:
    """Show an amount with its cents; what is less than a cent is shown as that."""
    if amount is None:
        return NOTHING
    if 0 < abs(amount) < 0.005:
        return "<$0.01" if amount > 0 else ">-$0.01"
    sign = "-" if amount < 0 else ""
    return f"{sign}${_money.written(abs(amount))}"


def percent(part: float | None, whole: float | None) -> str:
    """Show how much of the whole the part is; a limit of zero is always full."""
    if part is None or whole is None:
        return NOTHING
    share = _money.share(part, whole)
    if share is None:
        return "full"
    if abs(share) >= _MOST_TIMES:
        return "huge"
    percents = math.floor(100 * share)
    return f"{percents + _money.reaches(part, percents + 1, whole):,d}%"


_MOST_TIMES: Final = 1e6
"""Times the whole, up to which a percentage says something."""


def day(moment: datetime | None) -> str:
    """Show the day (UTC)."""
    return moment.astimezone(UTC).date().isoformat() if moment else NOTHING


def minute(moment: datetime | None) -> str:
    """Show the day and the minute (UTC)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment else NOTHING


def stamp(moment: datetime) -> str:
    """Write an instant for programs: ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(moment: datetime | None, now: datetime) -> str:
    """Show how long before (or after) `now` something is, in the biggest unit that tells enough."""
    if moment is None:
        return "never"
    span = now - moment
    text = _span(abs(span))
    return f"{text} ago" if span >= timedelta(0) else f"in {text}"


def _span(span: timedelta) -> str:
    if span < timedelta(hours=1):
        return f"{span.seconds // 60} min"
    if span < timedelta(days=1):
        return f"{span.seconds // 3600} h"
    return f"{span.days} d"


def count(number: int, noun: str) -> str:
    """Describe how many: `1 key`, `250 keys`."""
    return f"{number:,d} {noun}" + ("" if number == 1 else "s")


def cell(value: Any) -> str:
    """Write a CSV cell: numbers as numbers, and no text that a spreadsheet would run."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return repr(value)
    text = stamp(value) if isinstance(value, datetime) else plain(str(value))
    return f"'{text}" if text.lstrip(" ")[:1] in _FORMULA else text


_FORMULA: Final = frozenset("=+-@＝＋－＠")  # noqa: RUF001  # full-width ones too
"""What a cell must not begin with: spreadsheets take it for a formula. (Tab and CR are escaped.)

https://owasp.org/www-community/attacks/CSV_Injection
"""


def utf8(text: str) -> bytes:
    r"""Encode text for programs; a lone surrogate becomes `\udXXX`, its escape in JSON."""
    return text.encode("utf-8", "backslashreplace")
