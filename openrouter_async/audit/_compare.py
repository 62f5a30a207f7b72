"""What changed between two reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from openrouter_async import _money
from openrouter_async._converter import to_dict
from openrouter_async.audit._findings import Finding
from openrouter_async.audit._report import AuditReport, instant
from openrouter_async.models import APIKey

COMPARISON_SCHEMA: Final = 1
"""The version of `Comparison.to_dict()`."""


@attrs.frozen(kw_only=True)
class KeyChange:
    """One field of one key, before and after."""

    hash: str
    name: str
    """The newer one."""
    workspace_id: str | None
    """The newer one."""
    field: str
    """Such as `limit`, as `APIKey` has it."""
    old: str | float | bool | datetime | None
    new: str | float | bool | datetime | None


@attrs.frozen(kw_only=True)
class KeySpend:
    """What a key spent between the two reports, USD."""

    hash: str
    name: str
    workspace_id: str | None
    usage: float
    """Of the account's credits."""
    byok_usage: float
    """Of the owner's provider keys."""


@attrs.frozen(kw_only=True)
class Comparison:
    """What changed from an older report to a newer one.

    A key is said to be created or deleted only if both reports looked where it is. Without
    `complete` a key may have been missed by one of them.
    """

    old: datetime
    """When the older audit began (UTC)."""
    new: datetime
    """When the newer audit began (UTC)."""
    complete: bool
    """Whether both reports are."""
    created: Sequence[APIKey]
    deleted: Sequence[APIKey]
    """As they were."""
    enabled: Sequence[APIKey]
    disabled: Sequence[APIKey]
    limits: Sequence[KeyChange]
    """Changes of `limit`, `limit_reset` and `include_byok_in_limit`."""
    renamed: Sequence[KeyChange]
    moved: Sequence[KeyChange]
    """Changes of `workspace_id`."""
    expiries: Sequence[KeyChange]
    """Changes of `expires_at`."""
    spend: Sequence[KeySpend]
    """Keys that spent anything, the most first; what a deleted key spent at last is unknown."""
    usage: float
    """USD of the account's credits that all those spent."""
    byok_usage: float
    """USD of provider keys that all those spent."""
    findings_new: Sequence[Finding]
    findings_gone: Sequence[Finding]
    workspaces: Mapping[str, str]
    """Names by id, of both reports."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed, money spent included."""
        return not any(getattr(self, name) for name in _LISTS)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-ready data; `schema` is its version."""
        return {
            "schema": COMPARISON_SCHEMA,
            "old": instant(self.old),
            "new": instant(self.new),
            "complete": self.complete,
            "usage": self.usage,
            "byok_usage": self.byok_usage,
            "workspaces": [{"id": id_, "name": name} for id_, name in self.workspaces.items()],
            **{name: [to_dict(each) for each in getattr(self, name)] for name in _LISTS},
        }


_LISTS: Final = (
    "created", "deleted", "enabled", "disabled", "limits", "renamed", "moved", "expiries", "spend",
    "findings_new", "findings_gone",
)  # fmt: skip


def compare(old: AuditReport, new: AuditReport) -> Comparison:
    """Say what changed from one report to another; `AuditReport.load` reads saved ones."""
    before = {key.hash: key for key in old.keys}
    after = {key.hash: key for key in new.keys}
    both = [(before[hash], key) for hash, key in after.items() if hash in before]
    created = [key for key in new.keys if key.hash not in before and old.covers(key.workspace_id)]
    spend = sorted(_spend(both, created), key=lambda each: -(each.usage + each.byok_usage))
    return Comparison(
        old=old.started,
        new=new.started,
        complete=old.complete and new.complete,
        created=created,
        deleted=[key for key in old.keys if key.hash not in after and new.covers(key.workspace_id)],
        enabled=[key for was, key in both if was.disabled and not key.disabled],
        disabled=[key for was, key in both if key.disabled and not was.disabled],
        limits=_changes(both, "limit", "limit_reset", "include_byok_in_limit"),
        renamed=_changes(both, "name"),
        moved=_changes(both, "workspace_id"),
        expiries=_changes(both, "expires_at"),
        spend=spend,
        usage=_money.total(each.usage for each in spend),
        byok_usage=_money.total(each.byok_usage for each in spend),
        findings_new=_only_in(new, old),
        findings_gone=_only_in(old, new),
        workspaces={**old.workspaces, **new.workspaces},
    )


def _changes(both: Iterable[tuple[APIKey, APIKey]], *fields: str) -> list[KeyChange]:
    return [
        KeyChange(
            hash=key.hash,
            name=key.name,
            workspace_id=key.workspace_id,
            field=field,
            old=getattr(was, field),
            new=getattr(key, field),
        )
        for was, key in both
        for field in fields
        if _money.differ(getattr(was, field), getattr(key, field))
    ]


def _spend(both: Iterable[tuple[APIKey, APIKey]], created: Iterable[APIKey]) -> Iterable[KeySpend]:
    pairs: list[tuple[APIKey | None, APIKey]] = [*both, *((None, key) for key in created)]
    for was, key in pairs:
        usage = _money.difference(key.usage, was.usage if was else 0)
        byok = _money.difference(key.byok_usage, was.byok_usage if was else 0)
        if usage or byok:
            yield KeySpend(
                hash=key.hash,
                name=key.name,
                workspace_id=key.workspace_id,
                usage=usage,
                byok_usage=byok,
            )


def _only_in(report: AuditReport, other: AuditReport) -> list[Finding]:
    """Give the findings that the other report would have too, if nothing had changed."""
    known = set(map(_identity, other.findings))
    return [
        finding
        for finding in report.findings
        if _identity(finding) not in known and other.covers(finding.workspace_id)
    ]


def _identity(finding: Finding) -> tuple[str | None, ...]:
    place = finding.hash or finding.workspace_id
    return finding.rule, finding.severity, place
