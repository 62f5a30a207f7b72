"""Keys that look like those of a real account: the same for the same seed and day.

All times are relative to the start (UTC) of the day on which the sandbox is made, so that a key
meant to be idle, expired or overspent is so on any day.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from openrouter_async.models import LimitReset
from openrouter_async.sandbox._account import (
    DEFAULT_WORKSPACE,
    OWNER,
    Account,
    StoredKey,
    window_start,
)

EXAMPLE_HASH: Final = "f01d52606dc8f0a8303a7b5cc3fa07109c2e346cec7c0a16b40de462992ce943"
"""The hash in the official examples."""

_SPAN: Final = timedelta(days=548)
"""Keys were created within this time before the start of the day."""
_RECORDED_SINCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The service does not record `last_used_at` for earlier use."""
_CREATORS: Final = (OWNER, *(f"user_2{name:0<26}" for name in (
    "fJq8TnKxWz", "gLm3RbYcHd", "hNs7VdAeJf", "iPt2XfCgLh", "jRv6ZhEiNk",
)), None)  # fmt: skip


@attrs.frozen(kw_only=True)
class Profile:
    """A kind of key; pairs are the ends of ranges from which values are drawn."""

    weight: int
    """Relative frequency."""
    share: tuple[float, float] | None = (0.02, 0.7)
    """Fraction of the limit spent in the current window; None: no limit."""
    last_use: tuple[int, int] | None = (0, 0)
    """Days since the last use; None: never used."""
    expires: tuple[int, int] | None = None
    """Days until it expires, negative in the past; None: never."""
    disabled: bool = False
    byok: bool = False
    external: bool = False
    min_age: int = 0
    """Minimum age in days."""


_USUAL: Final = Profile(weight=28, last_use=(0, 20))
# Profiles with a minimum age come first, because the first keys are the oldest.
PROFILES: Final = {
    "idle": Profile(weight=9, last_use=(100, 400), min_age=410),
    "expired": Profile(weight=6, last_use=(31, 60), expires=(-30, -1), min_age=70),
    "disabled": Profile(weight=8, last_use=(20, 200), disabled=True, min_age=210),
    "byok": Profile(weight=7, byok=True),
    "external": Profile(weight=8, last_use=(0, 3), external=True),
    "no limit": Profile(weight=9, share=None),
    "exhausted": Profile(weight=4, share=(1.0, 1.0)),
    "overspent": Profile(weight=3, share=(1.01, 1.3)),
    "near its limit": Profile(weight=6, share=(0.86, 0.99)),
    "usual": _USUAL,
    "expiring soon": Profile(weight=4, last_use=(0, 3), expires=(1, 6)),
    "never used": Profile(weight=8, last_use=None),
}
_KINDS: Final = tuple(PROFILES.values())
_WEIGHTS: Final = tuple(profile.weight for profile in _KINDS)
_LIMITS: Final = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)
_RESETS: Final = (None, *(reset.value for reset in LimitReset), LimitReset.MONTHLY.value)
_EARLIER: Final = (40, 3)
"""Every used key was also used this many days before its last use."""
_SERVICES: Final = (
    "agent", "batch-eval", "billing-bot", "chat-widget", "ci", "code-review", "docs-search",
    "email-triage", "ingest", "label-studio", "nightly-report", "notebook", "ocr", "playground",
    "rag-api", "recommender", "slack-bot", "summarizer", "support-bot", "translator",
)  # fmt: skip
_SUFFIXES: Final = ("dev", "eu", "load-test", "prod", "staging", "us", "v2")
_CUSTOMERS: Final = (
    "Alder Bank", "Blue Heron Travel", "Cedar Clinics", "Driftwood Games", "Ember Logistics",
    "Fable Books", "Granite Insurance", "Harbor Foods", "Iris Optics", "Juniper Legal",
    "Kestrel Air", "Lumen Energy", "Maple Schools", "Northwind Media", "Orchard Pay",
)  # fmt: skip
_PLANS: Final = ("pilot", "production", "team A", "team B", "trial")
_DEFAULT_SHARE: Final = 6
"""How many times more keys the default workspace has than any other one."""
_DUPLICATES: Final = 0.02
"""Probability of using a name again if it is taken."""


def fill(account: Account, keys: int, seed: int) -> None:
    """Add the key of the official examples, then `keys` others, oldest first."""
    now = account.now()
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    example = account.add(
        hash=EXAMPLE_HASH,
        name="My Production Key",
        workspace_id=DEFAULT_WORKSPACE,
        creator_user_id=OWNER,
        created_at=day - _SPAN - timedelta(days=1),
        limit=100,
        limit_reset="monthly",
    )
    example.spend(25.5, day)
    example.spend(17.38, day, byok=True)
    seeder = _Seeder(account, seed, now)
    for number in range(keys):
        created = day - _SPAN + _SPAN * ((number + seeder.random.random()) / keys)
        seeder.add_key(_to_milliseconds(created), _KINDS[number] if number < len(_KINDS) else None)


class _Seeder:
    """Draws random keys from one generator."""

    def __init__(self, account: Account, seed: int, now: datetime) -> None:
        self.random = random.Random(f"seeded {seed}")  # noqa: S311 - must be reproducible
        self._account = account
        self._now = now
        self._day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        default, *others = account.workspaces
        self._customers = next(w.id for w in account.workspaces.values() if w.slug == "customers")
        self._workspaces = (*[default] * _DEFAULT_SHARE, *others)
        self._names: Counter[str] = Counter()
        today = self._day.date()
        self._opened = {None: datetime.min.replace(tzinfo=UTC)} | {
            reset: self._day - (today - window_start(reset, today))
            for reset in set(_RESETS)
            if reset
        }
        """Start of the current window by kind of reset."""

    def add_key(self, created: datetime, profile: Profile | None) -> None:
        """Add a key; None draws a profile, and one that its age does not allow is replaced."""
        age = (self._day - created).days
        profile = profile or self.random.choices(_KINDS, _WEIGHTS)[0]
        if age < profile.min_age:
            profile = _USUAL
        workspace = self._customers if profile.external else self.random.choice(self._workspaces)
        key = self._account.add(
            hash=f"{self.random.getrandbits(256):064x}",
            name=self._name(customer=workspace == self._customers),
            workspace_id=workspace,
            creator_user_id=self.random.choice(_CREATORS),
            created_at=created,
            **self._settings(profile, created),
        )
        if profile.last_use is not None:
            last_use = min(self.random.randint(*profile.last_use), age)
            earlier = [last_use + days for days in _EARLIER if last_use + days <= age]
            self._spend(key, profile, [self._moment(days) for days in (*earlier, last_use)])

    def _settings(self, profile: Profile, created: datetime) -> dict[str, Any]:
        chance = self.random
        expires = updated = None
        if profile.expires:
            expires = self._day + timedelta(days=chance.randint(*profile.expires), seconds=-1)
        if profile.disabled or chance.random() < 0.4:
            updated = _to_milliseconds(created + (self._day - created) * chance.random())
        return {
            "disabled": profile.disabled,
            "limit": None if profile.share is None else chance.choice(_LIMITS),
            "limit_reset": None if profile.share is None else chance.choice(_RESETS),
            "include_byok_in_limit": profile.byok,
            "expires_at": expires,
            "updated_at": updated,
            "external_user": f"customer-{chance.randint(1, 9999)}" if profile.external else None,
        }

    def _spend(self, key: StoredKey, profile: Profile, moments: list[datetime]) -> None:
        """Spend at each moment, so that the current window's total matches the profile's share."""
        chance = self.random
        if key.limit is None or profile.share is None:
            target = 10 ** chance.uniform(-2, 3)
        else:
            target = key.limit * chance.uniform(*profile.share)
        opened = self._opened[key.limit_reset]
        counting = sum(moment >= opened for moment in moments) or len(moments)
        weights = [0.2 + chance.random() for _ in moments]
        weighed = sum(weights[-counting:])
        amounts = [round(target * weight / weighed, 6) for weight in weights]
        amounts[-1] = round(target - sum(amounts[-counting:-1]), 9)
        for moment, usd in zip(moments, amounts, strict=True):
            part = round(usd * 0.6, 6) if profile.byok else 0.0
            if part:
                key.spend(part, moment, byok=True)
            key.spend(usd - part, moment)
        if moments[-1] < _RECORDED_SINCE:
            key.last_used_at = None

    def _moment(self, days_ago: int) -> datetime:
        """Return a random time on that day; if today, early and not in the future."""
        if days_ago:
            return self._day + timedelta(days=-days_ago, seconds=int(self.random.random() * 86_400))
        return min(self._day + timedelta(seconds=int(self.random.random() * 600)), self._now)

    def _name(self, *, customer: bool) -> str:
        """Make up a name; a few are duplicates, as in real accounts."""
        first, second = (_CUSTOMERS, _PLANS) if customer else (_SERVICES, _SUFFIXES)
        gap = " " if customer else "-"
        name = f"{self.random.choice(first)}{gap}{self.random.choice(second)}"
        if name in self._names and self.random.random() < _DUPLICATES:
            return name
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}{gap}{self._names[name]}"


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
