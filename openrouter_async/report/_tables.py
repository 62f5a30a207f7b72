"""Tables for people: they fit the width, the important columns first. Widths and styles by rich.

rich's own tables take a millisecond a row, which is too long for 10,000 keys; so a table is laid
out here, from rich's measures, and everything else is left to rich. Most of rich is only imported
for that: a list of keys that goes into a pipe needs none of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

import attrs
from rich.cells import cell_len, set_cell_size

from openrouter_async.models import Workspace
from openrouter_async.report._columns import Column, KeyRow
from openrouter_async.report._format import NOTHING, day, plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

STYLES: Final[Mapping[str, str]] = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "active": "green",
    "disabled": "dim",
    "expired": "dim",
    "exhausted": "red",
}
"""How words that judge are shown, wherever they begin a cell."""

_JUDGING: Final = ("severity", "state")
_GAP: Final = 2
"""Blanks between two columns."""


@attrs.frozen(kw_only=True)
class Heading:
    """A column of any table."""

    title: str
    right: bool = False
    narrowest: int | None = None
    """The width down to which it may be cut; None: it is shown whole."""
    rank: int = 1
    """The smaller, the sooner there is room for it; 0: there always is."""
    claim: int | None = None
    """The width that it gets before columns of higher rank get any; None: the narrowest."""
    cut_last: bool = False
    """Whether the others give way first."""
    judges: bool = False
    """Whether its words have `STYLES`."""


@attrs.frozen
class Grid:
    """A table: its head, a line, its rows; it has as many of its columns as fit."""

    headings: Sequence[Heading]
    rows: Sequence[Sequence[str]]
    bare: bool = attrs.field(default=False, kw_only=True)
    """Whether it goes without head and line."""
    indent: int = attrs.field(default=0, kw_only=True)


Part: TypeAlias = "Grid | RenderableType"


def render(parts: Iterable[Part], *, width: int, colour: bool) -> str:
    """Lay the parts out, one below the other."""
    stream = io.StringIO()
    console = _console(stream, width, colour=True) if colour else None
    painter = _Painter(console.color_system if console else None)
    for part in parts:
        if isinstance(part, Grid):
            stream.writelines(_lines(part, width, painter))
        elif isinstance(part, str) and part.isprintable() and cell_len(part) <= width:
            stream.write(f"{part}\n")
        else:
            console = console or _console(stream, width, colour=False)
            console.print(part, markup=False)
    lines = stream.getvalue().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _console(stream: TextIO, width: int, *, colour: bool) -> Console:
    from rich.console import Console

    return Console(
        file=stream,
        width=width,
        force_terminal=colour,
        no_color=not colour,
        color_system="auto" if colour else None,
        legacy_windows=False,
        emoji=False,
        highlight=False,
    )


def key_grid(rows: Sequence[KeyRow], columns: Sequence[Column]) -> Grid:
    """Make a table of keys."""
    headings = [
        Heading(
            title=column.title,
            right=column.right,
            narrowest=column.narrowest,
            rank=column.rank,
            judges=column.name in _JUDGING,
        )
        for column in columns
    ]
    return Grid(headings, [[column.text(row) for column in columns] for row in rows])


def workspace_grid(workspaces: Sequence[Workspace]) -> Grid:
    """Make a table of workspaces."""
    headings = [
        Heading(title="name", narrowest=8, rank=0),
        Heading(title="slug", narrowest=8),
        Heading(title="id", rank=0),
        Heading(title="created", rank=2),
    ]
    return Grid(
        headings,
        [
            [plain(each.name), plain(each.slug or NOTHING), plain(each.id), day(each.created_at)]
            for each in workspaces
        ],
    )


def details(facts: Mapping[str, str]) -> Table:
    """Show facts as one line each; long ones are wrapped, never cut."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, _GAP, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(Text(name), Text(fact, style=_style_of(fact) if name in _JUDGING else ""))
    return table


def _lines(grid: Grid, width: int, painter: _Painter) -> Iterable[str]:
    width -= grid.indent
    columns: list[tuple[str, ...]] = list(zip(*grid.rows, strict=True))
    columns = columns or [()] * len(grid.headings)
    wanted = [
        max([cell_len(heading.title) * (not grid.bare), *map(cell_len, cells)])
        for heading, cells in zip(grid.headings, columns, strict=True)
    ]
    kept = fit(grid.headings, wanted, width)
    headings = [grid.headings[index] for index in kept]
    widths = _shrunk(headings, [wanted[index] for index in kept], width)
    shape = list(zip(headings, widths, strict=True))
    gap, margin = " " * _GAP, " " * grid.indent
    if not grid.bare:
        titles = gap.join(_padded(head.title, size, right=head.right) for head, size in shape)
        yield f"{margin}{painter.paint(titles, 'bold')}\n"
        rule = "─" * min(sum(widths) + _GAP * (len(widths) - 1), width)
        yield f"{margin}{painter.paint(rule, 'dim')}\n"
    for row in grid.rows:
        cells = [
            painter.paint(
                _padded(row[index], size, right=head.right),
                _style_of(row[index]) if head.judges else "",
            )
            for index, (head, size) in zip(kept, shape, strict=True)
        ]
        yield f"{margin}{gap.join(cells)}\n"


def fit(headings: Sequence[Heading], wanted: Sequence[int], width: int) -> list[int]:
    """Choose the columns that fit, by rank; those without a rank stay in any case."""
    kept: list[int] = []
    used = -_GAP
    for index in sorted(range(len(headings)), key=lambda index: headings[index].rank):
        heading = headings[index]
        least = min(heading.claim or heading.narrowest or wanted[index], wanted[index])
        if not headings[index].rank or used + _GAP + least <= width:
            kept.append(index)
            used += _GAP + least
    return sorted(kept)


def _shrunk(headings: Sequence[Heading], wanted: Sequence[int], width: int) -> list[int]:
    """Take what is too much from the widest column that may be cut, again and again."""
    widths = list(wanted)
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0:
        spare = [
            index
            for index, heading in enumerate(headings)
            if heading.narrowest is not None and widths[index] > heading.narrowest
        ]
        if not spare:
            break
        first = [index for index in spare if not headings[index].cut_last] or spare
        widths[max(first, key=widths.__getitem__)] -= 1
        excess -= 1
    return widths


def _padded(text: str, size: int, *, right: bool) -> str:
    length = cell_len(text)
    if length > size:
        return set_cell_size(text, size - 1) + "…"
    blanks = " " * (size - length)
    return blanks + text if right else text + blanks


def _style_of(text: str) -> str:
    return STYLES.get(text.partition(" ")[0], "")


class _Painter:
    """Adds the terminal's codes for a style, or nothing where there are no colours."""

    def __init__(self, system: str | None) -> None:
        self._system = system
        if system is not None:
            from rich.console import COLOR_SYSTEMS
            from rich.style import Style

            self._parse = Style.parse
            self._colours = COLOR_SYSTEMS[system]

    def paint(self, text: str, style: str) -> str:
        if self._system is None or not style:
            return text
        return self._parse(style).render(text, color_system=self._colours)
