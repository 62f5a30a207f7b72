"""Rules about spending. Amounts are USD.

The fields are documented at
https://openrouter.ai/docs/guides/overview/auth/management-api-keys
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import attrs

from openrouter_async import _money
from openrouter_async.audit._findings import Remark, Severity, is_usable, money
from openrouter_async.audit._thresholds import number, percents
from openrouter_async.models import APIKey


@attrs.frozen(kw_only=True)
class NoLimit:
    """The key may spend all of the account's credits."""

    id: str = attrs.field(default="no-limit", init=False)
    severity: Severity = Severity.WARNING

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.limit is None and is_usable(key, now):
            yield Remark("It has no limit.", {"usage": key.usage})


@attrs.frozen(kw_only=True)
class NearLimit:
    """Spending has reached a threshold of the limit; a key at its limit is `exhausted` instead."""

    id: str = attrs.field(default="near-limit", init=False)
    severity: Severity = Severity.WARNING
    """Applies from `warn_from`; below that, findings are `info`."""
    thresholds: tuple[float, ...] = percents(50, 75, 90, 100)
    """Percent of the limit."""
    warn_from: float = number(90, most=100)
    """Percent of the limit."""

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        spent, limit = key.spent_in_window, key.limit
        share = _money.share(spent, limit)
        if share is None or spent is None or limit is None:
            return
        if key.is_exhausted or not is_usable(key, now):
            return
        reached = [each for each in self.thresholds if _money.reaches(spent, each, limit)]
        if reached:
            percent = _money.finite(100 * share)
            yield Remark(
                f"{money(spent)} of its limit of {money(limit)} are spent, {percent:.0f} %.",
                {
                    "spent": spent,
                    "limit": limit,
                    "percent": round(percent, 1),
                    "threshold": reached[-1],
                },
                severity=None if reached[-1] >= self.warn_from else Severity.INFO,
            )


@attrs.frozen(kw_only=True)
class Exhausted:
    """Nothing is left of the limit, so the service refuses the key until the limit resets."""

    id: str = attrs.field(default="exhausted", init=False)
    severity: Severity = Severity.WARNING

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.limit is not None and key.is_exhausted:
            until = f"until its {key.limit_reset} reset" if key.limit_reset else "for good"
            yield Remark(
                f"Its limit of {money(key.limit)} is used up {until}.",
                {"limit": key.limit, "remaining": key.limit_remaining, "reset": key.limit_reset},
            )


@attrs.frozen(kw_only=True)
class Overspent:
    """More has been spent in the window than the limit allows."""

    id: str = attrs.field(default="overspent", init=False)
    severity: Severity = Severity.CRITICAL
    tolerance: float = number(0)
    """USD above the limit that are tolerated."""

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Check one key."""
        spent = key.spent_in_window
        if spent is None or key.limit is None:
            return
        excess = _money.difference(spent, key.limit)
        if excess > 0 and _money.is_more(excess, self.tolerance):
            yield Remark(
                f"{money(excess)} more than its limit of {money(key.limit)} are spent.",
                {"spent": spent, "limit": key.limit, "excess": excess},
            )


@attrs.frozen(kw_only=True)
class ByokNotCounted:
    """The key's limit does not count its usage of the owner's provider keys (BYOK)."""

    id: str = attrs.field(default="byok-not-counted", init=False)
    severity: Severity = Severity.WARNING

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        uncounted = key.limit is not None and not key.include_byok_in_limit
        if uncounted and key.byok_usage > 0 and is_usable(key, now):
            yield Remark(
                f"Its limit does not count {money(key.byok_usage)} of provider keys (BYOK).",
                {"byok_usage": key.byok_usage, "byok_usage_monthly": key.byok_usage_monthly},
            )


@attrs.frozen(kw_only=True)
class Spike:
    """Today's spending is a multiple of the daily mean of this week's earlier days.

    Weeks begin on Monday (UTC); on a Monday the month's earlier days are used instead. Without any
    earlier day there is no finding.
    """

    id: str = attrs.field(default="spike", init=False)
    severity: Severity = Severity.WARNING
    factor: float = number(5, least=1)
    least: float = number(10)
    """USD; a day with less is never a finding."""

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        today = _money.total((key.usage_daily, key.byok_usage_daily))
        if _money.is_more(self.least, today):
            return
        usual = self._usual(key, now, today)
        if usual is None or _money.is_more(_money.finite(self.factor * usual), today):
            return
        times = (
            f", {_money.finite(today / usual):.0f} times the usual {money(usual)} a day"
            if usual
            else ""
        )
        yield Remark(
            f"{money(today)} are spent today{times or ', and nothing on earlier days'}.",
            {"today": today, "usual": usual},
        )

    def _usual(self, key: APIKey, now: datetime, today: float) -> float | None:
        """Return the mean of the earlier days (USD per day); None if there are none."""
        day = now.astimezone(UTC)
        week = _money.total((key.usage_weekly, key.byok_usage_weekly, -today))
        month = _money.total((key.usage_monthly, key.byok_usage_monthly, -today))
        earlier, days = (week, day.weekday()) if day.weekday() else (month, day.day - 1)
        # Days before the key existed would lower the mean.
        age = (day.date() - key.created_at.astimezone(UTC).date()).days
        days = min(days, age)
        return _money.rounded(max(earlier, 0.0) / days) if days > 0 else None
