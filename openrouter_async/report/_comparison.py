"""The changes between two audits, laid out for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.text import Text

from openrouter_async.audit import Comparison, Finding, KeyChange
from openrouter_async.models import APIKey
from openrouter_async.report._format import NOTHING, count, day, minute, plain, usd
from openrouter_async.report._tables import Grid, Heading, Part, details

_HASH: Final = 12
"""Digits of a hash, shown because names need not be unique."""


def comparison_parts(changed: Comparison, *, top: int | None) -> Iterator[Part]:
    """Yield the parts of the comparison; `top` is the number of rows per table, None for all."""
    yield Text(f"{minute(changed.old)} → {minute(changed.new)}", style="bold")
    if not changed.complete:
        yield Text("one of the audits is incomplete: keys may be missing", style="bold yellow")
    yield details(
        {
            "spent": f"{usd(changed.usage)} between the two, plus {usd(changed.byok_usage)} BYOK",
            "keys": ", ".join(
                f"{len(keys):,d} {word}"
                for word, keys in (
                    ("created", changed.created),
                    ("deleted", changed.deleted),
                    ("enabled", changed.enabled),
                    ("disabled", changed.disabled),
                )
            ),
            "findings": f"{len(changed.findings_new):,d} new, {len(changed.findings_gone):,d} gone",
        }
    )
    for title, keys in (
        ("created", changed.created),
        ("deleted", changed.deleted),
        ("enabled", changed.enabled),
        ("disabled", changed.disabled),
    ):
        yield from _table(title, _KEYS, [_key_cells(key, changed) for key in keys], top)
    fields = [*changed.limits, *changed.renamed, *changed.moved, *changed.expiries]
    yield from _table("changed", _FIELDS, [_field_cells(each, changed) for each in fields], top)
    spent = [
        [plain(each.name), usd(each.usage), usd(each.byok_usage), each.hash[:_HASH]]
        for each in changed.spend
    ]
    yield from _table("spent", _SPENT, spent, top)
    for title, findings in (
        ("new findings", changed.findings_new),
        ("findings no longer present", changed.findings_gone),
    ):
        yield from _table(title, _FINDINGS, [_finding_cells(each) for each in findings], top)
    if changed.is_empty:
        yield ""
        yield Text("nothing changed")


_KEYS: Final = (
    Heading(title="name", narrowest=12, rank=0),
    Heading(title="limit", right=True, rank=1),
    Heading(title="ever", right=True, rank=2),
    Heading(title="workspace", narrowest=10, rank=3),
    Heading(title="hash", rank=4),
)
_FIELDS: Final = (
    Heading(title="name", narrowest=12, rank=0),
    Heading(title="field", narrowest=8, rank=0),
    Heading(title="before", narrowest=8, rank=1),
    Heading(title="after", narrowest=8, rank=0),
    Heading(title="hash", rank=2),
)
_SPENT: Final = (
    Heading(title="name", narrowest=12, rank=0),
    Heading(title="spent", right=True, rank=0),
    Heading(title="BYOK", right=True, rank=1),
    Heading(title="hash", rank=2),
)
_FINDINGS: Final = (
    Heading(title="severity", judges=True, rank=0),
    Heading(title="rule", rank=0),
    Heading(title="name", narrowest=14, rank=0),
    Heading(title="what", narrowest=20, rank=1),
)


def _table(
    title: str, headings: Sequence[Heading], rows: Sequence[Sequence[str]], top: int | None
) -> Iterator[Part]:
    if not rows:
        return
    shown = rows if top is None else rows[:top]
    yield ""
    yield Text(f"{title.upper()} {len(rows):,d}", style="bold")
    yield Grid(headings, shown)
    if len(shown) < len(rows):
        yield Text(f"and {count(len(rows) - len(shown), 'more row')}", style="dim")


def _key_cells(key: APIKey, changed: Comparison) -> list[str]:
    limit = usd(key.limit) if key.limit is not None else NOTHING
    workspace = changed.workspaces.get(key.workspace_id or "", NOTHING)
    return [plain(key.name), limit, usd(key.usage), plain(workspace), key.hash[:_HASH]]


def _field_cells(change: KeyChange, changed: Comparison) -> list[str]:
    before, after = (_shown(value, change.field, changed) for value in (change.old, change.new))
    return [plain(change.name), change.field, before, after, change.hash[:_HASH]]


def _shown(value: str | float | datetime | None, field: str, changed: Comparison) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, datetime):
        return day(value)
    if field == "limit" and isinstance(value, (int, float)):
        return usd(value)
    if field == "workspace_id":
        return plain(changed.workspaces.get(str(value), str(value)))
    return plain(str(value))


def _finding_cells(finding: Finding) -> list[str]:
    name, what = plain(finding.name or NOTHING), plain(finding.sentence)
    return [str(finding.severity), finding.rule, name, what]
