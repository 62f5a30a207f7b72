"""The rules. Pure: what a rule says follows from the key, its own settings, and `now`.

Amounts are USD, times days. Rules of use (no limit, never used and the like) pass over keys that
are disabled or expired; the states disabled, expired and exhausted are told apart. What the
amounts mean: https://openrouter.ai/docs/guides/overview/auth/management-api-keys
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from openrouter_async.audit._findings import Figure, Remark, Rule, Severity
from openrouter_async.audit._settings import choice, number, percents
from openrouter_async.models import APIKey

_DECIMALS: Final = 9
"""The service counts down to a billionth of a dollar."""
_DAY: Final = timedelta(days=1)
_RECORDED_SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The service does not know of uses before this."""


def days_between(earlier: datetime, later: datetime) -> float:
    """Give the days from one instant to another."""
    return (later - earlier) / _DAY


def is_usable(key: APIKey, now: datetime) -> bool:
    """Say whether somebody could use the key, once its window has money again."""
    return not (key.disabled or key.is_expired(now))


def money(usd: float) -> str:
    """Write an amount for people."""
    return f"${usd:,.2f}" if abs(usd) >= 0.01 or not usd else f"${usd:.2g}"


def _days(count: float) -> str:
    whole = round(count)
    return f"{whole} day" if whole == 1 else f"{whole} days"


@attrs.frozen(kw_only=True)
class NoLimit:
    """The key may spend whatever the account has."""

    id: str = attrs.field(default="no-limit", init=False)
    severity: Severity = Severity.WARNING

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.limit is None and is_usable(key, now):
            yield Remark("It has no limit.", {"usage": key.usage})


@attrs.frozen(kw_only=True)
class NearLimit:
    """Of the limit's window, one of the thresholds is spent; at the whole it is `exhausted`."""

    id: str = attrs.field(default="near-limit", init=False)
    severity: Severity = Severity.WARNING
    """From `warn_from` on; below it findings are `info`."""
    thresholds: tuple[float, ...] = percents(50, 75, 90, 100)
    """Percent of the limit."""
    warn_from: float = number(90, most=100)
    """Percent of the limit."""

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        spent = key.spent_in_window
        if spent is None or not key.limit or key.is_exhausted or not is_usable(key, now):
            return
        percent = 100 * spent / key.limit
        if percent >= self.thresholds[0]:
            reached = [threshold for threshold in self.thresholds if percent >= threshold]
            yield Remark(
                f"{money(spent)} of its limit of {money(key.limit)} are spent, {percent:.0f} %.",
                {
                    "spent": spent,
                    "limit": key.limit,
                    "percent": round(percent, 1),
                    "threshold": reached[-1],
                },
                severity=None if reached[-1] >= self.warn_from else Severity.INFO,
            )


@attrs.frozen(kw_only=True)
class Exhausted:
    """Nothing is left of the limit, so that the key is refused until its window ends."""

    id: str = attrs.field(default="exhausted", init=False)
    severity: Severity = Severity.WARNING

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.limit is not None and key.is_exhausted:
            until = f"until its {key.limit_reset} reset" if key.limit_reset else "for good"
            yield Remark(
                f"Its limit of {money(key.limit)} is used up {until}.",
                {"limit": key.limit, "remaining": key.limit_remaining, "reset": key.limit_reset},
            )


@attrs.frozen(kw_only=True)
class Overspent:
    """More was spent in the window than the limit allows."""

    id: str = attrs.field(default="overspent", init=False)
    severity: Severity = Severity.CRITICAL
    tolerance: float = number(0)
    """USD above the limit that are no finding."""

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        spent = key.spent_in_window
        if spent is not None and key.limit is not None and spent - key.limit > self.tolerance:
            excess = round(spent - key.limit, _DECIMALS)
            yield Remark(
                f"{money(excess)} more than its limit of {money(key.limit)} are spent.",
                {"spent": spent, "limit": key.limit, "excess": excess},
            )


@attrs.frozen(kw_only=True)
class NoExpiry:
    """The key works until somebody ends it."""

    id: str = attrs.field(default="no-expiry", init=False)
    severity: Severity = Severity.INFO

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.expires_at is None and is_usable(key, now):
            yield Remark("It does not expire.")


@attrs.frozen(kw_only=True)
class ExpiringSoon:
    """The key ends within so many days."""

    id: str = attrs.field(default="expiring-soon", init=False)
    severity: Severity = Severity.WARNING
    days: float = number(7)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.expires_at is None or not is_usable(key, now):
            return
        left = days_between(now, key.expires_at)
        if left <= self.days:
            when = "within a day" if left <= 1 else f"in {_days(left)}"
            figures: dict[str, Figure] = {
                "expires_at": key.expires_at.isoformat(),
                "days": round(left, 1),
            }
            yield Remark(f"It expires {when}.", figures)


@attrs.frozen(kw_only=True)
class Expired:
    """The key ended and is still there."""

    id: str = attrs.field(default="expired", init=False)
    severity: Severity = Severity.INFO

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.expires_at is not None and key.is_expired(now):
            ago = days_between(key.expires_at, now)
            figures: dict[str, Figure] = {
                "expires_at": key.expires_at.isoformat(),
                "days": round(ago, 1),
            }
            yield Remark(f"It expired {_days(ago)} ago.", figures)


@attrs.frozen(kw_only=True)
class Disabled:
    """Somebody disabled the key; a higher limit does not enable it."""

    id: str = attrs.field(default="disabled", init=False)
    severity: Severity = Severity.INFO

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.disabled:
            yield Remark("It is disabled.")


@attrs.frozen(kw_only=True)
class NeverUsed:
    """The key exists for so many days and was never used."""

    id: str = attrs.field(default="never-used", init=False)
    severity: Severity = Severity.INFO
    days: float = number(7)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if key.last_used_at is not None or key.usage > 0 or key.byok_usage > 0:
            return
        age = days_between(key.created_at, now)
        if age >= self.days and is_usable(key, now):
            figures = {"days": round(age, 1)}
            yield Remark(f"It was never used since it was made {_days(age)} ago.", figures)


@attrs.frozen(kw_only=True)
class Idle:
    """The key was used, but not for so many days."""

    id: str = attrs.field(default="idle", init=False)
    severity: Severity = Severity.WARNING
    days: float = number(90)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if not is_usable(key, now):
            return
        last = key.last_used_at
        if last is None and (key.usage > 0 or key.byok_usage > 0):
            last = max(_RECORDED_SINCE, key.created_at)  # before that, nobody knows when
        if last is not None and (idle := days_between(last, now)) >= self.days:
            yield Remark(f"It was not used for {_days(idle)}.", {"days": round(idle, 1)})


@attrs.frozen(kw_only=True)
class Old:
    """The key is due to be rotated."""

    id: str = attrs.field(default="old", init=False)
    severity: Severity = Severity.INFO
    days: float = number(365)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        age = days_between(key.created_at, now)
        if age >= self.days and is_usable(key, now):
            figures = {"days": round(age, 1)}
            yield Remark(f"It is {_days(age)} old and due to be rotated.", figures)


@attrs.frozen(kw_only=True)
class ByokNotCounted:
    """The key's limit does not see what it spends of its owner's provider keys (BYOK)."""

    id: str = attrs.field(default="byok-not-counted", init=False)
    severity: Severity = Severity.WARNING

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        uncounted = key.limit is not None and not key.include_byok_in_limit
        if uncounted and key.byok_usage > 0 and is_usable(key, now):
            yield Remark(
                f"Its limit does not count {money(key.byok_usage)} of provider keys (BYOK).",
                {"byok_usage": key.byok_usage, "byok_usage_monthly": key.byok_usage_monthly},
            )


@attrs.frozen(kw_only=True)
class Spike:
    """Today's spending is so many times the daily mean of the week's earlier days.

    Weeks begin on Monday (UTC); on a Monday the month's earlier days stand in. Without any earlier
    day, there is nothing to compare with.
    """

    id: str = attrs.field(default="spike", init=False)
    severity: Severity = Severity.WARNING
    factor: float = number(5, least=1)
    least: float = number(10)
    """USD; a day with less is no finding."""

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        today = key.usage_daily + key.byok_usage_daily
        if today < self.least:
            return
        usual = self._usual(key, now, today)
        if usual is None or today < self.factor * usual:
            return
        times = f", {today / usual:.0f} times the usual {money(usual)} a day" if usual else ""
        yield Remark(
            f"{money(today)} are spent today{times or ', and nothing on earlier days'}.",
            {"today": round(today, _DECIMALS), "usual": round(usual, _DECIMALS)},
        )

    def _usual(self, key: APIKey, now: datetime, today: float) -> float | None:
        """Give the mean of the earlier days, USD a day; None where there are none."""
        day = now.astimezone(UTC)
        week = key.usage_weekly + key.byok_usage_weekly - today
        month = key.usage_monthly + key.byok_usage_monthly - today
        earlier, days = (week, day.weekday()) if day.weekday() else (month, day.day - 1)
        lived = (day.date() - key.created_at.astimezone(UTC).date()).days
        days = min(days, lived)
        return max(earlier, 0.0) / days if days > 0 else None


@attrs.frozen(kw_only=True)
class DuplicateName:
    """Several keys have one name, so that nobody can tell which is which."""

    id: str = attrs.field(default="duplicate-name", init=False)
    needs_all: bool = attrs.field(default=True, init=False)
    severity: Severity = Severity.INFO
    within: str = choice("account", "workspace")

    def check_all(self, keys: Sequence[APIKey], _now: datetime) -> Iterator[Remark]:
        """Look at all keys."""
        counts = Counter(map(self._place, keys))
        for key in keys:
            others = counts[self._place(key)] - 1
            if others:
                have = "Another key has" if others == 1 else f"{others} other keys have"
                yield Remark(f"{have} the same name.", {"others": others}, hash=key.hash)

    def _place(self, key: APIKey) -> tuple[str, str | None]:
        return key.name, key.workspace_id if self.within == "workspace" else None


@attrs.frozen(kw_only=True)
class NotInRegistry:
    """The account has a key that the registry of hashes does not know."""

    id: str = attrs.field(default="registry-unknown", init=False)
    severity: Severity = Severity.WARNING
    registry: frozenset[str] | None = attrs.field(default=None, repr=False)
    """Hashes; None: there is no registry, and nothing to say."""

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Look at one key."""
        if self.registry is not None and key.hash not in self.registry:
            yield Remark("It is not in the registry.")


@attrs.frozen(kw_only=True)
class MissingFromAccount:
    """The registry knows a hash that the account does not have."""

    id: str = attrs.field(default="registry-missing", init=False)
    needs_all: bool = attrs.field(default=True, init=False)
    severity: Severity = Severity.CRITICAL
    registry: frozenset[str] | None = attrs.field(default=None, repr=False)
    """Hashes; None: there is no registry, and nothing to say."""

    def check_all(self, keys: Sequence[APIKey], _now: datetime) -> Iterator[Remark]:
        """Look at all keys."""
        there = {key.hash for key in keys}
        for hash in sorted((self.registry or frozenset()) - there):
            yield Remark("It is in the registry, and not in the account.", hash=hash)


BUILT_IN: Final[tuple[Rule, ...]] = (
    NoLimit(), NearLimit(), Exhausted(), Overspent(), NoExpiry(), ExpiringSoon(), Expired(),
    Disabled(), NeverUsed(), Idle(), Old(), ByokNotCounted(), Spike(), DuplicateName(),
    NotInRegistry(), MissingFromAccount(),
)  # fmt: skip
"""Every rule with its defaults, in the order in which findings of one severity are told."""
