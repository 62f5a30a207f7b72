"""Sums over keys, at constant memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

import attrs

from openrouter_async import _money
from openrouter_async.models import APIKey

G = TypeVar("G", bound=Hashable)


def _present() -> datetime:
    return datetime.now(UTC)


@attrs.define(kw_only=True)
class Totals:
    """Counts and sums of keys as of `now`; amounts are USD.

    Disabled, expired and exhausted are three things: a key may be counted in each of them.
    """

    now: datetime = attrs.field(factory=_present)
    """What `active` and `expired` are told by; aware."""
    keys: int = 0
    active: int = 0
    """Neither disabled, nor expired, nor exhausted."""
    disabled: int = 0
    expired: int = 0
    exhausted: int = 0
    """Of their limit nothing is left, or less."""
    overspent: int = 0
    """More is spent than their limit allows; these are exhausted too."""
    unlimited: int = 0
    """Without a limit."""
    limit: float = 0.0
    """Sum of the limits, whatever their windows."""
    limit_remaining: float = 0.0
    """Sum of what is left of the limits; what is overspent counts against it."""
    spent_in_window: float = 0.0
    """Sum of what is spent of the limits."""
    usage: float = 0.0
    """USD since the keys exist."""
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
        """Sum up keys by what `by` says of each, in the order of first appearance."""
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
        """Give JSON-ready data without `now`; amounts are rounded to a billionth of a dollar."""
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
