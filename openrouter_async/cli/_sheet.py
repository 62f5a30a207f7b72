"""Output options, and the writers for lists of keys."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from openrouter_async._converter import to_dict
from openrouter_async.cli._exits import CommandError
from openrouter_async.cli._output import Destination, file_output, standard_output
from openrouter_async.report import (
    BY_NAME,
    KEY_COLUMNS,
    OF_FINDINGS,
    Column,
    KeyRow,
    count,
    csv_head,
    csv_rows,
    json_line,
    json_pieces,
    sort_rows,
    whole,
)

_PANEL: Final = "Output"


class Format(enum.StrEnum):
    """Output formats for lists of keys."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    HTML = "html"


class RecordFormat(enum.StrEnum):
    """Output formats for one document."""

    TABLE = "table"
    JSON = "json"


RecordOption = Annotated[
    RecordFormat, typer.Option("--format", "-f", help="table or json.", metavar="FORMAT")
]


@contextmanager
def opened(output: Path | None) -> Generator[Destination]:
    """Open the output file; standard output for None."""
    with file_output(output) if output else standard_output() as destination:
        yield destination


@attrs.frozen(kw_only=True)
class Sheet:
    """Where and how to write a list of keys."""

    format: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="table, json, csv or ndjson; html for an audit.",
            metavar="FORMAT",
            rich_help_panel=_PANEL,
        ),
    ] = Format.TABLE
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write to this file; it is replaced as a whole or not at all.",
            metavar="PATH",
            rich_help_panel=_PANEL,
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of the table or CSV, separated by commas; named as in the CSV.",
            metavar="NAMES",
            rich_help_panel=_PANEL,
        ),
    ] = None
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort by a column: amounts and dates descending, text ascending.",
            metavar="NAME",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def sort_column(self) -> Column | None:
        """Return the column to sort by; raises `CommandError`."""
        return _column(self.sort, "--sort") if self.sort else None

    def chosen(self, *, findings: bool = False) -> list[Column]:
        """Return the requested columns, else the format's own; raises `CommandError`."""
        if self.columns:
            names = [name.strip() for name in self.columns.split(",") if name.strip()]
            return [whole(_column(name, "--columns")) for name in names]
        return [
            column
            for column in KEY_COLUMNS
            if (findings or column.name not in OF_FINDINGS)
            and (column.rank or self.format is not Format.TABLE)
        ]

    def writer(self, destination: Destination) -> Writer:
        """Build the format's writer; raises `CommandError` for unknown columns."""
        columns = self.chosen()
        if self.format is Format.HTML:
            raise CommandError("--format html is only available for audit")
        if self.format is Format.NDJSON:
            return _NDJSONWriter(destination)
        if self.format is Format.CSV:
            return _CSVWriter(destination, columns)
        if self.format is Format.JSON:
            return _JSONWriter(destination)
        return _TableWriter(destination, columns)


def _column(name: str, option: str) -> Column:
    column = BY_NAME.get(name.strip().casefold().replace("-", "_"))
    if column is None:
        raise CommandError(f"{option}: no column {name!r}; choose from: {', '.join(BY_NAME)}")
    return column


class Writer(ABC):
    """A writer that is fed keys as they arrive."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination

    @abstractmethod
    def add(self, rows: Sequence[KeyRow]) -> None:
        """Write the keys, or keep them until `finish`."""

    def finish(self) -> None:  # noqa: B027  # optional: streaming writers have written everything
        """Write whatever was kept until the end."""


class _NDJSONWriter(Writer):
    def add(self, rows: Sequence[KeyRow]) -> None:
        self._to.write("".join(json_line(to_dict(row.key)) for row in rows))


class _CSVWriter(Writer):
    def __init__(self, destination: Destination, columns: Sequence[Column]) -> None:
        super().__init__(destination)
        self._columns = columns
        self._begun = False

    def add(self, rows: Sequence[KeyRow]) -> None:
        head = "" if self._begun else csv_head(self._columns)
        self._begun = True
        self._to.write(head + csv_rows(rows, self._columns))

    def finish(self) -> None:
        if not self._begun:
            self.add([])


class _BufferingWriter(Writer):
    def __init__(self, destination: Destination) -> None:
        super().__init__(destination)
        self._rows: list[KeyRow] = []

    def add(self, rows: Sequence[KeyRow]) -> None:
        self._rows += rows


class _JSONWriter(_BufferingWriter):
    def finish(self) -> None:
        records = (to_dict(row.key) for row in self._rows)
        self._to.write_pieces(json_pieces({"data": records}))


class _TableWriter(_BufferingWriter):
    def __init__(self, destination: Destination, columns: Sequence[Column]) -> None:
        super().__init__(destination)
        self._columns = columns

    def finish(self) -> None:
        from openrouter_async.report._tables import key_grid, render

        width = self._to.width
        grid = key_grid(self._rows, self._columns)
        footer = count(len(self._rows), "key")
        parts: list[Any] = [grid, "", footer] if self._rows else [footer]
        self._to.show(render(parts, width=width, colour=self._to.colour))


class Sorted(Writer):
    """A writer that keeps all keys and passes them on to another one, sorted."""

    def __init__(self, writer: Writer, column: Column) -> None:
        super().__init__(writer._to)  # noqa: SLF001  # of the same class
        self._writer = writer
        self._column = column
        self._rows: list[KeyRow] = []

    def add(self, rows: Sequence[KeyRow]) -> None:
        """Keep the keys until `finish`."""
        self._rows += rows

    def finish(self) -> None:
        """Write all keys in order."""
        self._writer.add(sort_rows(self._rows, self._column))
        self._writer.finish()
