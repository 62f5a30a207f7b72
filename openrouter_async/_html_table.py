"""A small HTML table for notebooks: text is escaped, isolated, and contains no key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from openrouter_async import _money
from openrouter_async.secret import scrub

_LONGEST: Final = 80
_MASKED: Final = 24
"""The most characters of a masked key, such as a label; longer text may contain a whole key."""


_OF_A_KEY: Final = (
    "name", "label", "disabled", "limit", "limit_remaining", "limit_reset", "usage_monthly",
    "usage", "created_at", "last_used_at", "expires_at", "hash",
)  # fmt: skip


def keys_table(keys: Sequence[object]) -> str:
    """Build a table of keys with the fields that users look at first."""
    rows = ([getattr(key, name) for name in _OF_A_KEY] for key in keys)
    headings = [name.replace("_", " ") for name in _OF_A_KEY]
    return html_table(headings, rows, title=f"{len(keys)} keys, newest first")


def html_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> str:
    """Build a table; floats have two decimals, None is empty, times are UTC."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    caption = f"<p>{escape(title)}</p>" if title else ""
    return (
        f'<div style="overflow: auto; max-height: 32em">{caption}'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    # bool is a subclass of int, and so comes first.
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int):
        return f'<td style="text-align: right">{value:,d}</td>'
    if isinstance(value, float):
        return f'<td style="text-align: right">{_money.written(value)}</td>'
    if isinstance(value, datetime):
        return f"<td>{value.astimezone(UTC):%Y-%m-%d %H:%M}</td>"
    # Isolated with <bdi>, right-to-left text cannot reverse the text beside it.
    return f'<td style="text-align: left"><bdi>{escape(_text(value))}</bdi></td>'


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    text = text if len(text) <= _MASKED and "..." in text else scrub(text)
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return shown.encode(errors="replace").decode()
