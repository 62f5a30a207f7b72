"""What several rules say and ask alike."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from openrouter_async import _money
from openrouter_async.models import APIKey

_DAY: Final = timedelta(days=1)


def is_usable(key: APIKey, now: datetime) -> bool:
    """Say whether somebody could use the key, once its window has money again."""
    return not (key.disabled or key.is_expired(now))


def days_between(earlier: datetime, later: datetime) -> float:
    """Give the days from one instant to another."""
    return (later - earlier) / _DAY


def days(count: float) -> str:
    """Write a number of days for people."""
    whole = round(count)
    return f"{whole} day" if whole == 1 else f"{whole} days"


def money(usd: float) -> str:
    """Write an amount for people."""
    return f"${_money.written(usd)}" if abs(usd) >= 0.01 or not usd else f"${usd:.2g}"
