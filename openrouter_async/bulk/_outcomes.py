"""Items of a bulk run and their outcomes."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from openrouter_async.errors import OpenRouterError
from openrouter_async.models import APIKey


class Action(enum.StrEnum):
    """An action on a key."""

    CREATE = "create"
    UPDATE = "update"
    DISABLE = "disable"
    DELETE = "delete"


class Status(enum.StrEnum):
    """Status of an item."""

    OK = "ok"
    FAILED = "failed"
    """It was not done."""
    AMBIGUOUS = "ambiguous"
    """It may have been done: there was no usable response, or a create was only half completed."""
    SKIPPED = "skipped"
    """It was not tried; `reason` says why."""


@attrs.frozen(kw_only=True)
class Outcome:
    """Outcome of one item."""

    index: int
    """The item's index, from 0."""
    action: Action
    subject: str
    """The key's hash; for a create, the key's name."""
    status: Status
    reason: str | None = None
    """Why the status is not `ok`, or a remark on it."""
    hash: str | None = None
    """The key's hash; None if a create made no key, or its hash is unknown."""
    key: APIKey | None = None
    """The record after the change; in a dry run, the current one."""
    sink: str | None = None
    """Where a new plaintext was delivered."""
    widens: tuple[str, ...] = ()
    """In a dry run, what the change would allow the key that it may not do now."""
    error: OpenRouterError | None = None


ChangeProgress: TypeAlias = Callable[[Outcome, int, int], object]
"""Called with each outcome as it arrives, the number of outcomes so far, and their total.

An async function is awaited."""


@attrs.frozen(kw_only=True)
class Item:
    """One checked item of a bulk run."""

    index: int
    action: Action
    subject: str
    params: Any = attrs.field(repr=False)
    """The operation's params."""
    id: str
    """Identifies the same change in another run, by way of the outcomes file."""
    duplicate_of: int | None = None
    """Index of an earlier, identical item."""

    def outcome(self, status: Status, **facts: Any) -> Outcome:
        """Build the item's outcome."""
        known: dict[str, Any] = {} if self.action is Action.CREATE else {"hash": self.subject}
        return Outcome(
            index=self.index,
            action=self.action,
            subject=self.subject,
            status=status,
            **(known | facts),
        )
