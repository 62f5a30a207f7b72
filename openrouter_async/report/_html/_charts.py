"""The page's charts as plain values: bars with a label, lengths in percent and a text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from openrouter_async import _money
from openrouter_async.audit import AuditReport, Totals
from openrouter_async.models import APIKey
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._format import count, percent, usd
from openrouter_async.report._html._facets import Facet, Facets, shown

WINDOWS: Final[Mapping[str, str]] = {
    "daily": "today", "weekly": "this week", "monthly": "this month", "ever": "ever",
}  # fmt: skip
"""The periods of spending, and their headings."""
_MAX_BARS: Final = 8
_MIN_LENGTH: Final = 0.6
"""Percent; keeps the smallest amounts visible."""


@attrs.frozen(kw_only=True)
class Bar:
    """One bar of a chart."""

    label: str
    text: str
    parts: Sequence[tuple[str, float, float]]
    """Kind, start and length of its parts from left to right, in percent of the longest bar."""
    choice: tuple[str, int | str] | None = None
    """The facet and the choice to filter keys by when the bar is clicked."""


@attrs.frozen(kw_only=True)
class Chart:
    """A chart of comparable bars."""

    title: str
    head: str
    """The heading of the labels."""
    unit: str
    """The heading of the texts."""
    bars: Sequence[Bar]
    rest: str = ""
    """A summary of the bars that are not shown."""


@attrs.frozen
class _Spent:
    label: str
    credits: float
    byok: float
    choice: tuple[str, int | str] | None = None

    @property
    def both(self) -> float:
        return _money.added(self.credits, self.byok)


def _amounts(of: APIKey | Totals, window: str) -> tuple[float, float]:
    end = "" if window == "ever" else f"_{window}"
    return getattr(of, f"usage{end}"), getattr(of, f"byok_usage{end}")


def spending(report: AuditReport, facets: Facets, window: str) -> list[Chart]:
    """Build charts of the top spenders in one of `WINDOWS`, credits and BYOK usage together."""
    by_key = [
        _Spent(_name(key), *_amounts(key, window), choice=("key", key.hash))
        for key in sorted(report.keys, key=lambda key: -_money.total(_amounts(key, window)))[
            :_MAX_BARS
        ]
    ]
    return [
        _spent_by("workspace", _grouped(facets.workspace, report.by_workspace.values(), window)),
        _spent_by("creator", _grouped(facets.creator, report.by_creator.values(), window)),
        _spent_by(
            "key", by_key, total=_money.total(_amounts(report.totals, window)), of=len(report.keys)
        ),
    ]


def _name(key: APIKey) -> str:
    return shown(key.name) or "(no name)"


def _grouped(facet: Facet, groups: Iterable[Totals], window: str) -> list[_Spent]:
    # The facet's choices begin with the report's groups, in the same order.
    return [
        _Spent(facet.choices[place], *_amounts(totals, window), choice=(facet.name, place))
        for place, totals in enumerate(groups)
    ]


def _spent_by(
    noun: str, spent: Sequence[_Spent], *, total: float | None = None, of: int | None = None
) -> Chart:
    """Build the chart of the top spenders.

    If `spent` holds only those, `total` and `of` are the sum and the number of all.
    """
    falling = sorted((each for each in spent if each.both > 0), key=lambda each: -each.both)
    top = falling[:_MAX_BARS]
    whole = _money.total(each.both for each in spent) if total is None else total
    others = (len(falling) if of is None else of) - len(top)
    rest = _money.difference(whole, _money.total(each.both for each in top))
    longest = max((each.both for each in top), default=0.0)
    return Chart(
        title=f"By {noun}",
        head=noun,
        unit="spent",
        bars=[
            Bar(
                label=each.label,
                text=usd(each.both),
                parts=_lengths({"credits": each.credits, "byok": each.byok}, longest),
                choice=each.choice,
            )
            for each in top
        ],
        rest=f"{count(others, f'other {noun}')}: {usd(rest)}" if others > 0 and rest > 0 else "",
    )


def _lengths(amounts: Mapping[str, float], longest: float) -> list[tuple[str, float, float]]:
    parts: list[tuple[str, float, float]] = []
    start = 0.0
    for kind, amount in amounts.items():
        if amount > 0:
            length = round(max(_MIN_LENGTH, 100 * (amount / longest)), 2)
            parts.append((kind, round(min(start, 100 - length), 2), length))
            start += length
    return parts


def distribution(title: str, facet: Facet, rows: Sequence[KeyRow]) -> Chart:
    """Build the chart of the number of keys per choice of a facet."""
    counts = facet.counts(rows)
    longest = max(counts, default=0)
    return Chart(
        title=title,
        head=facet.title.lower(),
        unit="keys",
        bars=[
            Bar(
                label=choice,
                text=f"{number:,d}",
                parts=_lengths({_KINDS.get(choice, "keys"): number}, longest),
                choice=(facet.name, place) if number else None,
            )
            for place, (choice, number) in enumerate(zip(facet.choices, counts, strict=True))
        ] if longest else [],
    )  # fmt: skip


_KINDS: Final = {
    "90 to 100 %": "warning", "exhausted": "warning", "overspent": "critical", "no limit": "other",
    "not recorded": "other", "never": "other",
}  # fmt: skip
"""Choices whose bars have a colour of their own."""


def fullest(rows: Sequence[KeyRow]) -> Chart:
    """Build the chart of the fullest limits among keys that are neither disabled nor expired."""
    limited = [
        (row.key, share)
        for row in rows
        if (share := _money.share(row.key.spent_in_window, row.key.limit)) is not None
        and not (row.key.disabled or row.key.is_expired(row.now))
    ]
    limited.sort(key=lambda each: -each[1])
    return Chart(
        title="Fullest limits",
        head="key",
        unit="used",
        bars=[
            Bar(
                label=_name(key),
                text=f"{percent(key.spent_in_window, key.limit)} of {usd(key.limit)}",
                parts=_lengths({_filled(share): min(share, 1.0)}, 1.0),
                choice=("key", key.hash),
            )
            for key, share in limited[:_MAX_BARS]
        ],
    )


def _filled(share: float) -> str:
    if share > 1:
        return "critical"
    return "warning" if share >= 0.9 else "keys"
