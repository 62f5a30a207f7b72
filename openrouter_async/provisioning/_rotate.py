"""Replacing a key by a twin: never without a working key, and to be continued from any step.

A rotation goes on from what its journal says: the twin is made and stored by the steps of
`provision`, then asked whether it works, compared, and only then is the old key disabled. The
journal stays, without the plaintext, until `finish_rotations` deletes the old key.

The twin never has more than the old key. Where a limit never resets, both keys could spend what
was left of it until the old one is disabled, so the twin's limit is lowered before that to what is
left by then, and once more after it. What it is lowered to is in the journal first.
"""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from openrouter_async import _checks
from openrouter_async._caller import Client
from openrouter_async._files import reason, run_to_end
from openrouter_async._money import rounded
from openrouter_async._operations import (
    CURRENT,
    DELETE,
    GET,
    UPDATE,
    CreateKeys,
    KeyHash,
    NoParams,
    UpdateKeys,
)
from openrouter_async._options import OMITTED, CallOptions, Omitted
from openrouter_async.errors import (
    BadRequestResponseError,
    ConflictResponseError,
    ForbiddenResponseError,
    NotFoundResponseError,
    OpenRouterError,
    PagingError,
    RotationError,
    UnauthorizedResponseError,
)
from openrouter_async.models import APIKey, GetCurrentKeyData
from openrouter_async.paging import KeyAssignmentWalk
from openrouter_async.provisioning._candidates import seconds
from openrouter_async.provisioning._journal import Journal, folder_at, reopen
from openrouter_async.provisioning._provision import (
    Work,
    begin,
    clean_up,
    deliver_again,
    dismiss,
)
from openrouter_async.provisioning._sinks import AnySink, ProvisionedKey, Sink, as_sink
from openrouter_async.provisioning._twin import (
    Plan,
    amount_in,
    differences,
    left_behind,
    left_of_cap,
    spent_by,
    twin_of,
)
from openrouter_async.provisioning._unfinished import (
    ROTATION,
    State,
    Unfinished,
    said_by,
    trusted,
)
from openrouter_async.secret import Secret

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 4.0
_BACK: Final = "rolling back"
_ALLOW: Final = "allow_unguarded=True (--allow-unguarded) rotates nevertheless"
_MOST_WALKS: Final = 3
"""How often to read all assignments before giving up, because they change meanwhile."""


@attrs.frozen(kw_only=True)
class Rotation:
    """A key that was replaced: the new one works, the old one is disabled and not yet deleted."""

    old_hash: str
    new: ProvisionedKey
    disabled_at: datetime
    """When the old key was disabled (UTC)."""
    journal: str
    """What `finish_rotations` and `roll_back` go by."""
    limit: float | None = None
    """USD that the new key may spend; where it never resets, what was left of the old key's."""
    old_limit: float | None = None
    """USD; None: unlimited, as the new key is."""
    left_behind: tuple[str, ...] = ()
    """What the old key had and the new one does not have, or may not have; a phrase each."""


@attrs.frozen(kw_only=True)
class RotationContext:
    """With what, and how patiently, a rotation is carried out."""

    client: Client
    options: CallOptions
    verify_within: float
    """Seconds to wait until the new key answers."""
    allow_unguarded: bool = False
    """Whether the new key may lack a guardrail that the old one has."""

    def __attrs_post_init__(self) -> None:
        _checks.strict_flag("allow_unguarded", self.allow_unguarded)
        seconds("verify_within", self.verify_within)


async def rotate(
    means: RotationContext, hash: str, sink: AnySink, journal_dir: str | os.PathLike[str] | None
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
    old = (await client.call(GET, KeyHash(hash=hash), options)).data
    _refuse_unfit(old)
    await _refuse_key_in_use(client, old, options)
    unguarded = await _refuse_unguarded(means, hash)
    old = (await client.call(GET, KeyHash(hash=hash), options)).data  # as it is by now
    _refuse_unfit(old)
    twin = twin_of(old)
    facts = {"limit": twin.limit, "allow_unguarded": means.allow_unguarded}
    work = await begin(twin, chosen, folder, kind=ROTATION, old_hash=hash, **facts)
    try:
        rival = await run_to_end(partial(rotation_of, hash, folder, but=work.journal.path))
        if rival is not None:
            await run_to_end(work.abandon)
            raise _error("another rotation of this key began at the same moment", rival)
        key = await _ask(work, client, old, twin, options)
        await work.deliver(key)
        return await _replace(means, old, work.journal, key, unguarded)
    finally:
        work.journal.close()


def rotation_of(hash: str, folder: Path, but: Path | None = None) -> Unfinished | None:
    """Find the rotation of this key that did not come to its end, other than the one at `but`."""
    found = [item for item in trusted(folder) if item.old_hash == hash]
    others = [item for item in found if item.journal != str(but)]
    return others[-1] if others else None


async def _ask(
    work: Work, client: Client, old: APIKey, twin: CreateKeys, options: CallOptions
) -> ProvisionedKey:
    """Ask for the twin; raises `RotationError` if it cannot be made for the same people."""
    carried = {"creator": old.creator_user_id, "external user": old.external_user}
    people = " and ".join(f"{what} {who}" for what, who in carried.items() if who)
    try:
        return await work.ask(client, twin, options)
    except (BadRequestResponseError, ForbiddenResponseError, ConflictResponseError) as error:
        if not people:
            raise
        problem = str(error)
    raise RotationError(
        f"the service refused a new key for the {people} of the old one, and none was made: "
        f"{problem}",
        operation=ROTATION,
        old_hash=old.hash,
    )


def _refuse_unfit(old: APIKey) -> None:
    """Refuse a key that does not work: its twin would, or would have a limit that is none."""
    problem = None
    if old.disabled:
        problem = "the key is disabled, and its successor would work: enable it first"
    elif old.is_expired():
        problem = "the key has expired, and its successor would work"
    elif left_of_cap(old) == 0:
        problem = (
            f"the key is exhausted: nothing is left of its limit of {old.limit} USD, which never "
            "resets, so its successor would have nothing: raise the limit first"
        )
    if problem is not None:
        raise RotationError(problem, operation=ROTATION, old_hash=old.hash)


async def _refuse_key_in_use(client: Client, old: APIKey, options: CallOptions) -> None:
    """Refuse the key that makes the requests."""
    current = await client.call(CURRENT, NoParams(), options)
    if current.data.label == old.label:
        raise RotationError(
            "the key is the one that makes these requests", operation=ROTATION, old_hash=old.hash
        )


async def _refuse_unguarded(means: RotationContext, hash: str) -> str | None:
    """Return which guardrail the new key would lack; raises `RotationError` unless allowed."""
    unguarded = await _unguarded(means, hash)
    if unguarded is not None and not means.allow_unguarded:
        problem = f"the new key would lack {unguarded}; {_ALLOW}"
        raise RotationError(problem, operation=ROTATION, old_hash=hash)
    return unguarded


async def _unguarded(
    means: RotationContext, old_hash: str, new_hash: str | None = None
) -> str | None:
    """Return which guardrail the new key would lack, or may lack; None if there is none."""
    try:
        guardrails = await _guardrails_of(means, {old_hash, new_hash} - {None})
    except OpenRouterError as error:
        return f"a guardrail, if the old one has one: that cannot be known ({error})"
    guardrail = guardrails.get(old_hash)
    if guardrail is None or guardrail == guardrails.get(new_hash):
        return None
    return f"the guardrail {guardrail}"


async def _guardrails_of(
    means: RotationContext, hashes: AbstractSet[str | None]
) -> dict[str | None, str]:
    """Return the guardrails that are assigned to these keys; a key has one at most."""
    for _ in range(_MOST_WALKS):
        found: dict[str | None, str] = {}
        walk = KeyAssignmentWalk(means.client, means.options)
        try:
            async for each in walk:
                if each.key_hash in hashes:
                    found[each.key_hash] = each.guardrail_id
                if len(found) == len(hashes):
                    return found
        except NotFoundResponseError:
            if walk.pages:
                raise
            return {}  # an account without guardrails
        if walk.complete:
            return found
    raise PagingError("the assignments change while they are read")


async def _go_on(means: RotationContext, earlier: Unfinished, sink: Sink) -> Rotation:
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


async def resume_rotation(means: RotationContext, journal: Journal, sink: Sink | None) -> Rotation:
    """Take the steps that are missing; the journal is held open by the caller."""
    said = said_by(journal)
    if said.old_hash is None:
        raise _error("its journal does not say which key it replaces", said)
    key = await deliver_again(journal, said, sink)
    old = (await means.client.call(GET, KeyHash(hash=said.old_hash), means.options)).data
    unguarded = await _unguarded(means, said.old_hash, key.hash)
    allowed = means.allow_unguarded or Plan.read(journal.entries).allow_unguarded
    if unguarded is not None and not allowed:
        problem = (
            f"the new key lacks {unguarded}; assign the same one to {key.hash}, and rotate again, "
            f"or {_ALLOW}"
        )
        raise _stopped(problem, said.old_hash, key, journal)
    return await _replace(means, old, journal, key, unguarded)


async def _replace(
    means: RotationContext,
    old: APIKey,
    journal: Journal,
    key: ProvisionedKey,
    unguarded: str | None,
) -> Rotation:
    """Verify, compare, disable, and leave the journal as pending."""
    try:
        current = await _answering(means, key.secret)
        await _refuse_difference(means, old, journal, key, current)
        await run_to_end(partial(journal.note, "verified"))
        limit = await _lower(means, old, journal, key, current.limit)
        disabled_at = await _disable(means, old.hash)
        old = (await means.client.call(GET, KeyHash(hash=old.hash), means.options)).data
        await _refuse_difference(means, old, journal, key, current)  # it was changed meanwhile
        limit = await _lower(means, old, journal, key, limit)
        left = left_behind(old, limit, unguarded)
        pending = {"disabled_at": disabled_at.isoformat(), "limit": limit, "left_behind": left}
        await run_to_end(partial(journal.note_without_secret, "disabled", **pending))
        return Rotation(
            old_hash=old.hash,
            new=key,
            disabled_at=disabled_at,
            journal=str(journal.path),
            limit=limit,
            old_limit=old.limit,
            left_behind=left,
        )
    except OpenRouterError as error:
        problem = str(error)
    except OSError as error:
        problem = f"the journal: {reason(error)}"
    raise _stopped(problem, old.hash, key, journal)


def _stopped(problem: str, old_hash: str, key: ProvisionedKey, journal: Journal) -> RotationError:
    return RotationError(
        f"{problem}; the old key may still be needed, the new one is in {key.sink}: rotate again "
        "to go on, or roll_back to delete the new one",
        operation=ROTATION,
        old_hash=old_hash,
        new_hash=key.hash,
        journal=str(journal.path),
    )


async def _lower(
    means: RotationContext, old: APIKey, journal: Journal, key: ProvisionedKey, limit: float | None
) -> float | None:
    """Lower the new key's lifetime cap to what is left of the old one's; return its limit."""
    left = left_of_cap(old)
    if limit is None or left is None or rounded(limit) <= left:
        return limit
    if key.hash is None:
        raise RotationError("the new key's hash is not known, so that its limit stays too high")
    await run_to_end(partial(journal.note, "lowering", limit=left))
    await lower(means.client, key.hash, left, means.options)
    return left


async def lower(client: Client, hash: str, limit: float, options: CallOptions) -> None:
    """Lower a new key's limit; raises `RotationError` if the service did not."""
    new = (await client.call(UPDATE, UpdateKeys(hash=hash, limit=limit), options)).data
    if new.limit is None or rounded(new.limit) > limit:
        raise RotationError("the service did not lower the new key's limit")


async def _disable(means: RotationContext, hash: str) -> datetime:
    """Disable a key and give the moment, on the service's clock where it says so."""
    changed = UpdateKeys(hash=hash, disabled=True)
    after = (await means.client.call(UPDATE, changed, means.options)).data
    if not after.disabled:
        raise RotationError("the service did not disable the old key")
    return after.updated_at or datetime.now(UTC)


async def _answering(means: RotationContext, secret: Secret) -> GetCurrentKeyData:
    """Ask the new key who it is until it answers: a new key may need some seconds."""
    clock = means.client.clock
    deadline = clock.time() + means.verify_within
    wait = _FIRST_WAIT
    while True:
        try:
            return (await means.client.call(CURRENT, NoParams(), means.options, key=secret)).data
        except (UnauthorizedResponseError, ForbiddenResponseError, NotFoundResponseError):
            left = deadline - clock.time()
            if left <= 0:
                raise
        await clock.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)


async def _refuse_difference(
    means: RotationContext,
    old: APIKey,
    journal: Journal,
    key: ProvisionedKey,
    current: GetCurrentKeyData,
) -> None:
    """Raise `RotationError` if the twin may do anything else than the old key, more or less."""
    plan = Plan.read(journal.entries)
    fields = differences(old, plan, current)
    record = key.data
    if record is None and key.hash is not None:
        record = (await means.client.call(GET, KeyHash(hash=key.hash), means.options)).data
    if record is not None:
        fields += differences(old, plan, record)
        if record.label != current.label:
            fields.append("label")
    if fields:
        names = ", ".join(dict.fromkeys(fields))
        raise RotationError(f"the new key differs from the old one in {names}")


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
        old = await _enable(client, hash, said, journal, options)
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


async def _enable(
    client: Client, hash: str, said: Unfinished, journal: Journal, options: CallOptions
) -> APIKey:
    """Enable the old key; what its successor spent is taken off a limit that never resets."""
    limit: float | Omitted = OMITTED
    old = (await client.call(GET, KeyHash(hash=hash), options)).data
    if old.limit is not None and old.limit_reset is None:
        spent = await _spent_by_successor(client, said, options)
        if spent:
            limit = await _less(old.limit, spent, journal)
    changed = UpdateKeys(hash=hash, disabled=False, limit=limit)
    old = (await client.call(UPDATE, changed, options)).data
    if old.disabled:
        raise _error("the service did not enable the old key", said)
    if isinstance(limit, float) and (old.limit is None or rounded(old.limit) > limit):
        raise _error("the service did not lower the old key's limit", said)
    return old


async def _spent_by_successor(client: Client, said: Unfinished, options: CallOptions) -> float:
    if said.hash is None:
        return 0.0
    try:
        return spent_by((await client.call(GET, KeyHash(hash=said.hash), options)).data)
    except NotFoundResponseError:  # it was deleted by an attempt that was then interrupted
        return 0.0


async def _less(limit: float, spent: float, journal: Journal) -> float:
    """Return a limit less what was spent, and the same if that is interrupted and repeated."""
    noted = [amount_in(entry, "limit") for entry in journal.entries if entry["step"] == _BACK]
    before = next((amount for amount in noted if amount is not None), None)
    if before is None:
        before = limit
        await run_to_end(partial(journal.note, _BACK, limit=before))
    return max(0.0, rounded(min(limit, before - spent)))


async def delete(client: Client, hash: str, options: CallOptions) -> bool:
    """Delete a key; False: it was gone already."""
    try:
        return not (await client.call(DELETE, KeyHash(hash=hash), options)).already_gone
    except NotFoundResponseError:
        return False
