"""What is to be done with each key, and what came of it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from openrouter_async.errors import OpenRouterError
from openrouter_async.models import APIKey


class Action(enum.StrEnum):
    """What is done with a key."""

    CREATE = "create"
    UPDATE = "update"
    DISABLE = "disable"
    DELETE = "delete"


class Status(enum.StrEnum):
    """What came of it."""

    OK = "ok"
    FAILED = "failed"
    """It was not done."""
    AMBIGUOUS = "ambiguous"
    """It may have been done: there was no answer, or only half of a create came about."""
    SKIPPED = "skipped"
    """It was not tried; `reason` says why."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of one item."""

    index: int
    """The item's place, from 0."""
    action: Action
    subject: str
    """The key's hash; for a create, the name."""
    status: Status
    reason: str | None = None
    """Why it is not `ok`, or how it came to be."""
    hash: str | None = None
    """The key's hash; None where a create made none that is known."""
    key: APIKey | None = None
    """The record afterwards; in a dry run, as it is."""
    sink: str | None = None
    """Where a new plaintext went."""
    widens: tuple[str, ...] = ()
    """In a dry run, what the key may do afterwards and may not do now."""
    error: OpenRouterError | None = None


ChangeProgress: TypeAlias = Callable[[Outcome, int, int], object]
"""Told each outcome as it comes, how many there are by now, and how many there will be.

It may be an async function, which is awaited."""


@attrs.frozen(kw_only=True)
class Item:
    """One thing to do, checked."""

    index: int
    action: Action
    subject: str
    given: Any = attrs.field(repr=False)
    """The operation's parameters."""
    id: str
    """The same for the same change in another run, so that a file of outcomes can tell."""
    twin_of: int | None = None
    """The place of an earlier item that says the same."""

    def came_to(self, status: Status, **facts: Any) -> Outcome:
        """Make the item's outcome."""
        known: dict[str, Any] = {} if self.action is Action.CREATE else {"hash": self.subject}
        return Outcome(
            index=self.index,
            action=self.action,
            subject=self.subject,
            status=status,
            **(known | facts),
        )
