"""The page's charts as plain values: bars with a label, lengths in percent, and a text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from openrouter_async import _money
from openrouter_async.audit import AuditReport, Totals
from openrouter_async.models import APIKey
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._format import count, percent, usd
from openrouter_async.report._html_facets import Facet, Facets, shown

WINDOWS: Final[Mapping[str, str]] = {
    "daily": "today", "weekly": "this week", "monthly": "this month", "ever": "ever",
}  # fmt: skip
"""What spending can be looked at over."""
_MOST_BARS: Final = 8
_LEAST_LENGTH: Final = 0.6
"""Percent; what is not nothing can be seen."""


@attrs.frozen(kw_only=True)
class Bar:
    """One line of a chart."""

    label: str
    text: str
    parts: Sequence[tuple[str, float, float]]
    """Kind, start and length in percent of the longest, one behind the other."""
    choice: tuple[str, int | str] | None = None
    """The facet and its answer that the page filters keys by when the bar is chosen."""


@attrs.frozen(kw_only=True)
class Chart:
    """Bars that are compared with each other."""

    title: str
    head: str
    """What the labels are."""
    unit: str
    """What the texts are."""
    bars: Sequence[Bar]
    rest: str = ""
    """What is not shown."""


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
    """Chart who and what spent most in one of `WINDOWS`, credits and provider keys together."""
    by_key = [
        _Spent(_name(key), *_amounts(key, window), choice=("key", key.hash))
        for key in sorted(report.keys, key=lambda key: -_money.total(_amounts(key, window)))[
            :_MOST_BARS
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
    # Choices begin with the groups of the report, in their order.
    return [
        _Spent(facet.choices[place], *_amounts(totals, window), choice=(facet.name, place))
        for place, totals in enumerate(groups)
    ]


def _spent_by(
    noun: str, spent: Sequence[_Spent], *, total: float | None = None, of: int | None = None
) -> Chart:
    """Chart the greatest; `total` and `of` are for a list that holds only those."""
    falling = sorted((each for each in spent if each.both > 0), key=lambda each: -each.both)
    top = falling[:_MOST_BARS]
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
            length = round(max(_LEAST_LENGTH, 100 * (amount / longest)), 2)
            parts.append((kind, round(min(start, 100 - length), 2), length))
            start += length
    return parts


def distribution(title: str, facet: Facet, rows: Sequence[KeyRow]) -> Chart:
    """Chart how many keys give each answer."""
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
"""Answers that are not like their neighbours."""


def fullest(rows: Sequence[KeyRow]) -> Chart:
    """Chart the fullest limits of keys that are neither disabled nor expired."""
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
            for key, share in limited[:_MOST_BARS]
        ],
    )


def _filled(share: float) -> str:
    if share > 1:
        return "critical"
    return "warning" if share >= 0.9 else "keys"
