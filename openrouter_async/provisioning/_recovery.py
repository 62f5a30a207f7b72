"""Finish pending rotations, and list and resume whatever was interrupted."""

from __future__ import annotations

import enum
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from openrouter_async import _files
from openrouter_async._caller import Client
from openrouter_async._concurrency import run_to_end
from openrouter_async._money import exactly, rounded
from openrouter_async._operations import GET, KeyHash
from openrouter_async._options import CallOptions
from openrouter_async.errors import (
    ConfigurationError,
    NotFoundResponseError,
    OpenRouterError,
    SinkError,
)
from openrouter_async.models import APIKey
from openrouter_async.provisioning._candidates import find_candidates, seconds
from openrouter_async.provisioning._journal import Journal, folder_at, reopen
from openrouter_async.provisioning._provision import clean_up, deliver_again
from openrouter_async.provisioning._rotate import (
    RotationContext,
    delete,
    lower_limit,
    resume_rotation,
)
from openrouter_async.provisioning._sinks import AnySink, as_sink
from openrouter_async.provisioning._twin import left_of_cap
from openrouter_async.provisioning._unfinished import (
    ROTATION,
    State,
    Unfinished,
    describe,
    item_from,
    trusted,
    unfinished,
)

_STILL_ACCEPTED: Final = timedelta(seconds=60)
"""How long the service may accept a disabled key (observed): a use this early does not count."""


class Outcome(enum.StrEnum):
    """Outcome of an attempt to finish a pending rotation."""

    DELETED = "deleted"
    """The old key has been deleted, now or earlier."""
    WAITING = "waiting"
    """The grace period is not over, or another process is using the journal."""
    KEPT = "kept"
    """Something is wrong, as `reason` explains; nothing was done."""
    FAILED = "failed"
    """A request failed, or the journal could not be used; try again."""


@attrs.frozen(kw_only=True)
class FinishedRotation:
    """Result of an attempt to finish one pending rotation."""

    old_hash: str
    new_hash: str | None
    outcome: Outcome
    reason: str
    journal: str


async def finish_rotations(
    client: Client,
    grace: timedelta | float,
    journal_dir: str | os.PathLike[str] | None,
    now: datetime | None,
    options: CallOptions,
) -> list[FinishedRotation]:
    """Delete the old keys whose grace period is over; see `client.api_keys.finish_rotations`."""
    period = _grace(grace)
    if now is not None and now.utcoffset() is None:
        raise ConfigurationError("now must be an aware datetime")
    pending = await run_to_end(partial(trusted, folder_at(journal_dir)))
    return [
        await _finish(client, item, period, now or datetime.now(UTC), options)
        for item in pending
        if item.state is State.PENDING
    ]


def _grace(grace: timedelta | float) -> timedelta:
    number = grace.total_seconds() if isinstance(grace, timedelta) else grace
    try:
        return timedelta(seconds=seconds("grace", number))
    except OverflowError:  # more seconds than a timedelta can hold
        return timedelta.max


async def _finish(
    client: Client, item: Unfinished, grace: timedelta, now: datetime, options: CallOptions
) -> FinishedRotation:
    try:
        journal = await reopen(Path(item.journal))
    except (BlockingIOError, FileNotFoundError):
        return _result(item, Outcome.WAITING, "another process is using the journal")
    except OSError as error:
        return _result(item, Outcome.FAILED, f"the journal: {_files.reason(error)}")
    try:
        item = item_from(journal)  # it may have changed since it was listed without a lock
        outcome, reason = await _judge(client, item, grace, now, options)
        if outcome is Outcome.DELETED:
            await run_to_end(journal.remove)
    except OpenRouterError as error:
        return _result(item, Outcome.FAILED, str(error))
    except OSError as error:
        return _result(item, Outcome.FAILED, f"the journal: {_files.reason(error)}")
    finally:
        journal.close()
    return _result(item, outcome, reason)


async def _judge(
    client: Client, item: Unfinished, grace: timedelta, now: datetime, options: CallOptions
) -> tuple[Outcome, str]:
    """Delete the old key if its grace period is over and its successor is in place."""
    disabled_at, old_hash = item.disabled_at, item.old_hash
    if disabled_at is None or old_hash is None or item.hash is None:
        return Outcome.KEPT, "the journal lacks a key's hash or the time of the disabling"
    if now - disabled_at < grace:
        return Outcome.WAITING, f"disabled since {disabled_at:%Y-%m-%d %H:%M} UTC"
    old, new = await _record(client, old_hash, options), await _record(client, item.hash, options)
    # With a key of another account, the service responds 404 to both.
    if old is None and new is None:
        return Outcome.KEPT, "neither key was found: is this the right account?"
    if old is None:
        return Outcome.DELETED, "it was already gone"
    problem = _problem_with(old, new, disabled_at)
    if problem is not None:
        return Outcome.KEPT, problem
    settled = await _settle(client, old, item, new, options)
    await delete(client, old_hash, options)
    return Outcome.DELETED, f"its successor is in place{settled}"


async def _settle(
    client: Client, old: APIKey, item: Unfinished, new: APIKey | None, options: CallOptions
) -> str:
    """Lower the new key's lifetime cap by late charges to the disabled key.

    A request that was in flight when the key was disabled is charged when it ends. A limit that was
    changed after the rotation is left alone. Returns a phrase about it for the reason, or "".
    """
    left = left_of_cap(old)
    if new is None or left is None or item.limit is None or new.limit != item.limit:
        return ""
    if left >= rounded(item.limit):
        return ""
    await lower_limit(client, new.hash, left, options)
    return f"; its limit is now {exactly(left)} USD because of late charges to the old key"


def _problem_with(old: APIKey, new: APIKey | None, disabled_at: datetime) -> str | None:
    if not old.disabled:
        return "the old key has been enabled again"
    if old.last_used_at is not None and old.last_used_at > disabled_at + _STILL_ACCEPTED:
        return (
            f"the old key was used at {old.last_used_at:%Y-%m-%d %H:%M} UTC, after it was disabled"
        )
    if new is None:
        return "its successor is gone"
    if new.disabled:
        return "its successor is disabled"
    return "its successor has expired" if new.is_expired() else None


async def _record(client: Client, hash: str, options: CallOptions) -> APIKey | None:
    try:
        return (await client.call(GET, KeyHash(hash=hash), options)).data
    except NotFoundResponseError:
        return None


def _result(item: Unfinished, outcome: Outcome, reason: str) -> FinishedRotation:
    return FinishedRotation(
        old_hash=item.old_hash or "",
        new_hash=item.hash,
        outcome=outcome,
        reason=reason,
        journal=item.journal,
    )


async def recover(
    client: Client,
    journal_dir: str | os.PathLike[str] | None,
    within: float,
    options: CallOptions,
) -> list[Unfinished]:
    """Read the journals and search for the keys that may exist; see `client.api_keys.recover`."""
    found: list[Unfinished] = []
    for item in await run_to_end(partial(unfinished, folder_at(journal_dir))):
        if item.state is State.MAYBE:
            candidates = await find_candidates(client, item, within, options)
            # A key that was rotated twice on one day may have the same name as its successor.
            others = tuple(key for key in candidates if key.hash != item.old_hash)
            found.append(attrs.evolve(item, candidates=others))
        else:
            found.append(item)
    return found


async def resume(
    context: RotationContext, item: Unfinished, sink: AnySink | None
) -> Unfinished | None:
    """Complete what needs no decision by the user; see `client.api_keys.resume`."""
    try:
        journal = await reopen(Path(item.journal))
        try:
            await _resume(context, journal, sink)
        finally:
            journal.close()
        still = await run_to_end(partial(describe, journal.path))
        return still if journal.path.exists() else None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return attrs.evolve(item, state=State.BUSY)
    except OSError as error:
        failure = _files.reason(error)
    raise SinkError(f"{item.journal}: {failure}", hash=item.hash, journal=item.journal)


async def _resume(context: RotationContext, journal: Journal, new_sink: AnySink | None) -> None:
    item = item_from(journal)
    sink = None if new_sink is None else as_sink(new_sink)
    if item.state is State.UNSENT:
        await run_to_end(partial(clean_up, journal, item))
    if item.state not in (State.UNDELIVERED, State.DELIVERED):
        return
    if item.kind == ROTATION:
        await resume_rotation(context, journal, sink)
    else:
        await deliver_again(journal, item, sink)
        await run_to_end(partial(clean_up, journal, item))
