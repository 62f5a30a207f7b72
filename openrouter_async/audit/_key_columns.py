"""Keys of a report as columns: their own fields, and values derived from keys and findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import attrs

from openrouter_async import _money
from openrouter_async.audit._findings import Finding
from openrouter_async.models import APIKey

if TYPE_CHECKING:
    from openrouter_async.audit._report import AuditReport

_KEY_FIELDS: Final = tuple(field.name for field in attrs.fields(APIKey))


def columns_of(report: AuditReport, keys: Sequence[APIKey]) -> dict[str, list[Any]]:
    """Return the columns of `report.rows()`, for some keys of the report."""
    found = findings_of(report, keys)
    findings = [found.get(key.hash, ()) for key in keys]
    spent = [key.spent_in_window for key in keys]
    return {
        **{name: list(map(attrgetter(name), keys)) for name in _KEY_FIELDS},
        "workspace": [report.workspaces.get(key.workspace_id or "") for key in keys],
        "state": [state_of(key, report.now) for key in keys],
        "spent_in_window": spent,
        "used": [_money.share(usd, key.limit) for usd, key in zip(spent, keys, strict=True)],
        "severity": [each[0].severity.value if each else None for each in findings],
        "findings": [" ".join(finding.rule for finding in each) for each in findings],
    }


def findings_of(
    report: AuditReport, keys: Iterable[APIKey]
) -> Mapping[str | None, Sequence[Finding]]:
    """Return `report.by_key()` for some keys only."""
    wanted: set[str | None] = {key.hash for key in keys}
    found: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        if finding.hash in wanted:
            found[finding.hash].append(finding)
    return found


def state_of(key: APIKey, now: datetime) -> str:
    """Return `active`, or those of `disabled`, `expired` and `exhausted` that apply."""
    reasons: list[str] = []
    if key.disabled:
        reasons.append("disabled")
    if key.is_expired(now):
        reasons.append("expired")
    if key.is_exhausted:
        reasons.append("exhausted")
    return " ".join(reasons) or "active"
