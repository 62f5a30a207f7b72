"""The columns of key tables and of CSV. Pure.

Column names are stable: they are the CSV headings and the values of `--columns` and `--sort`. A
key's own fields keep the service's names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import attrs

from openrouter_async import _money
from openrouter_async.audit import Severity, state_of
from openrouter_async.models import APIKey
from openrouter_async.report._format import NOTHING, ago, day, percent, plain, usd


@attrs.frozen(kw_only=True)
class KeyRow:
    """A key, and what is known about it beyond its record."""

    key: APIKey
    now: datetime
    workspace: str | None = None
    """The name of its workspace; None if unknown."""
    severity: Severity | None = None
    """The severity of its worst finding; None without findings or without an audit."""
    findings: Sequence[str] = ()
    """The ids of the rules that it breaks."""

    @property
    def state(self) -> str:
        """`active`, or each of the reasons why it does not work."""
        return state_of(self.key, self.now)


@attrs.frozen(kw_only=True)
class Column:
    """A column of a table or CSV."""

    name: str
    value: Callable[[KeyRow], Any]
    """The value for programs: text, a number, a bool, a datetime or None."""
    heading: str = ""
    """The heading in tables; empty: the name with spaces."""
    show: Callable[[KeyRow], str] | None = None
    """The text for people; None: the value as text."""
    right: bool = False
    """Whether it is right-aligned."""
    rank: int = 0
    """Order in which columns claim room in a table, 1 first; 0: shown only on request."""
    narrowest: int | None = None
    """The width down to which it may be truncated; None: shown whole or not at all."""
    falling: bool = False
    """Whether it sorts in descending order."""
    order: Callable[[KeyRow], Any] | None = None
    """The sort key; None: the value."""

    def text(self, row: KeyRow) -> str:
        """Return the cell's text for people."""
        if self.show is not None:
            return self.show(row)
        value = self.value(row)
        if isinstance(value, datetime):
            return day(value)
        return NOTHING if value is None or value == "" else plain(str(value))

    @property
    def title(self) -> str:
        """Return the heading in tables."""
        return self.heading or self.name.replace("_", " ")


def _field(name: str, **more: Any) -> Column:
    return Column(name=name, value=lambda row: getattr(row.key, name), **more)


def _amount(name: str, **more: Any) -> Column:
    def show(row: KeyRow) -> str:
        return usd(getattr(row.key, name))

    return _field(name, **{"right": True, "falling": True, "show": show, **more})


def _when(name: str, **more: Any) -> Column:
    return _field(name, falling=True, **more)


_WINDOWS: Final = {"daily": "/day", "weekly": "/week", "monthly": "/month"}
_SHORT_HASH: Final = 12


def _limit(row: KeyRow) -> str:
    if row.key.limit is None:
        return "none"
    window = row.key.limit_reset
    every = _WINDOWS.get(window, f"/{plain(window)}") if window else ""
    whole = usd(row.key.limit).removesuffix(".00")
    return whole + every


def _used(row: KeyRow) -> float | None:
    """Return the fraction of the limit that is spent, 1 for all of it; None without a limit."""
    return _money.share(row.key.spent_in_window, row.key.limit)


def _hash(row: KeyRow) -> str:
    hash = plain(row.key.hash)
    return hash if len(hash) <= _SHORT_HASH + 1 else f"{hash[:_SHORT_HASH]}…"


KEY_COLUMNS: Final[tuple[Column, ...]] = (
    Column(
        name="severity",
        value=lambda row: row.severity and row.severity.value,
        heading="worst",
        rank=4,
        falling=True,
        order=lambda row: row.severity and row.severity.rank,
    ),
    _field("name", rank=1, narrowest=22),
    Column(name="state", value=lambda row: row.state, rank=2),
    _amount("limit", show=_limit, rank=3),
    Column(
        name="used",
        value=_used,
        show=lambda row: percent(row.key.spent_in_window, row.key.limit),
        right=True,
        falling=True,
        rank=5,
    ),
    Column(
        name="spent_in_window",
        value=lambda row: row.key.spent_in_window,
        show=lambda row: usd(row.key.spent_in_window),
        heading="in window",
        right=True,
        falling=True,
        rank=14,
    ),
    _amount("limit_remaining", heading="left", rank=13),
    _field("limit_reset", heading="reset"),
    _amount("usage_daily", heading="today", rank=15),
    _amount("usage_weekly", heading="week"),
    _amount("usage_monthly", heading="month", rank=6),
    _amount("usage", heading="ever", rank=12),
    _amount("byok_usage_daily"),
    _amount("byok_usage_weekly"),
    _amount("byok_usage_monthly"),
    _amount("byok_usage", heading="BYOK", rank=17),
    _field("include_byok_in_limit", heading="BYOK counts"),
    _field("disabled"),
    _when("created_at", heading="created", rank=11),
    _field("updated_at", heading="updated", falling=True),
    _when("expires_at", heading="expires", rank=9),
    Column(
        name="last_used_at",
        value=lambda row: row.key.last_used_at,
        show=lambda row: ago(row.key.last_used_at, row.now),
        heading="last used",
        right=True,
        falling=True,
        rank=8,
    ),
    Column(
        name="workspace", value=lambda row: row.workspace, rank=10, narrowest=10
    ),
    _field("workspace_id"),
    _field("creator_user_id", heading="creator", rank=16, narrowest=16),
    _field("external_user", heading="external user", rank=18, narrowest=12),
    Column(
        name="findings", value=lambda row: " ".join(row.findings), rank=19, narrowest=20
    ),
    _field("label", rank=20),
    Column(
        name="hash", value=lambda row: row.key.hash, show=_hash, rank=7
    ),
)  # fmt: skip
"""All columns, in the order of CSV and tables."""

BY_NAME: Final[Mapping[str, Column]] = {column.name: column for column in KEY_COLUMNS}
OF_FINDINGS: Final = ("severity", "findings")
"""Names of the columns that only an audit fills."""


def whole(column: Column) -> Column:
    """Return a column for use when it was requested by name: never truncated or left out."""
    show = plain_hash if column.name == "hash" else column.show
    return attrs.evolve(column, narrowest=None, rank=0, show=show)


def plain_hash(row: KeyRow) -> str:
    """Return the whole hash, as other commands accept it."""
    return plain(row.key.hash)


def sort_rows(rows: Iterable[KeyRow], column: Column) -> list[KeyRow]:
    """Sort by a column: amounts and times descending, text ascending, None last."""
    order = column.order or column.value
    known: list[tuple[Any, KeyRow]] = []
    unknown: list[KeyRow] = []  # apart, since None compares with nothing and comes last either way
    for row in rows:
        value = order(row)
        if value is None:
            unknown.append(row)
        else:
            known.append((value.casefold() if isinstance(value, str) else value, row))
    known.sort(key=itemgetter(0), reverse=column.falling)
    return [row for _, row in known] + unknown
