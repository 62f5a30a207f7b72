"""What an audit has seen so far: keys, totals, findings. Pure: it knows of no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from openrouter_async.audit._findings import Figure, Finding, Rule, Severity
from openrouter_async.audit._list_rules import MissingFromAccount
from openrouter_async.audit._policy import Policy, by_severity
from openrouter_async.audit._totals import Totals
from openrouter_async.models import APIKey


@attrs.frozen(kw_only=True)
class Verdict:
    """The findings of a ledger at one moment."""

    findings: Sequence[Finding]
    counts: Mapping[str, int]
    severities: Mapping[Severity, int]
    skipped: Sequence[str]


class Ledger:
    """Takes keys one by one; its memory is constant when it does not keep them."""

    def __init__(self, policy: Policy, now: datetime, *, keep: bool) -> None:
        self.names: dict[str, str] = {}
        """Names of workspaces by id."""
        self.keys = 0
        """How many keys were taken."""
        self.findings = 0
        """How many findings there are, without those of rules that need the whole list."""
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
        """Take a key; False for one that was taken before (if keys are kept)."""
        if self._keep:
            if key.hash in self._hashes:
                return False
            self._hashes.add(key.hash)
        self.keys += 1
        home, creator = key.workspace_id, key.creator_user_id
        if home not in self.by_workspace:
            self.by_workspace[home] = Totals(now=self._now)
        if creator not in self.by_creator:
            self.by_creator[creator] = Totals(now=self._now)
        self.by_workspace[home].add(key)
        self.by_creator[creator].add(key)
        for finding in self._policy.check(key, self._now, workspace=self.names.get(home or "")):
            self._note(finding)
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
        """Add what the walk itself has found, unless the policy switched that off."""
        if hash is not None:
            self._unreadable.add(hash)
        notice = self._policy.notice(name)
        if notice is not None:
            self._note(
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

    def verdict(self, keys: Sequence[APIKey], *, complete: bool) -> Verdict:
        """Give all findings, with those of rules that need the whole list where they can run."""
        runnable, skipped = self._runnable(complete=complete)
        late = [
            finding
            for finding in attrs.evolve(self._policy, rules=runnable).check_all(
                keys, self._now, workspaces=self.names
            )
            if finding.hash not in self._unreadable
        ]
        counts = self._counts + Counter((each.rule, each.severity) for each in late)
        by_rule: Counter[str] = Counter()
        by_level: Counter[Severity] = Counter()
        for (rule_id, severity), count in counts.items():
            by_rule[rule_id] += count
            by_level[severity] += count
        return Verdict(
            findings=by_severity([*self._found, *late], self._policy),
            counts=dict(by_rule.most_common()),
            severities={severity: by_level[severity] for severity in reversed(Severity)},
            skipped=skipped,
        )

    def _runnable(self, *, complete: bool) -> tuple[tuple[Rule, ...], list[str]]:
        """Tell the rules that can see all keys from those that cannot, though they should."""
        runnable: list[Rule] = []
        skipped: list[str] = []
        for rule in self._policy.list_rules:
            if isinstance(rule, MissingFromAccount) and (rule.registry is None or not complete):
                skipped += [] if rule.registry is None else [rule.id]
            elif self._keep:
                runnable.append(rule)
            else:
                skipped.append(rule.id)
        return tuple(runnable), skipped

    def _note(self, finding: Finding) -> None:
        self.findings += 1
        self._counts[finding.rule, finding.severity] += 1
        if self._keep or finding.hash is None:
            self._found.append(finding)
