"""Remarks made by rules, and the findings that they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import attrs

from openrouter_async import _money
from openrouter_async.errors import ConfigurationError
from openrouter_async.models import APIKey

Figure: TypeAlias = str | int | float | bool | None
"""A value that a finding is based on: USD, days, percent, a name or an ISO 8601 time."""


class Severity(StrEnum):
    """Severity of a finding."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Worth a look."""
    CRITICAL = "critical"
    """Needs action."""

    @property
    def rank(self) -> int:
        """0 for `info`, 1 for `warning`, 2 for `critical`; for comparing and sorting."""
        return _RANKS[self]


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


def severity_of(word: object) -> Severity:
    """Parse a severity; raises `ConfigurationError`."""
    if isinstance(word, Severity):
        return word
    if isinstance(word, str) and word in _RANKS:
        return Severity(word)
    raise ConfigurationError("severity must be info, warning or critical")


@attrs.frozen(kw_only=True)
class Finding:
    """A problem or a fact that a rule, or the walk itself, has found."""

    rule: str
    """The rule's identifier, such as `no-limit`."""
    severity: Severity = attrs.field(converter=severity_of)
    sentence: str
    """Describes the finding without naming the key."""
    hash: str | None = None
    """The key's hash; None: the finding is not about a single key."""
    name: str | None = None
    """The key's name; None if the key could not be read."""
    workspace_id: str | None = None
    workspace: str | None = None
    """The workspace's name; None if it is unknown."""
    figures: Mapping[str, Figure] = attrs.field(factory=dict[str, Figure])
    """The values that the sentence is based on."""


@attrs.frozen
class Remark:
    """A rule's remark about a key, which becomes a `Finding` with the rule, severity and key."""

    sentence: str
    figures: Mapping[str, Figure] = attrs.field(factory=dict[str, Figure])
    severity: Severity | None = attrs.field(default=None, kw_only=True)
    """None: the rule's severity."""
    hash: str | None = attrs.field(default=None, kw_only=True)
    """For rules that see all keys: the hash of the key in question; None: no single key."""


class KeyRule(Protocol):
    """A rule that checks one key at a time; it runs while keys are streamed."""

    @property
    def id(self) -> str:
        """The identifier in policies and findings, in kebab-case."""
        ...

    @property
    def severity(self) -> Severity:
        """The severity of its findings, unless a remark has its own."""
        ...

    def check(self, key: APIKey, now: datetime, /) -> Iterable[Remark]:
        """Yield remarks about the key as of `now` (aware)."""
        ...


class ListRule(Protocol):
    """A rule that needs the whole list (`needs_all`); it runs at the end."""

    @property
    def id(self) -> str:
        """The identifier in policies and findings, in kebab-case."""
        ...

    @property
    def severity(self) -> Severity:
        """The severity of its findings, unless a remark has its own."""
        ...

    @property
    def needs_all(self) -> bool:
        """True, which marks the rule as needing the whole list."""
        ...

    def check_all(self, keys: Sequence[APIKey], now: datetime, /) -> Iterable[Remark]:
        """Yield remarks about the keys as of `now` (aware)."""
        ...


Rule: TypeAlias = KeyRule | ListRule
"""Any object with these members is a rule; the built-in ones are frozen attrs classes."""


_DAY: Final = timedelta(days=1)


def is_usable(key: APIKey, now: datetime) -> bool:
    """Return whether the key is usable; an exhausted key is, from its next reset on."""
    return not (key.disabled or key.is_expired(now))


def days_between(earlier: datetime, later: datetime) -> float:
    """Return the number of days from one time to another."""
    return (later - earlier) / _DAY


def days(count: float) -> str:
    """Format a number of days."""
    whole = round(count)
    return f"{whole} day" if whole == 1 else f"{whole} days"


def money(usd: float) -> str:
    """Format an amount in USD."""
    return f"${_money.written(usd)}" if abs(usd) >= 0.01 or not usd else f"${usd:.2g}"
