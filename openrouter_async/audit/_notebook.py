"""Reports in notebooks: HTML, pandas data frames and Altair charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from html import escape
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, cast, get_args, get_type_hints

from openrouter_async import _money
from openrouter_async._html_table import html_table
from openrouter_async.audit._findings import money
from openrouter_async.audit._key_columns import columns_of
from openrouter_async.errors import ConfigurationError
from openrouter_async.models import APIKey
from openrouter_async.secret import scrub

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from openrouter_async.audit._report import AuditReport

WINDOWS: Final[Mapping[str, str]] = {
    "daily": "today", "weekly": "this week", "monthly": "this month", "ever": "ever",
}  # fmt: skip
GROUPS: Final = (
    "workspace", "workspace_id", "creator_user_id", "name", "external_user", "state", "severity",
)  # fmt: skip
_KINDS: Final = ("credits", "BYOK")
_MOST_BARS: Final = 12
_EXTRA: Final = "needs the extra: pip install 'openrouter_async[pandas]'"
_DTYPES: Final = {str: "string", float: "Float64", bool: "boolean"}
_DERIVED: Final = {
    "workspace": str, "state": str, "spent_in_window": float, "used": float, "severity": str,
    "findings": str,
}  # fmt: skip


def column_types() -> dict[str, type]:
    """Return the type of each column of `AuditReport.rows()`, apart from None."""
    return {name: _plain(hint) for name, hint in get_type_hints(APIKey).items()} | _DERIVED


def _plain(hint: Any) -> type:
    """Return `T` for `T | None`."""
    [type_] = {*(get_args(hint) or (hint,))} - {NoneType}
    return cast("type", type_)


def to_pandas(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return a data frame with nullable columns, times in UTC; raises `ConfigurationError`."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        pass
    else:
        types = column_types()
        series = {
            name: pd.to_datetime(pd.Series(column, dtype="object"), utc=True).dt.as_unit("us")
            if types[name] is datetime
            else pd.Series(column, dtype=_DTYPES[types[name]])
            for name, column in columns.items()
        }
        return pd.DataFrame(series)
    raise ConfigurationError(f"to_pandas() {_EXTRA}")


def chart(report: AuditReport, by: str, window: str) -> alt.Chart:
    """Chart spending by a column of the rows, the highest first; raises `ConfigurationError`."""
    if by not in GROUPS:
        raise ConfigurationError(f"by must be one of {', '.join(GROUPS)}")
    if window not in WINDOWS:
        raise ConfigurationError(f"window must be one of {', '.join(WINDOWS)}")
    try:
        import altair as alt
    except ModuleNotFoundError:
        pass
    else:
        sums = _sums(columns_of(report, report.keys), by, window)
        groups = list(dict.fromkeys(each["group"] for each in sums))
        bars: alt.Chart = (
            alt.Chart(alt.InlineData(values=sums))
            .mark_bar()
            .encode(
                x=alt.X("sum(usd):Q", title=f"USD {WINDOWS[window]}"),
                y=alt.Y("group:N", title=by.replace("_", " "), sort=groups),
                color=alt.Color("kind:N", title=None, sort=list(_KINDS)),
                order=alt.Order("kind:N", sort="descending"),  # credits first
                tooltip=["group:N", "kind:N", alt.Tooltip("usd:Q", format="$,.2f"), "keys:Q"],
            )
        )
        return bars
    raise ConfigurationError(f"chart() {_EXTRA}")


def _sums(columns: Mapping[str, Sequence[Any]], by: str, window: str) -> list[dict[str, Any]]:
    """Sum amounts by group; the smallest groups become one, so that a chart stays readable."""
    end = "" if window == "ever" else f"_{window}"
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    amounts = zip(columns[f"usage{end}"], columns[f"byok_usage{end}"], strict=True)
    for name, (usage, byok) in zip(columns[by], amounts, strict=True):
        entry = sums[scrub(str(name or "none"))]
        for place, amount in enumerate((usage, byok, 1)):
            entry[place] = _money.added(entry[place], amount)
    descending = sorted(sums.items(), key=lambda each: -sum(each[1][:2]))
    top, rest = descending[:_MOST_BARS], descending[_MOST_BARS:]
    if rest:
        others = [_money.total(figures[place] for _, figures in rest) for place in range(3)]
        top.append((f"{len(rest)} others", others))
    return [
        {"group": group, "kind": kind, "usd": round(amount, 6), "keys": int(keys)}
        for group, (*amounts, keys) in top
        for kind, amount in zip(_KINDS, amounts, strict=True)
    ]


_MOST_KEYS: Final = 20
_COLUMNS: Final = (
    "severity", "name", "workspace", "state", "limit", "used", "usage_monthly", "usage",
    "last_used_at", "expires_at", "findings",
)  # fmt: skip


def report_html(report: AuditReport) -> str:
    """Return the report as HTML."""
    return f"<div><p>{_headline(report)}</p>{_rules(report)}{_keys(report)}</div>"


def _headline(report: AuditReport) -> str:
    totals = report.totals
    state = "complete" if report.complete else "<b>incomplete</b>"
    found = ", ".join(f"{number:,d} {severity}" for severity, number in report.severities.items())
    return (
        f"<b>{totals.keys:,d} keys</b>, {totals.active:,d} active; "
        f"{'<b>partial</b>' if report.partial else state}; "
        f"{money(totals.usage_monthly)} this month, {money(totals.usage)} ever; "
        f"findings: {escape(found) or 'none'}"
    )


def _rules(report: AuditReport) -> str:
    if not report.counts:
        return ""
    return html_table(["rule", "findings"], list(report.counts.items()))


def _keys(report: AuditReport) -> str:
    """Return a table of the keys with the most severe findings, the most spent first."""
    if not report.keys:
        return ""
    ranks: dict[str | None, int] = {}
    for finding in report.findings:
        ranks.setdefault(finding.hash, finding.severity.rank)  # the most severe come first
    worst = nsmallest(
        _MOST_KEYS, report.keys, lambda key: (-ranks.get(key.hash, -1), -key.usage_monthly)
    )
    title = f"{len(worst):,d} of {len(report.keys):,d} keys, the gravest first"
    headings = [name.replace("_", " ") for name in _COLUMNS]
    columns = columns_of(report, worst)
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    return html_table(headings, list(rows), title=title)
