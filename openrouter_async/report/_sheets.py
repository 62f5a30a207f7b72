"""Output for programs: CSV, JSON and NDJSON. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from openrouter_async.report._columns import Column, KeyRow
from openrouter_async.report._format import cell


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV (RFC 4180, but lines end in LF); see `cell` for what is escaped."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([cell(value) for value in row] for row in rows)
    return stream.getvalue()


def csv_head(columns: Sequence[Column]) -> str:
    """Return the header line of the CSV."""
    return csv_lines([[column.name for column in columns]])


def csv_rows(rows: Iterable[KeyRow], columns: Sequence[Column]) -> str:
    """Return one CSV line per key."""
    return csv_lines([column.value(row) for column in columns] for row in rows)


def json_text(document: Any) -> str:
    """Return a document as indented JSON."""
    return _escaped(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def json_line(document: Any) -> str:
    """Return a document as one line of JSON, for NDJSON."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _escaped(text) + "\n"


_INVISIBLE: Final = {
    code: f"\\u{code:04x}"
    for code in (
        *range(0x7F, 0xA0),
        0x061C,
        0x200E,
        0x200F,
        *range(0x2028, 0x202F),
        *range(0x2066, 0x206A),
    )
}
"""Escapes for characters that JSON leaves alone but that could control a terminal."""


def _escaped(text: str) -> str:
    # Most documents are ASCII, which spares them the translation.
    return text if text.isascii() and "\x7f" not in text else text.translate(_INVISIBLE)


def utf8(text: str) -> bytes:
    r"""Encode text for programs; a lone surrogate becomes `\udXXX`, its escape in JSON."""
    return text.encode("utf-8", "backslashreplace")
