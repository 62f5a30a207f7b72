"""Replacing a key by a twin: never without a working key, and to be continued from any step.

A rotation goes on from what its journal says: the twin is made and stored by the steps of
`provision`, then asked whether it works, compared, and only then is the old key disabled. The
journal stays, without the plaintext, until `finish_rotations` deletes the old key.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from openrouter_async import _checks, _money
from openrouter_async._core import Client
from openrouter_async._operations import (
    CURRENT,
    DELETE,
    GET,
    UPDATE,
    CreateKeys,
    Nothing,
    OneKey,
    UpdateKeys,
)
from openrouter_async._options import CallOptions
from openrouter_async.errors import (
    ForbiddenResponseError,
    NotFoundResponseError,
    OpenRouterError,
    RotationError,
    UnauthorizedResponseError,
)
from openrouter_async.models import APIKey, GetCurrentKeyData
from openrouter_async.provisioning._candidates import seconds
from openrouter_async.provisioning._files import reason, run_to_end
from openrouter_async.provisioning._journal import Journal, folder_at, reopen
from openrouter_async.provisioning._provision import begin, clean_up, deliver_again, dismiss
from openrouter_async.provisioning._sinks import AnySink, ProvisionedKey, Sink, as_sink
from openrouter_async.provisioning._unfinished import (
    ROTATION,
    State,
    Unfinished,
    said_by,
    trusted,
)
from openrouter_async.secret import Secret

_MARKER: Final = re.compile(r" \(rotated \d{4}-\d\d-\d\d\)\Z")
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 4.0
_COMPARED: Final = ("limit", "limit_reset", "include_byok_in_limit")


@attrs.frozen(kw_only=True)
class Rotation:
    """A key that was replaced: the new one works, the old one is disabled and not yet deleted."""

    old_hash: str
    new: ProvisionedKey
    disabled_at: datetime
    """When the old key was disabled (UTC)."""
    journal: str
    """What `finish_rotations` and `roll_back` go by."""


@attrs.frozen(kw_only=True)
class Means:
    """With what, and how patiently, a rotation is carried out."""

    client: Client
    options: CallOptions
    verify_within: float
    """Seconds to wait until the new key answers."""

    def __attrs_post_init__(self) -> None:
        seconds("verify_within", self.verify_within)


async def rotate(
    means: Means, hash: str, sink: AnySink, journal_dir: str | os.PathLike[str] | None
) -> Rotation:
    """Begin a rotation, or go on with one that did not come to its end."""
    hash = _checks.key_hash("hash", hash)
    chosen, folder = as_sink(sink), folder_at(journal_dir)
    earlier = await run_to_end(partial(rotation_of, hash, folder))
    if earlier is not None and earlier.state is not State.UNSENT:
        return await _go_on(means, earlier, chosen)
    if earlier is not None:
        await run_to_end(partial(dismiss, earlier))
    client, options = means.client, means.options
    old = (await client.call(GET, OneKey(hash=hash), options)).data
    await _refuse_what_must_stay(client, old, options)
    twin = _twin_of(old)
    work = await begin(twin, chosen, folder, kind=ROTATION, old_hash=hash)
    try:
        rival = await run_to_end(partial(rotation_of, hash, folder, but=work.journal.path))
        if rival is not None:
            await run_to_end(work.abandon)
            raise _error("another rotation of this key began at the same moment", rival)
        key = await work.ask(client, twin, options)
        await work.deliver(key)
        return await _replace(means, old, work.journal, key)
    finally:
        work.journal.close()


def rotation_of(hash: str, folder: Path, but: Path | None = None) -> Unfinished | None:
    """Find the rotation of this key that did not come to its end, other than the one at `but`."""
    found = [item for item in trusted(folder) if item.old_hash == hash]
    others = [item for item in found if item.journal != str(but)]
    return others[-1] if others else None


def marked(name: str, today: datetime) -> str:
    """Give the twin's name: the old one's and the day, which replaces an earlier rotation's."""
    return f"{_MARKER.sub('', name)} (rotated {today:%Y-%m-%d})"


def _twin_of(old: APIKey) -> CreateKeys:
    return CreateKeys(
        name=marked(old.name, datetime.now(UTC)),
        limit=old.limit,
        limit_reset=old.limit_reset,
        include_byok_in_limit=old.include_byok_in_limit,
        expires_at=old.expires_at,
        workspace_id=old.workspace_id,
    )


async def _refuse_what_must_stay(client: Client, old: APIKey, options: CallOptions) -> None:
    """Refuse the key in use, and one that does not work: its twin would."""
    problem = None
    if old.disabled:
        problem = "the key is disabled, and its successor would work: enable it first"
    elif old.is_expired():
        problem = "the key has expired, and its successor would work"
    else:
        current = await client.call(CURRENT, Nothing(), options)
        if current.data.label == old.label:
            problem = "the key is the one that makes these requests"
    if problem is not None:
        raise RotationError(problem, operation=ROTATION, old_hash=old.hash)


async def _go_on(means: Means, earlier: Unfinished, sink: Sink) -> Rotation:
    """Go on with a rotation; raises `RotationError` where only people can decide."""
    journal = await _reopened(earlier)
    try:
        said = said_by(journal)
        if said.state not in (State.UNDELIVERED, State.DELIVERED):
            raise _error(f"an earlier rotation is {said.state}: {said.advice}", said)
        return await resume_rotation(means, journal, sink)
    finally:
        journal.close()


async def _reopened(said: Unfinished) -> Journal:
    """Take over a rotation's journal, of which more may be true by now; raises `RotationError`."""
    try:
        return await reopen(Path(said.journal))
    except BlockingIOError:
        problem = "it is busy: another process is at work on it"
    except FileNotFoundError:
        problem = "another process has ended it"
    except OSError as error:
        problem = reason(error)
    raise _error(f"a rotation of this key was begun, and {problem}", said)


async def resume_rotation(means: Means, journal: Journal, sink: Sink | None) -> Rotation:
    """Take the steps that are missing; the journal is held open by the caller."""
    said = said_by(journal)
    if said.old_hash is None:
        raise _error("its journal does not say which key it replaces", said)
    key = await deliver_again(journal, said, sink)
    old = (await means.client.call(GET, OneKey(hash=said.old_hash), means.options)).data
    return await _replace(means, old, journal, key)


async def _replace(means: Means, old: APIKey, journal: Journal, key: ProvisionedKey) -> Rotation:
    """Verify, compare, disable, and leave the journal as pending."""
    try:
        current = await _answering(means, key.secret)
        problem = _difference(old, current, key)
        if problem is None:
            await run_to_end(partial(journal.note, "verified"))
            disabled_at = await _disable(means, old.hash)
            pending = {"disabled_at": disabled_at.isoformat()}
            await run_to_end(partial(journal.note_without_secret, "disabled", **pending))
            return Rotation(
                old_hash=old.hash, new=key, disabled_at=disabled_at, journal=str(journal.path)
            )
    except OpenRouterError as error:
        problem = str(error)
    except OSError as error:
        problem = f"the journal: {reason(error)}"
    raise RotationError(
        f"{problem}; the old key may still be needed, the new one is in {key.sink}: rotate again "
        "to go on, or roll_back to delete the new one",
        operation=ROTATION,
        old_hash=old.hash,
        new_hash=key.hash,
        journal=str(journal.path),
    )


async def _disable(means: Means, hash: str) -> datetime:
    """Disable a key and give the moment, on the service's clock where it says so."""
    changed = UpdateKeys(hash=hash, disabled=True)
    after = (await means.client.call(UPDATE, changed, means.options)).data
    if not after.disabled:
        raise RotationError("the service did not disable the old key")
    return after.updated_at or datetime.now(UTC)


async def _answering(means: Means, secret: Secret) -> GetCurrentKeyData:
    """Ask the new key who it is until it answers: a new key may need some seconds."""
    clock = means.client.clock
    deadline = clock.time() + means.verify_within
    wait = _FIRST_WAIT
    while True:
        try:
            return (await means.client.call_as(secret, CURRENT, Nothing(), means.options)).data
        except (UnauthorizedResponseError, ForbiddenResponseError, NotFoundResponseError):
            left = deadline - clock.time()
            if left <= 0:
                raise
        await clock.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)


def _difference(old: APIKey, current: GetCurrentKeyData, key: ProvisionedKey) -> str | None:
    """Say in what the twin differs from the old key; None if it may do exactly the same."""
    different = [name for name in _COMPARED if _differs(name, old, current)]
    if key.data is not None and key.data.label != current.label:
        different.append("label")
    if different:
        return f"the new key differs from the old one in {', '.join(different)}"
    return None


def _differs(name: str, old: APIKey, current: GetCurrentKeyData) -> bool:
    now: object = getattr(current, name)
    if name == "include_byok_in_limit" and now is None:  # older answers leave it out
        return False
    return _money.differ(now, getattr(old, name))


def _error(problem: str, said: Unfinished) -> RotationError:
    return RotationError(
        problem,
        operation=ROTATION,
        old_hash=said.old_hash,
        new_hash=said.hash,
        journal=said.journal,
    )


async def roll_back(
    client: Client, hash: str, journal_dir: str | os.PathLike[str] | None, options: CallOptions
) -> APIKey:
    """Enable the old key again, then delete the new one and forget the rotation."""
    hash = _checks.key_hash("hash", hash)
    said = await run_to_end(partial(rotation_of, hash, folder_at(journal_dir)))
    if said is None:
        raise RotationError("there is no rotation of this key", operation=ROTATION, old_hash=hash)
    journal = await _reopened(said)
    try:
        said = said_by(journal)  # it was not locked when it was found
        if said.old_hash != hash or (said.hash is None and said.state is not State.UNSENT):
            raise _error(f"the new key's hash is not known: {said.advice}", said)
        enabled = UpdateKeys(hash=hash, disabled=False)
        old = (await client.call(UPDATE, enabled, options)).data
        if old.disabled:
            raise _error("the service did not enable the old key", said)
        if said.hash is not None:
            await delete(client, said.hash, options)
        try:
            await run_to_end(partial(clean_up, journal, said))
        except OSError as error:
            problem = f"the journal cannot be removed: {reason(error)}"
        else:
            return old
    finally:
        journal.close()
    raise _error(problem, said)


async def delete(client: Client, hash: str, options: CallOptions) -> bool:
    """Delete a key; False: it was gone already."""
    try:
        return not (await client.call(DELETE, OneKey(hash=hash), options)).already_gone
    except NotFoundResponseError:
        return False
