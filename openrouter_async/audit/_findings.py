"""What an audit says: remarks by rules, and the findings that they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import attrs

from openrouter_async import _money
from openrouter_async.errors import ConfigurationError
from openrouter_async.models import APIKey

Figure: TypeAlias = str | float | bool | None
"""A value that a finding rests on: USD, days, percent, a name or an ISO 8601 instant."""


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Somebody should look at it."""
    CRITICAL = "critical"
    """Somebody should act."""

    @property
    def rank(self) -> int:
        """0 for `info`, 1 for `warning`, 2 for `critical`: what to compare and sort by."""
        return _RANKS[self]


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


def severity_of(word: object) -> Severity:
    """Read a severity; raises `ConfigurationError`."""
    if isinstance(word, Severity):
        return word
    if isinstance(word, str) and word in _RANKS:
        return Severity(word)
    raise ConfigurationError("severity must be info, warning or critical")


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that a rule, or the walk itself, has found."""

    rule: str
    """The rule's identifier, such as `no-limit`."""
    severity: Severity = attrs.field(converter=severity_of)
    sentence: str
    """What is the matter; it does not name the key."""
    hash: str | None = None
    """The key's hash; None: it is about no single key."""
    name: str | None = None
    """The key's name; None where the key could not be read."""
    workspace_id: str | None = None
    workspace: str | None = None
    """The workspace's name; None where it is not known."""
    figures: Mapping[str, Figure] = attrs.field(factory=dict[str, Figure])
    """The values that the sentence rests on."""


@attrs.frozen
class Remark:
    """What a rule says of a key; rule, severity and key are added to make a `Finding`."""

    sentence: str
    figures: Mapping[str, Figure] = attrs.field(factory=dict[str, Figure])
    severity: Severity | None = attrs.field(default=None, kw_only=True)
    """None: the rule's."""
    hash: str | None = attrs.field(default=None, kw_only=True)
    """For rules that see all keys: which key it is about; None: none of those that are there."""


class KeyRule(Protocol):
    """A rule that looks at one key; it runs while keys stream."""

    @property
    def id(self) -> str:
        """What policies and findings call it, in kebab-case."""
        ...

    @property
    def severity(self) -> Severity:
        """What its findings have unless a remark says otherwise."""
        ...

    def check(self, key: APIKey, now: datetime, /) -> Iterable[Remark]:
        """Describe what is the matter with the key as of `now` (aware)."""
        ...


class ListRule(Protocol):
    """A rule that needs the whole list (`needs_all`); it runs at the end."""

    @property
    def id(self) -> str:
        """What policies and findings call it, in kebab-case."""
        ...

    @property
    def severity(self) -> Severity:
        """What its findings have unless a remark says otherwise."""
        ...

    @property
    def needs_all(self) -> bool:
        """True."""
        ...

    def check_all(self, keys: Sequence[APIKey], now: datetime, /) -> Iterable[Remark]:
        """Describe what is the matter with the keys as of `now` (aware)."""
        ...


Rule: TypeAlias = KeyRule | ListRule
"""Any object with these members is a rule; the built-in ones are frozen attrs classes."""


_DAY: Final = timedelta(days=1)


def is_usable(key: APIKey, now: datetime) -> bool:
    """Return whether somebody could use the key, once its window has money again."""
    return not (key.disabled or key.is_expired(now))


def days_between(earlier: datetime, later: datetime) -> float:
    """Return the days from one instant to another."""
    return (later - earlier) / _DAY


def days(count: float) -> str:
    """Write a number of days for people."""
    whole = round(count)
    return f"{whole} day" if whole == 1 else f"{whole} days"


def money(usd: float) -> str:
    """Write an amount for people."""
    return f"${_money.written(usd)}" if abs(usd) >= 0.01 or not usd else f"${usd:.2g}"
