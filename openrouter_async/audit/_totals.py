"""Sums over keys, at constant memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar

import attrs

from openrouter_async.models import APIKey

G = TypeVar("G", bound=Hashable)

DECIMALS: Final = 9
"""The service counts down to a billionth of a dollar."""


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
        remaining = key.limit_remaining
        self.keys += 1
        self.disabled += key.disabled
        self.expired += expired
        if key.limit is None:
            self.unlimited += 1
        else:
            self.limit += key.limit
        if remaining is not None:
            self.limit_remaining += remaining
            self.spent_in_window += key.spent_in_window or 0.0
            self.exhausted += remaining <= 0
            self.overspent += remaining < 0
        if not (key.disabled or expired or (remaining is not None and remaining <= 0)):
            self.active += 1
        self.usage += key.usage
        self.usage_daily += key.usage_daily
        self.usage_weekly += key.usage_weekly
        self.usage_monthly += key.usage_monthly
        self.byok_usage += key.byok_usage
        self.byok_usage_daily += key.byok_usage_daily
        self.byok_usage_weekly += key.byok_usage_weekly
        self.byok_usage_monthly += key.byok_usage_monthly

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
            for name in _FIGURES:
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
        return whole

    def to_dict(self) -> dict[str, Any]:
        """Give JSON-ready data without `now`; amounts are rounded to a billionth of a dollar."""
        figures = {name: getattr(self, name) for name in _FIGURES}
        return {
            name: round(value, DECIMALS) if isinstance(value, float) else value
            for name, value in figures.items()
        }


_FIGURES: Final = tuple(field.name for field in attrs.fields(Totals) if field.name != "now")
