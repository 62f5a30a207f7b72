"""Count totals, duplicates and findings while an audit receives keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

import attrs

from openrouter_async import _money
from openrouter_async.audit._findings import Figure, Finding, Rule, Severity
from openrouter_async.audit._list_rules import MissingFromAccount
from openrouter_async.audit._policy import Policy, by_severity
from openrouter_async.models import APIKey

G = TypeVar("G", bound=Hashable)


def _present() -> datetime:
    return datetime.now(UTC)


@attrs.define(kw_only=True)
class Totals:
    """Counts and sums of keys as of `now`; amounts are USD.

    Disabled, expired and exhausted are independent: a key may be counted in each of them.
    """

    now: datetime = attrs.field(factory=_present)
    """The time that decides about `active` and `expired`; aware."""
    keys: int = 0
    active: int = 0
    """Neither disabled, nor expired, nor exhausted."""
    disabled: int = 0
    expired: int = 0
    exhausted: int = 0
    """With nothing left of their limit."""
    overspent: int = 0
    """With more spent than their limit allows; these are exhausted too."""
    unlimited: int = 0
    """Without a limit."""
    limit: float = 0.0
    """Sum of the limits, whatever their windows."""
    limit_remaining: float = 0.0
    """Sum of what is left of the limits, less what is overspent."""
    spent_in_window: float = 0.0
    """Sum of what has been spent of the limits in their current windows."""
    usage: float = 0.0
    """USD spent since the keys were created."""
    usage_daily: float = 0.0
    usage_weekly: float = 0.0
    usage_monthly: float = 0.0
    byok_usage: float = 0.0
    byok_usage_daily: float = 0.0
    byok_usage_weekly: float = 0.0
    byok_usage_monthly: float = 0.0

    def add(self, key: APIKey) -> None:
        """Count one more key."""
        expired = key.is_expired(self.now)
        exhausted = key.is_exhausted
        remaining = key.limit_remaining
        self.keys += 1
        self.disabled += key.disabled
        self.expired += expired
        self.exhausted += exhausted
        self.unlimited += key.limit is None
        self.active += not (key.disabled or expired or exhausted)
        self.limit = _money.added(self.limit, key.limit or 0.0)
        if remaining is not None:
            self.overspent += _money.is_more(0, remaining)
            self.limit_remaining = _money.added(self.limit_remaining, remaining)
            self.spent_in_window = _money.added(self.spent_in_window, key.spent_in_window or 0.0)
        for name in _USAGES:
            setattr(self, name, _money.added(getattr(self, name), getattr(key, name)))

    @classmethod
    def of(cls, keys: Iterable[APIKey], now: datetime | None = None) -> Self:
        """Sum up keys; `now` None: the present."""
        totals = cls(now=now or _present())
        for key in keys:
            totals.add(key)
        return totals

    @classmethod
    def grouped(
        cls, keys: Iterable[APIKey], by: Callable[[APIKey], G], now: datetime | None = None
    ) -> dict[G, Self]:
        """Sum up keys grouped by what `by` returns for each, in order of first appearance."""
        now = now or _present()
        groups: dict[G, Self] = {}
        for key in keys:
            group = by(key)
            if group not in groups:
                groups[group] = cls(now=now)
            groups[group].add(key)
        return groups

    @classmethod
    def merged(cls, parts: Iterable[Totals], now: datetime | None = None) -> Self:
        """Sum up totals of disjoint keys; `now` None: the present."""
        whole = cls(now=now or _present())
        for part in parts:
            for name in _COUNTS:
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
            for name in _AMOUNTS:
                setattr(whole, name, _money.added(getattr(whole, name), getattr(part, name)))
        return whole

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data without `now`; amounts are rounded to a billionth of a dollar."""
        return {name: getattr(self, name) for name in _COUNTS} | {
            name: _money.rounded(getattr(self, name)) for name in _AMOUNTS
        }


_COUNTS: Final = ("keys", "active", "disabled", "expired", "exhausted", "overspent", "unlimited")
_USAGES: Final = tuple(
    f"{kind}{window}"
    for kind in ("usage", "byok_usage")
    for window in ("", "_daily", "_weekly", "_monthly")
)
_AMOUNTS: Final = ("limit", "limit_remaining", "spent_in_window", *_USAGES)


@attrs.frozen(kw_only=True)
class Findings:
    """The findings of a ledger at one time."""

    findings: Sequence[Finding]
    counts: Mapping[str, int]
    severities: Mapping[Severity, int]
    skipped: Sequence[str]


class Ledger:
    """The totals and findings of the keys added so far; memory is constant if `keep` is false."""

    def __init__(self, policy: Policy, now: datetime, *, keep: bool) -> None:
        self.names: dict[str, str] = {}
        """Names of workspaces by ID."""
        self.keys = 0
        """Number of keys added."""
        self.findings = 0
        """Number of findings, excluding rules that need the whole list."""
        self.by_workspace: dict[str | None, Totals] = {}
        self.by_creator: dict[str | None, Totals] = {}
        self._policy = policy
        self._now = now
        self._keep = keep
        self._hashes: set[str] = set()
        self._unreadable: set[str] = set()
        self._found: list[Finding] = []
        self._counts: Counter[tuple[str, Severity]] = Counter()

    def add(self, key: APIKey) -> bool:
        """Add a key; return False if it was added before (detected only if keys are kept)."""
        if self._keep:
            if key.hash in self._hashes:
                return False
            self._hashes.add(key.hash)
        self.keys += 1
        workspace_id, creator = key.workspace_id, key.creator_user_id
        if workspace_id not in self.by_workspace:
            self.by_workspace[workspace_id] = Totals(now=self._now)
        if creator not in self.by_creator:
            self.by_creator[creator] = Totals(now=self._now)
        self.by_workspace[workspace_id].add(key)
        self.by_creator[creator].add(key)
        for finding in self._policy.check(
            key, self._now, workspace=self.names.get(workspace_id or "")
        ):
            self._record(finding)
        return True

    def notice(
        self,
        name: str,
        sentence: str,
        *,
        workspace_id: str | None = None,
        hash: str | None = None,
        **figures: Figure,
    ) -> None:
        """Add a finding of the walk itself, unless the policy has switched it off."""
        if hash is not None:
            self._unreadable.add(hash)
        notice = self._policy.notice(name)
        if notice is not None:
            self._record(
                Finding(
                    rule=name,
                    severity=notice.severity,
                    sentence=sentence,
                    hash=hash,
                    workspace_id=workspace_id,
                    workspace=self.names.get(workspace_id or ""),
                    figures=figures,
                )
            )

    def summarize(self, keys: Sequence[APIKey], *, complete: bool) -> Findings:
        """Return all findings, running the rules that need the whole list where possible."""
        runnable, skipped = self._runnable(complete=complete)
        late = [
            finding
            for finding in attrs.evolve(self._policy, rules=runnable).check_all(
                keys, self._now, workspaces=self.names
            )
            # A key that could not be read is there, so it is not missing from the account.
            if finding.hash not in self._unreadable
        ]
        counts = self._counts + Counter((each.rule, each.severity) for each in late)
        by_rule: Counter[str] = Counter()
        by_level: Counter[Severity] = Counter()
        for (rule_id, severity), count in counts.items():
            by_rule[rule_id] += count
            by_level[severity] += count
        return Findings(
            findings=by_severity([*self._found, *late], self._policy),
            counts=dict(by_rule.most_common()),
            severities={severity: by_level[severity] for severity in reversed(Severity)},
            skipped=skipped,
        )

    def _runnable(self, *, complete: bool) -> tuple[tuple[Rule, ...], list[str]]:
        """Return the list rules that can run, and the identifiers of those that cannot."""
        runnable: list[Rule] = []
        skipped: list[str] = []
        for rule in self._policy.list_rules:
            # In an incomplete list, a key that was not read would count as missing.
            if isinstance(rule, MissingFromAccount) and (rule.registry is None or not complete):
                skipped += [] if rule.registry is None else [rule.id]
            elif self._keep:
                runnable.append(rule)
            else:
                skipped.append(rule.id)
        return tuple(runnable), skipped

    def _record(self, finding: Finding) -> None:
        self.findings += 1
        self._counts[finding.rule, finding.severity] += 1
        # Without `keep`, findings about keys are only counted, so that memory stays constant.
        if self._keep or finding.hash is None:
            self._found.append(finding)
