"""A report as a notebook shows it: what it is about, what was found, which keys need a look."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from openrouter_async._html_table import html_table
from openrouter_async.audit._phrases import money

if TYPE_CHECKING:
    from openrouter_async.audit._report import AuditReport

_MOST_KEYS: Final = 20
_COLUMNS: Final = (
    "severity", "name", "workspace", "state", "limit", "used", "usage_monthly", "usage",
    "last_used_at", "expires_at", "findings",
)  # fmt: skip


def report_html(report: AuditReport) -> str:
    """Lay the report out."""
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
    """Show the keys with the gravest findings, of these the ones that spent most this month."""
    if not report.keys:
        return ""
    ranks = {hash: found[0].severity.rank for hash, found in report.by_key().items()}
    rows = sorted(
        report.rows(), key=lambda row: (-ranks.get(row["hash"], -1), -row["usage_monthly"])
    )
    title = f"{min(_MOST_KEYS, len(rows)):,d} of {len(rows):,d} keys, the gravest first"
    headings = [name.replace("_", " ") for name in _COLUMNS]
    shown = [[row[name] for name in _COLUMNS] for row in rows[:_MOST_KEYS]]
    return html_table(headings, shown, title=title)
