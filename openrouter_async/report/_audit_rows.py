"""The rows of an audit for tables, CSV, NDJSON and HTML: totals, groups, keys, findings. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from openrouter_async._converter import to_dict
from openrouter_async.audit import NOTICES, RULES, AuditReport, Finding, Severity, Totals
from openrouter_async.audit._key_columns import findings_of
from openrouter_async.audit._report import report_document
from openrouter_async.models import APIKey
from openrouter_async.report._columns import KeyRow
from openrouter_async.report._format import count, minute, plain, usd

_WORDS: Final = re.compile(r"[-_./:\s]+")


def _pattern(row: KeyRow) -> str:
    """Return the part of a name before its first separator: `acme…` for `acme-prod-2`."""
    first = _WORDS.split(row.key.name.strip(), maxsplit=1)[0]
    return plain(first) + ("…" if len(first) < len(row.key.name.strip()) else "")


GROUPINGS: Final[Mapping[str, Callable[[KeyRow], str]]] = {
    "workspace": lambda row: plain(row.workspace or row.key.workspace_id or "default workspace"),
    "creator": lambda row: plain(row.key.creator_user_id or "unknown"),
    "name": _pattern,
    "external-user": lambda row: plain(row.key.external_user or "none"),
}
"""The group of a key, by the ways of grouping."""


@attrs.frozen(kw_only=True)
class Group:
    """The keys of an audit that share a workspace, creator, name or external user."""

    name: str
    totals: Totals
    severities: Mapping[Severity, int]
    """The number of its keys' findings by severity."""


def audit_rows(report: AuditReport, keys: Sequence[APIKey] | None = None) -> list[KeyRow]:
    """Return a row for each key, with its findings; `keys` None: all, in the report's order."""
    return list(each_row(report, report.keys if keys is None else keys))


def each_row(report: AuditReport, keys: Sequence[APIKey]) -> Iterator[KeyRow]:
    """Yield the rows of some keys of the report one by one, which saves memory."""
    found = findings_of(report, keys)
    for key in keys:
        yield _row(report, key, found.get(key.hash, ()))


def _row(report: AuditReport, key: APIKey, findings: Sequence[Finding] = ()) -> KeyRow:
    return KeyRow(
        key=key,
        now=report.now,
        workspace=report.workspaces.get(key.workspace_id or ""),
        severity=findings[0].severity if findings else None,
        findings=[finding.rule for finding in findings],
    )


def grouped(report: AuditReport, keys: Sequence[APIKey], by: str) -> list[Group]:
    """Group keys by one of `GROUPINGS`: the worst findings first, then the most spent."""
    # Names are resolved once per key: grouping, totals and findings all need them.
    group_of = {key.hash: GROUPINGS[by](_row(report, key)) for key in keys}
    totals = Totals.grouped(keys, lambda key: group_of[key.hash], report.now)
    found: dict[str, Counter[Severity]] = {name: Counter() for name in totals}
    for finding in report.findings:
        if finding.hash in group_of:
            found[group_of[finding.hash]][finding.severity] += 1
    groups = [Group(name=name, totals=totals[name], severities=found[name]) for name in totals]
    return sorted(groups, key=_urgency, reverse=True)


def _urgency(group: Group) -> tuple[float, ...]:
    found = group.severities
    return found[Severity.CRITICAL], found[Severity.WARNING], group.totals.usage_monthly


def by_urgency(rows: Sequence[KeyRow]) -> list[KeyRow]:
    """Sort rows: the most severe finding first, then the most spent this month."""
    return sorted(
        rows,
        key=lambda row: (row.severity.rank if row.severity else -1, row.key.usage_monthly),
        reverse=True,
    )


def keys_by_urgency(report: AuditReport) -> list[APIKey]:
    """Return the keys in the order of `by_urgency`, without their rows."""
    ranks: dict[str | None, int] = {}
    for finding in report.findings:
        ranks.setdefault(finding.hash, finding.severity.rank)  # the most severe come first
    return sorted(
        report.keys,
        key=lambda key: (ranks.get(key.hash, -1), key.usage_monthly),
        reverse=True,
    )


def by_rule(
    report: AuditReport, keys: Iterable[APIKey]
) -> dict[Severity, dict[str, list[Finding]]]:
    """Return findings by severity, the most severe first, and by rule, in the order of the keys."""
    place = {key.hash: number for number, key in enumerate(keys)}
    found: dict[Severity, dict[str, list[Finding]]] = {each: {} for each in reversed(Severity)}
    for finding in report.findings:
        found[finding.severity].setdefault(finding.rule, []).append(finding)
    for rules in found.values():
        for findings in rules.values():
            findings.sort(key=lambda each: place.get(each.hash or "", -1))
    return found


def headline(report: AuditReport) -> str:
    """Return one line on what was audited and whether the audit is complete."""
    where = f" in {count(len(report.workspaces), 'workspace')}" if report.workspaces else ""
    state = "complete" if report.complete else "INCOMPLETE"
    if report.partial:
        state = "PARTIAL, stopped before the end"
    return f"{count(report.totals.keys, 'key')}{where}: {state}"


def total_facts(report: AuditReport) -> dict[str, str]:
    """Return the totals as name and text."""
    totals = report.totals
    who = f", with {plain(report.by)}" if report.by else ""
    return {
        "audited": f"{minute(report.now)}, {report.seconds:.1f} s, "
        f"{count(report.requests, 'request')}{who}",
        "keys": f"{totals.active:,d} active, {totals.disabled:,d} disabled, "
        f"{totals.expired:,d} expired, {totals.exhausted:,d} exhausted",
        "limits": f"{usd(totals.limit)} in total, {usd(totals.limit_remaining)} left; "
        f"{count(totals.unlimited, 'key')} without a limit",
        "usage": f"{usd(totals.usage_daily)} today, {usd(totals.usage_weekly)} this week, "
        f"{usd(totals.usage_monthly)} this month, {usd(totals.usage)} ever",
        "BYOK usage": f"{usd(totals.byok_usage_daily)} today, "
        f"{usd(totals.byok_usage_weekly)} this week, "
        f"{usd(totals.byok_usage_monthly)} this month, {usd(totals.byok_usage)} ever",
        "findings": tally(report.severities),
    }


def explained(rule: str) -> str:
    """Return the first line of a rule's docstring; empty for a rule of the user's own."""
    notices = {notice.id: notice.doc for notice in NOTICES}
    doc = RULES[rule].__doc__ if rule in RULES else notices.get(rule)
    return (doc or "").partition("\n")[0]


def tally(severities: Mapping[Severity, int]) -> str:
    """Return the number of findings by severity in words."""
    critical, warnings, infos = (severities.get(each, 0) for each in reversed(Severity))
    return f"{critical:,d} critical, {count(warnings, 'warning')}, {infos:,d} info"


def audit_line(
    key: APIKey, findings: Iterable[Finding], workspaces: Mapping[str, str]
) -> dict[str, Any]:
    """Return a key and its findings for NDJSON, the most severe first.

    `workspaces` maps ids to names.
    """
    found = [
        {"rule": each.rule, "severity": each.severity.value, "sentence": each.sentence}
        for each in sorted(findings, key=lambda each: -each.severity.rank)
    ]
    workspace = workspaces.get(key.workspace_id or "")
    return {"type": "key", **to_dict(key), "workspace": workspace, "findings": found}


def audit_end(report: AuditReport) -> Iterator[dict[str, Any]]:
    """Yield the last lines of NDJSON: findings that belong to no listed key, then the totals."""
    keyed = {key.hash for key in report.keys}
    for finding in report.findings:
        if finding.hash not in keyed:
            yield {"type": "finding", **to_dict(finding)}
    document = report_document(report)
    for written in ("keys", "findings"):
        del document[written]
    yield {"type": "audit", **document}
