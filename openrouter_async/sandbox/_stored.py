"""One key as the account stores it, and what it spent. Amounts are USD, instants aware UTC."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import attrs

from openrouter_async import _money
from openrouter_async.models import APIKey, Budget, LimitReset


def window_start(window: str, day: date) -> date:
    """Give the first day (UTC) of the `daily`, `weekly` or `monthly` window that `day` is in.

    Weeks begin on Monday. https://openrouter.ai/docs/guides/overview/auth/management-api-keys
    """
    if window == LimitReset.WEEKLY:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if window == LimitReset.MONTHLY else day


def next_window(window: str, day: date) -> date:
    """Give the day (UTC) on whose first instant the window that `day` is in has ended."""
    start = window_start(window, day)
    if window == LimitReset.MONTHLY:
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if window == LimitReset.WEEKLY else 1)


@attrs.define
class Meter:
    """USD spent since the key exists, and in the windows that the last spending fell into."""

    total: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0
    monthly: float = 0.0
    day: date | None = None
    """The day (UTC) of the last spending; None: nothing was spent yet."""

    def spent(self, window: str | None, today: date) -> float:
        """Give the USD spent in a window as of `today`; None as window: since the key exists."""
        if window is None:
            return self.total
        if self.day is None or self.day < window_start(window, today):
            return 0.0
        if window == LimitReset.DAILY:
            return self.daily
        return self.weekly if window == LimitReset.WEEKLY else self.monthly

    def add(self, usd: float, today: date) -> None:
        if self.day != today:
            self.daily, self.weekly, self.monthly = (
                self.spent(window, today) for window in ("daily", "weekly", "monthly")
            )
            self.day = today
        self.daily = _money.total((self.daily, usd))
        self.weekly = _money.total((self.weekly, usd))
        self.monthly = _money.total((self.monthly, usd))
        self.total = _money.total((self.total, usd))


@attrs.define(kw_only=True, eq=False)
class StoredKey:
    """A key without its plaintext; fields that the service shows have the service's names."""

    number: int
    """Counts up with each key: the order in which they were made."""
    hash: str
    name: str
    label: str
    workspace_id: str
    creator_user_id: str | None
    created_at: datetime
    disabled: bool = False
    limit: float | None = None
    limit_reset: str | None = None
    include_byok_in_limit: bool = False
    expires_at: datetime | None = None
    updated_at: datetime | None = None
    external_user: str | None = None
    last_used_at: datetime | None = None
    paid: Meter = attrs.field(factory=Meter)
    """What was paid from the account's paid."""
    byok: Meter = attrs.field(factory=Meter)
    """What providers billed for the caller's own provider keys."""

    def spend(self, usd: float, now: datetime, *, byok: bool = False) -> None:
        (self.byok if byok else self.paid).add(usd, now.date())
        self.last_used_at = now

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def spent_in_window(self, today: date) -> float:
        """Give the USD that count against the limit in the current window of `limit_reset`."""
        paid = self.paid.spent(self.limit_reset, today)
        byok = self.byok.spent(self.limit_reset, today) if self.include_byok_in_limit else 0.0
        return _money.total((paid, byok))

    def remaining(self, today: date) -> float | None:
        """Give the USD left in the current window, negative when overspent; None: no limit."""
        spent = self.spent_in_window(today)
        if self.limit is None or not spent:
            return self.limit
        return _money.difference(self.limit, spent)

    def record(self, now: datetime) -> APIKey:
        """Describe the key as of `now`."""
        today = now.date()
        paid, byok = self.paid, self.byok
        return APIKey(
            hash=self.hash,
            name=self.name,
            label=self.label,
            disabled=self.disabled,
            include_byok_in_limit=self.include_byok_in_limit,
            usage=paid.total,
            usage_daily=paid.spent("daily", today),
            usage_weekly=paid.spent("weekly", today),
            usage_monthly=paid.spent("monthly", today),
            byok_usage=byok.total,
            byok_usage_daily=byok.spent("daily", today),
            byok_usage_weekly=byok.spent("weekly", today),
            byok_usage_monthly=byok.spent("monthly", today),
            created_at=self.created_at,
            limit=self.limit,
            limit_remaining=self.remaining(today),
            limit_reset=self.limit_reset,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
            creator_user_id=self.creator_user_id,
            workspace_id=self.workspace_id,
            external_user=self.external_user,
            last_used_at=self.last_used_at,
        )

    def budget(self, now: datetime) -> Budget | None:
        """Describe the limit as `GET /key` does; None without a limit."""
        remaining = self.remaining(now.date())
        if self.limit is None or remaining is None:
            return None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        wait = next_window(self.limit_reset, now.date()) - now.date() if self.limit_reset else None
        return Budget(
            scope="key_limit",
            limit_usd=self.limit,
            spend_usd=self.spent_in_window(now.date()),
            remaining_usd=remaining,
            reset_interval=self.limit_reset,
            resets_at=None if wait is None else midnight + wait,
            include_byok=self.include_byok_in_limit,
        )
