"""Output for programs: CSV, JSON and NDJSON. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

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


def json_pieces(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of a JSON object in pieces, each item of its lists and iterators on a line.

    Neither the text nor the items of an iterator are ever in memory all at once.
    """
    comma = "{"
    for name, value in document.items():
        yield f"{comma}\n  {_record(name)}: "
        if isinstance(value, (list, Iterator)):
            yield from _json_array(cast("Iterable[Any]", value))
        else:
            yield _record(value)
        comma = ","
    yield "\n}\n" if document else "{}\n"


def _json_array(items: Iterable[Any]) -> Iterator[str]:
    comma = "["
    for item in items:
        yield f"{comma}\n    {_record(item)}"
        comma = ","
    yield "[]" if comma == "[" else "\n  ]"


def json_line(document: Any) -> str:
    """Return a document as one line of JSON, for NDJSON."""
    return _escaped(_COMPACT.encode(document)) + "\n"


def _record(document: Any) -> str:
    return _escaped(_SPACED.encode(document))


_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SPACED: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


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
