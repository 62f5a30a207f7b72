"""An audit laid out for a terminal: headline, totals, groups, keys and findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.rule import Rule
from rich.text import Text

from openrouter_async.audit import AuditReport, Finding, Severity
from openrouter_async.models import APIKey
from openrouter_async.report._audit_rows import (
    Group,
    audit_rows,
    by_rule,
    explained,
    grouped,
    headline,
    tally,
    total_facts,
)
from openrouter_async.report._columns import Column
from openrouter_async.report._format import NOTHING, count, plain, usd
from openrouter_async.report._tables import STYLES, Grid, Heading, Part, details, key_grid

_MAX_GROUPS: Final = 12
_MAX_PER_RULE: Final = 5
_NAME: Final = 26
_SENTENCE: Final = 62
"""Widths that a key's name and a finding's sentence get before workspace and hash get any."""
_ROOM_FOR_HASHES: Final = 160
"""Width of the terminal from which findings show whole hashes."""


def audit_parts(
    report: AuditReport,
    keys: Sequence[APIKey],
    columns: Sequence[Column],
    *,
    group_by: str | None,
    top: int | None,
    width: int,
) -> Iterator[Part]:
    """Yield the parts of the report; `keys` are all its keys, in the order of the table.

    `top` is the number of keys to show, None for everything.
    """
    style = "bold" if report.complete else "bold yellow"
    yield Text(headline(report), style=style)
    yield details(total_facts(report))
    for failure in report.errors:
        place = plain(failure.workspace or failure.workspace_id or "default workspace")
        yield Text(f"{place}: {plain(failure.message)}", style="bold red")
    if keys and group_by is not None:
        yield from _groups(grouped(report, keys, group_by), group_by, everything=top is None)
    if keys and top != 0:
        yield ""
        yield key_grid(audit_rows(report, keys[:top]), columns)
        yield from _more(0 if top is None else len(keys) - top, "key")
    for severity, found in by_rule(report, keys).items():
        yield from _findings(found, severity, everything=top is None, width=width)
    yield ""
    yield Text(f"{tally(report.severities)}{'; PARTIAL' if report.partial else ''}", style=style)


def _groups(groups: Sequence[Group], by: str, *, everything: bool) -> Iterator[Part]:
    shown = groups if everything else groups[:_MAX_GROUPS]
    headings = [
        Heading(title=by.replace("-", " "), narrowest=16),
        Heading(title="keys", right=True, rank=2),
        Heading(title="active", right=True, rank=5),
        Heading(title="critical", right=True, rank=3),
        Heading(title="warning", right=True, rank=4),
        Heading(title="month", right=True, rank=6),
        Heading(title="ever", right=True, rank=7),
        Heading(title="limits", right=True, rank=8),
        Heading(title="without", right=True, rank=9),
    ]
    yield ""
    yield Grid(headings, [_group_cells(group) for group in shown])
    yield from _more(len(groups) - len(shown), "group")


def _group_cells(group: Group) -> list[str]:
    totals = group.totals
    numbers = (
        totals.keys,
        totals.active,
        group.severities.get(Severity.CRITICAL, 0),
        group.severities.get(Severity.WARNING, 0),
    )
    amounts = (totals.usage_monthly, totals.usage, totals.limit)
    return [
        group.name,
        *(f"{number:,d}" for number in numbers),
        *map(usd, amounts),
        f"{totals.unlimited:,d}",
    ]


def _findings(
    found: dict[str, list[Finding]], severity: Severity, *, everything: bool, width: int
) -> Iterator[Part]:
    if not found:
        return
    number = sum(map(len, found.values()))
    title = Text(f"{severity.upper()} {number:,d}", style=STYLES[severity])
    yield ""
    yield Rule(title, align="left", style="dim")
    if severity is Severity.INFO and not everything:
        yield _tally_grid(found)
        return
    for rule, findings in found.items():
        shown = findings if everything else findings[:_MAX_PER_RULE]
        heading = Text.assemble((plain(rule), "bold"), f" {len(findings):,d}  ")
        heading.append(explained(rule), style="dim")
        heading.truncate(width, overflow="ellipsis")
        yield heading
        yield _finding_grid(shown, whole_hash=width >= _ROOM_FOR_HASHES)
        yield from _more(len(findings) - len(shown), "finding", indent=2)


def _tally_grid(found: dict[str, list[Finding]]) -> Grid:
    headings = [
        Heading(title="rule"),
        Heading(title="findings", right=True),
        Heading(title="what", narrowest=20, rank=2),
    ]
    rows = [
        [plain(rule), f"{len(findings):,d}", explained(rule)] for rule, findings in found.items()
    ]
    return Grid(headings, rows, bare=True)


def _finding_grid(findings: Sequence[Finding], *, whole_hash: bool) -> Grid:
    headings = [
        Heading(title="key", narrowest=14, claim=_NAME, rank=0),
        Heading(title="what", narrowest=20, claim=_SENTENCE, cut_last=True, rank=0),
        Heading(title="workspace", narrowest=10, rank=3),
        Heading(title="hash", rank=4),
    ]
    rows = [
        [
            plain(finding.name or NOTHING),
            plain(finding.sentence),
            plain(finding.workspace or NOTHING),
            _hash(finding.hash, whole=whole_hash),
        ]
        for finding in findings
    ]
    return Grid(headings, rows, bare=True, indent=2)


def _hash(hash: str | None, *, whole: bool) -> str:
    if hash is None:
        return NOTHING
    return plain(hash) if whole else f"{plain(hash)[:12]}…"


def _more(number: int, noun: str, indent: int = 0) -> Iterator[Part]:
    if number > 0:
        yield Text(f"{' ' * indent}and {count(number, f'more {noun}')}", style="dim")
