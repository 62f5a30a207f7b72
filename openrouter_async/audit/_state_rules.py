"""Rules about expiry, state and use. Times are in days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import attrs

from openrouter_async.audit._findings import Figure, Remark, Severity, days, days_between, is_usable
from openrouter_async.audit._thresholds import number
from openrouter_async.models import APIKey

_RECORDED_SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The service has recorded `last_used_at` only since then."""


@attrs.frozen(kw_only=True)
class NoExpiry:
    """The key never expires."""

    id: str = attrs.field(default="no-expiry", init=False)
    severity: Severity = Severity.INFO

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.expires_at is None and is_usable(key, now):
            yield Remark("It does not expire.")


@attrs.frozen(kw_only=True)
class ExpiringSoon:
    """The key expires within `days` days."""

    id: str = attrs.field(default="expiring-soon", init=False)
    severity: Severity = Severity.WARNING
    days: float = number(7)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.expires_at is None or not is_usable(key, now):
            return
        left = days_between(now, key.expires_at)
        if left <= self.days:
            when = "within a day" if left <= 1 else f"in {days(left)}"
            figures: dict[str, Figure] = {
                "expires_at": key.expires_at.isoformat(),
                "days": round(left, 1),
            }
            yield Remark(f"It expires {when}.", figures)


@attrs.frozen(kw_only=True)
class Expired:
    """The key has expired and has not been deleted."""

    id: str = attrs.field(default="expired", init=False)
    severity: Severity = Severity.INFO

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.expires_at is not None and key.is_expired(now):
            ago = days_between(key.expires_at, now)
            figures: dict[str, Figure] = {
                "expires_at": key.expires_at.isoformat(),
                "days": round(ago, 1),
            }
            yield Remark(f"It expired {days(ago)} ago.", figures)


@attrs.frozen(kw_only=True)
class Disabled:
    """The key has been disabled; raising its limit does not enable it."""

    id: str = attrs.field(default="disabled", init=False)
    severity: Severity = Severity.INFO

    def check(self, key: APIKey, _now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.disabled:
            yield Remark("It is disabled.")


@attrs.frozen(kw_only=True)
class NeverUsed:
    """The key is at least `days` days old and has never been used."""

    id: str = attrs.field(default="never-used", init=False)
    severity: Severity = Severity.INFO
    days: float = number(7)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if key.last_used_at is not None or key.usage > 0 or key.byok_usage > 0:
            return
        age = days_between(key.created_at, now)
        if age >= self.days and is_usable(key, now):
            figures = {"days": round(age, 1)}
            yield Remark(f"It was never used since it was made {days(age)} ago.", figures)


@attrs.frozen(kw_only=True)
class Idle:
    """The key has been used, but not for `days` days."""

    id: str = attrs.field(default="idle", init=False)
    severity: Severity = Severity.WARNING
    days: float = number(90)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        if not is_usable(key, now):
            return
        last = key.last_used_at
        if last is None and (key.usage > 0 or key.byok_usage > 0):
            # Used before uses were recorded: the latest possible time, so idle for at least this.
            last = max(_RECORDED_SINCE, key.created_at)
        if last is not None and (idle := days_between(last, now)) >= self.days:
            yield Remark(f"It was not used for {days(idle)}.", {"days": round(idle, 1)})


@attrs.frozen(kw_only=True)
class Old:
    """The key is due to be rotated."""

    id: str = attrs.field(default="old", init=False)
    severity: Severity = Severity.INFO
    days: float = number(365)

    def check(self, key: APIKey, now: datetime) -> Iterator[Remark]:
        """Check one key."""
        age = days_between(key.created_at, now)
        if age >= self.days and is_usable(key, now):
            figures = {"days": round(age, 1)}
            yield Remark(f"It is {days(age)} old and due to be rotated.", figures)
