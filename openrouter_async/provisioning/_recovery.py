"""The last step of rotations, and of everything else that did not come to its end."""

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
from openrouter_async._files import run_to_end
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
from openrouter_async.provisioning._rotate import RotationContext, delete, lower, resume_rotation
from openrouter_async.provisioning._sinks import AnySink, as_sink
from openrouter_async.provisioning._twin import left_of_cap
from openrouter_async.provisioning._unfinished import (
    ROTATION,
    State,
    Unfinished,
    describe,
    said_by,
    trusted,
    unfinished,
)

_STILL_ANSWERS: Final = timedelta(seconds=60)
"""How long a disabled key was seen to answer: a use within it is no use afterwards."""


class Outcome(enum.StrEnum):
    """What became of a pending rotation."""

    DELETED = "deleted"
    WAITING = "waiting"
    """The grace is not over."""
    KEPT = "kept"
    """Something is not as it should be; `reason` says what, and nothing was done."""
    FAILED = "failed"
    """A request failed; it can be repeated."""


@attrs.frozen(kw_only=True)
class FinishedRotation:
    """What became of one pending rotation."""

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
    """Delete the old keys that are due."""
    after = _grace(grace)
    if now is not None and now.utcoffset() is None:
        raise ConfigurationError("now must be an aware datetime")
    pending = await run_to_end(partial(trusted, folder_at(journal_dir)))
    return [
        await _finish(client, item, after, now or datetime.now(UTC), options)
        for item in pending
        if item.state is State.PENDING
    ]


def _grace(given: timedelta | float) -> timedelta:
    number = given.total_seconds() if isinstance(given, timedelta) else given
    try:
        return timedelta(seconds=seconds("grace", number))
    except OverflowError:
        return timedelta.max


async def _finish(
    client: Client, item: Unfinished, grace: timedelta, now: datetime, options: CallOptions
) -> FinishedRotation:
    try:
        journal = await reopen(Path(item.journal))
    except (BlockingIOError, FileNotFoundError):
        return _told(item, Outcome.WAITING, "another process is at it")
    except OSError as error:
        return _told(item, Outcome.FAILED, f"the journal: {_files.reason(error)}")
    try:
        item = said_by(journal)  # it was not locked when it was listed
        outcome, reason = await _judge(client, item, grace, now, options)
        if outcome is Outcome.DELETED:
            await run_to_end(journal.remove)
    except OpenRouterError as error:
        return _told(item, Outcome.FAILED, str(error))
    except OSError as error:
        return _told(item, Outcome.FAILED, f"the journal: {_files.reason(error)}")
    finally:
        journal.close()
    return _told(item, outcome, reason)


async def _judge(
    client: Client, item: Unfinished, grace: timedelta, now: datetime, options: CallOptions
) -> tuple[Outcome, str]:
    """Delete the old key if it is due and its successor is there."""
    disabled_at, old_hash = item.disabled_at, item.old_hash
    if disabled_at is None or old_hash is None or item.hash is None:
        return Outcome.KEPT, "the journal does not say which keys, or since when"
    if now - disabled_at < grace:
        return Outcome.WAITING, f"disabled since {disabled_at:%Y-%m-%d %H:%M} UTC"
    old, new = await _record(client, old_hash, options), await _record(client, item.hash, options)
    if old is None and new is None:
        return Outcome.KEPT, "neither key is known: is this the account that they belong to?"
    if old is None:
        return Outcome.DELETED, "it was gone already"
    problem = _problem_with(old, new, disabled_at)
    if problem is not None:
        return Outcome.KEPT, problem
    settled = await _settle(client, old, item, new, options)
    await delete(client, old_hash, options)
    return Outcome.DELETED, f"its successor is in its place{settled}"


async def _settle(
    client: Client, old: APIKey, item: Unfinished, new: APIKey | None, options: CallOptions
) -> str:
    """Lower the new key's lifetime cap by what was still charged to the disabled key.

    A request that was under way when it was disabled is charged when it ends. A limit that was
    changed since the rotation is left alone. Returns what there is to say of it.
    """
    left = left_of_cap(old)
    if new is None or left is None or item.limit is None or new.limit != item.limit:
        return ""
    if left >= rounded(item.limit):
        return ""
    await lower(client, new.hash, left, options)
    return f", and its limit is {exactly(left)} USD: more was charged to the old key meanwhile"


def _problem_with(old: APIKey, new: APIKey | None, disabled_at: datetime) -> str | None:
    if not old.disabled:
        return "the old key was enabled again"
    if old.last_used_at is not None and old.last_used_at > disabled_at + _STILL_ANSWERS:
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


def _told(item: Unfinished, outcome: Outcome, reason: str) -> FinishedRotation:
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
    """Read the journals, and look for the keys that may exist."""
    found: list[Unfinished] = []
    for item in await run_to_end(partial(unfinished, folder_at(journal_dir))):
        if item.state is State.MAYBE:
            candidates = await find_candidates(client, item, within, options)
            others = tuple(key for key in candidates if key.hash != item.old_hash)
            found.append(attrs.evolve(item, candidates=others))
        else:
            found.append(item)
    return found


async def resume(
    means: RotationContext, item: Unfinished, sink: AnySink | None
) -> Unfinished | None:
    """Bring a work to its end as far as that can be done without people."""
    try:
        journal = await reopen(Path(item.journal))
        try:
            await _resume(means, journal, sink)
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


async def _resume(means: RotationContext, journal: Journal, given: AnySink | None) -> None:
    said = said_by(journal)
    sink = None if given is None else as_sink(given)
    if said.state is State.UNSENT:
        await run_to_end(partial(clean_up, journal, said))
    if said.state not in (State.UNDELIVERED, State.DELIVERED):
        return
    if said.kind == ROTATION:
        await resume_rotation(means, journal, sink)
    else:
        await deliver_again(journal, said, sink)
        await run_to_end(partial(clean_up, journal, said))
