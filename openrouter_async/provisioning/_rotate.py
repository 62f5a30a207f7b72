"""Replace a key by a new one: there is always a working key, and any step can be resumed.

A rotation continues from what its journal records: the new key is created and stored by the steps
of `provision`, then verified and compared with the old key, and only then is the old key disabled.
The journal stays, without the plaintext, until `finish_rotations` deletes the old key.

The new key never gets more than the old key has. Until the old key is disabled, both keys could
spend the remainder of a limit that never resets, so the new key's limit is lowered to the current
remainder just before the old key is disabled, and again after. Each such amount is written to the
journal first.
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
from openrouter_async._concurrency import run_to_end
from openrouter_async._files import reason
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
    KeyInProgress,
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
    replacement_params,
    spent_by,
)
from openrouter_async.provisioning._unfinished import (
    ROTATION,
    State,
    Unfinished,
    item_from,
    trusted,
)
from openrouter_async.secret import Secret

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 4.0
_BACK: Final = "rolling back"
_ALLOW: Final = "pass allow_unguarded=True (--allow-unguarded) to rotate anyway"
_MOST_WALKS: Final = 3
"""How often to read the list of assignments if it changes while it is read."""


@attrs.frozen(kw_only=True)
class Rotation:
    """A replaced key: the new key works, the old key is disabled but not yet deleted."""

    old_hash: str
    new: ProvisionedKey
    disabled_at: datetime
    """When the old key was disabled (UTC)."""
    journal: str
    """Path of the journal, which `finish_rotations` and `roll_back` read."""
    limit: float | None = None
    """The new key's limit (USD); where it never resets, what was left of the old key's limit."""
    old_limit: float | None = None
    """The old key's limit (USD); None: unlimited, and so is the new key."""
    left_behind: tuple[str, ...] = ()
    """What the new key lacks or may lack compared with the old key; a phrase each."""


@attrs.frozen(kw_only=True)
class RotationContext:
    """The client and settings of a rotation."""

    client: Client
    options: CallOptions
    verify_within: float
    """Seconds to wait until the service accepts the new key."""
    allow_unguarded: bool = False
    """Whether the new key may lack a guardrail that the old one has."""

    def __attrs_post_init__(self) -> None:
        _checks.strict_flag("allow_unguarded", self.allow_unguarded)
        seconds("verify_within", self.verify_within)


async def rotate(
    context: RotationContext, hash: str, sink: AnySink, journal_dir: str | os.PathLike[str] | None
) -> Rotation:
    """Begin a rotation, or continue an unfinished one; see `client.api_keys.rotate`."""
    hash = _checks.key_hash("hash", hash)
    chosen, folder = as_sink(sink), folder_at(journal_dir)
    earlier = await run_to_end(partial(rotation_of, hash, folder))
    if earlier is not None and earlier.state is not State.UNSENT:
        return await _continue(context, earlier, chosen)
    if earlier is not None:
        # It sent no create request, so there is nothing to continue.
        await run_to_end(partial(dismiss, earlier))
    client, options = context.client, context.options
    old = (await client.call(GET, KeyHash(hash=hash), options)).data
    _refuse_unfit(old)
    await _refuse_key_in_use(client, old, options)
    unguarded = await _refuse_unguarded(context, hash)
    # Read it again, as it may have changed during the checks.
    old = (await client.call(GET, KeyHash(hash=hash), options)).data
    _refuse_unfit(old)
    params = replacement_params(old)
    facts = {"limit": params.limit, "allow_unguarded": context.allow_unguarded}
    in_progress = await begin(params, chosen, folder, kind=ROTATION, old_hash=hash, **facts)
    try:
        # Only now, with our own journal on disk: of two processes, at least one sees the other.
        rival = await run_to_end(partial(rotation_of, hash, folder, but=in_progress.journal.path))
        if rival is not None:
            await run_to_end(in_progress.abandon)
            raise _rotation_error("another rotation of this key began at the same time", rival)
        key = await _create_replacement(in_progress, client, old, params, options)
        await in_progress.deliver(key)
        return await _replace(context, old, in_progress.journal, key, unguarded)
    finally:
        in_progress.journal.close()


def rotation_of(hash: str, folder: Path, but: Path | None = None) -> Unfinished | None:
    """Return the latest unfinished rotation of this key, except the one at `but`; None: no such."""
    found = [item for item in trusted(folder) if item.old_hash == hash]
    others = [item for item in found if item.journal != str(but)]
    return others[-1] if others else None


async def _create_replacement(
    in_progress: KeyInProgress,
    client: Client,
    old: APIKey,
    params: CreateKeys,
    options: CallOptions,
) -> ProvisionedKey:
    """Create the new key; raises `RotationError` if the service refuses the same users for it."""
    carried = {"creator": old.creator_user_id, "external user": old.external_user}
    users = " and ".join(f"{role} {user}" for role, user in carried.items() if user)
    try:
        return await in_progress.create(client, params, options)
    except (BadRequestResponseError, ForbiddenResponseError, ConflictResponseError) as error:
        if not users:
            raise
        problem = str(error)
    raise RotationError(
        f"the service refused a new key for the {users} of the old one, and none was created: "
        f"{problem}",
        operation=ROTATION,
        old_hash=old.hash,
    )


def _refuse_unfit(old: APIKey) -> None:
    """Raise `RotationError` if the key is disabled, expired or exhausted."""
    problem = None
    if old.disabled:
        problem = "the key is disabled, but its successor would work: enable it first"
    elif old.is_expired():
        problem = "the key has expired, but its successor would work"
    elif left_of_cap(old) == 0:
        problem = (
            f"the key is exhausted: nothing is left of its limit of {old.limit} USD, which never "
            "resets, so its successor could spend nothing: raise the limit first"
        )
    if problem is not None:
        raise RotationError(problem, operation=ROTATION, old_hash=old.hash)


async def _refuse_key_in_use(client: Client, old: APIKey, options: CallOptions) -> None:
    """Raise `RotationError` if the client itself uses the key."""
    current = await client.call(CURRENT, NoParams(), options)
    # The response has no hash, but the label is a part of the key itself.
    if current.data.label == old.label:
        raise RotationError(
            "the key is the one that this client uses", operation=ROTATION, old_hash=old.hash
        )


async def _refuse_unguarded(context: RotationContext, hash: str) -> str | None:
    """Return the guardrail that the new key would lack; raises `RotationError` unless allowed."""
    unguarded = await _unguarded(context, hash)
    if unguarded is not None and not context.allow_unguarded:
        problem = f"the new key would lack {unguarded}; {_ALLOW}"
        raise RotationError(problem, operation=ROTATION, old_hash=hash)
    return unguarded


async def _unguarded(
    context: RotationContext, old_hash: str, new_hash: str | None = None
) -> str | None:
    """Return the guardrail that the new key would or may lack, as a phrase; None: no guardrail."""
    try:
        guardrails = await _guardrails_of(context, {old_hash, new_hash} - {None})
    except OpenRouterError as error:
        return f"a guardrail, if the old key has one, which cannot be determined ({error})"
    guardrail = guardrails.get(old_hash)
    if guardrail is None or guardrail == guardrails.get(new_hash):
        return None
    return f"the guardrail {guardrail}"


async def _guardrails_of(
    context: RotationContext, hashes: AbstractSet[str | None]
) -> dict[str | None, str]:
    """Return the guardrails assigned to these keys by hash; a key has at most one."""
    for _ in range(_MOST_WALKS):
        found: dict[str | None, str] = {}
        walk = KeyAssignmentWalk(context.client, context.options)
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
        # Only a complete walk proves that a key has no guardrail.
        if walk.complete:
            return found
    raise PagingError("the guardrail assignments kept changing while they were read")


async def _continue(context: RotationContext, earlier: Unfinished, sink: Sink) -> Rotation:
    """Continue a rotation; raises `RotationError` if that needs a decision by the user."""
    journal = await _take_over(earlier)
    try:
        item = item_from(journal)
        if item.state not in (State.UNDELIVERED, State.DELIVERED):
            raise _rotation_error(f"an earlier rotation is {item.state}: {item.advice}", item)
        return await resume_rotation(context, journal, sink)
    finally:
        journal.close()


async def _take_over(item: Unfinished) -> Journal:
    """Open a rotation's journal, which may have changed or gone; raises `RotationError`."""
    try:
        return await reopen(Path(item.journal))
    except BlockingIOError:
        problem = "is busy: another process is working on it"
    except FileNotFoundError:
        problem = "was ended by another process"
    except OSError as error:
        problem = f"cannot be continued: {reason(error)}"
    raise _rotation_error(f"an earlier rotation of this key {problem}", item)


async def resume_rotation(
    context: RotationContext, journal: Journal, sink: Sink | None
) -> Rotation:
    """Take the remaining steps of a rotation; the caller keeps the journal open."""
    item = item_from(journal)
    if item.old_hash is None:
        raise _rotation_error("the journal does not name the key to be replaced", item)
    key = await deliver_again(journal, item, sink)
    old = (await context.client.call(GET, KeyHash(hash=item.old_hash), context.options)).data
    unguarded = await _unguarded(context, item.old_hash, key.hash)
    allowed = context.allow_unguarded or Plan.read(journal.entries).allow_unguarded
    if unguarded is not None and not allowed:
        problem = (
            f"the new key lacks {unguarded}; assign it to {key.hash} and rotate again, or {_ALLOW}"
        )
        raise _stopped(problem, item.old_hash, key, journal)
    return await _replace(context, old, journal, key, unguarded)


async def _replace(
    context: RotationContext,
    old: APIKey,
    journal: Journal,
    key: ProvisionedKey,
    unguarded: str | None,
) -> Rotation:
    """Verify and compare the new key, disable the old one, and leave the journal pending."""
    try:
        current = await _wait_until_usable(context, key.secret)
        await _refuse_difference(context, old, journal, key, current)
        await run_to_end(partial(journal.note, "verified"))
        limit = await _lower_limit(context, old, journal, key, current.limit)
        disabled_at = await _disable(context, old.hash)
        old = (await context.client.call(GET, KeyHash(hash=old.hash), context.options)).data
        # Compare and lower again: the old key may have changed, or spent, before it was disabled.
        await _refuse_difference(context, old, journal, key, current)
        limit = await _lower_limit(context, old, journal, key, limit)
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
    # Outside the `except`, so that no exception is chained.
    raise _stopped(problem, old.hash, key, journal)


def _stopped(problem: str, old_hash: str, key: ProvisionedKey, journal: Journal) -> RotationError:
    return RotationError(
        f"{problem}; both keys exist, and the new one is in {key.sink}: call rotate() again to "
        "continue, or roll_back() to undo",
        operation=ROTATION,
        old_hash=old_hash,
        new_hash=key.hash,
        journal=str(journal.path),
    )


async def _lower_limit(
    context: RotationContext,
    old: APIKey,
    journal: Journal,
    key: ProvisionedKey,
    limit: float | None,
) -> float | None:
    """Lower the new key's lifetime cap to what is left of the old key's; return its limit (USD)."""
    left = left_of_cap(old)
    if limit is None or left is None or rounded(limit) <= left:
        return limit
    if key.hash is None:
        raise RotationError("the new key's hash is unknown, so its limit cannot be lowered")
    await run_to_end(partial(journal.note, "lowering", limit=left))
    await lower_limit(context.client, key.hash, left, context.options)
    return left


async def lower_limit(client: Client, hash: str, limit: float, options: CallOptions) -> None:
    """Lower a new key's limit (USD); raises `RotationError` if the service does not."""
    new = (await client.call(UPDATE, UpdateKeys(hash=hash, limit=limit), options)).data
    if new.limit is None or rounded(new.limit) > limit:
        raise RotationError("the service did not lower the new key's limit")


async def _disable(context: RotationContext, hash: str) -> datetime:
    """Disable a key and return when, by the service's clock if the response has the time."""
    changed = UpdateKeys(hash=hash, disabled=True)
    after = (await context.client.call(UPDATE, changed, context.options)).data
    if not after.disabled:
        raise RotationError("the service did not disable the old key")
    return after.updated_at or datetime.now(UTC)


async def _wait_until_usable(context: RotationContext, secret: Secret) -> GetCurrentKeyData:
    """Request the new key's metadata until the service accepts the key, which may take seconds."""
    clock = context.client.clock
    deadline = clock.time() + context.verify_within
    wait = _FIRST_WAIT
    while True:
        try:
            return (
                await context.client.call(CURRENT, NoParams(), context.options, key=secret)
            ).data
        # The responses to a key that the service does not know yet.
        except (UnauthorizedResponseError, ForbiddenResponseError, NotFoundResponseError):
            left = deadline - clock.time()
            if left <= 0:
                raise
        await clock.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)


async def _refuse_difference(
    context: RotationContext,
    old: APIKey,
    journal: Journal,
    key: ProvisionedKey,
    current: GetCurrentKeyData,
) -> None:
    """Raise `RotationError` if the new key may do more or less than the old key."""
    plan = Plan.read(journal.entries)
    fields = differences(old, plan, current)
    record = key.data
    if record is None and key.hash is not None:  # a resumed rotation has no record
        record = (await context.client.call(GET, KeyHash(hash=key.hash), context.options)).data
    if record is not None:
        fields += differences(old, plan, record)
        if record.label != current.label:
            fields.append("label")
    if fields:
        names = ", ".join(dict.fromkeys(fields))
        raise RotationError(f"the new key differs from the old one in {names}")


def _rotation_error(problem: str, item: Unfinished) -> RotationError:
    return RotationError(
        problem,
        operation=ROTATION,
        old_hash=item.old_hash,
        new_hash=item.hash,
        journal=item.journal,
    )


async def roll_back(
    client: Client, hash: str, journal_dir: str | os.PathLike[str] | None, options: CallOptions
) -> APIKey:
    """Enable the old key, delete the new one and the journal; see `client.api_keys.roll_back`."""
    hash = _checks.key_hash("hash", hash)
    item = await run_to_end(partial(rotation_of, hash, folder_at(journal_dir)))
    if item is None:
        raise RotationError("there is no rotation of this key", operation=ROTATION, old_hash=hash)
    journal = await _take_over(item)
    try:
        item = item_from(journal)  # it may have changed since it was found without a lock
        if item.old_hash != hash or (item.hash is None and item.state is not State.UNSENT):
            raise _rotation_error(f"the new key's hash is unknown: {item.advice}", item)
        # Enable before deleting, so that there is a working key if the next request fails.
        old = await _enable(client, hash, item, journal, options)
        if item.hash is not None:
            await delete(client, item.hash, options)
        try:
            await run_to_end(partial(clean_up, journal, item))
        except OSError as error:
            problem = f"the journal cannot be removed: {reason(error)}"
        else:
            return old
    finally:
        journal.close()
    raise _rotation_error(problem, item)


async def _enable(
    client: Client, hash: str, item: Unfinished, journal: Journal, options: CallOptions
) -> APIKey:
    """Enable the old key, deducting what its successor spent from a limit that never resets."""
    limit: float | Omitted = OMITTED
    old = (await client.call(GET, KeyHash(hash=hash), options)).data
    if old.limit is not None and old.limit_reset is None:
        spent = await _spent_by_successor(client, item, options)
        if spent:
            limit = await _reduced(old.limit, spent, journal)
    changed = UpdateKeys(hash=hash, disabled=False, limit=limit)
    old = (await client.call(UPDATE, changed, options)).data
    if old.disabled:
        raise _rotation_error("the service did not enable the old key", item)
    if isinstance(limit, float) and (old.limit is None or rounded(old.limit) > limit):
        raise _rotation_error("the service did not lower the old key's limit", item)
    return old


async def _spent_by_successor(client: Client, item: Unfinished, options: CallOptions) -> float:
    if item.hash is None:
        return 0.0
    try:
        return spent_by((await client.call(GET, KeyHash(hash=item.hash), options)).data)
    except NotFoundResponseError:  # an earlier, interrupted attempt deleted it
        return 0.0


async def _reduced(limit: float, spent: float, journal: Journal) -> float:
    """Return the limit less the amount spent (USD), deducting it once even if repeated."""
    # The limit before the deduction is in the journal, so that a repetition starts from it again.
    noted = [amount_in(entry, "limit") for entry in journal.entries if entry["step"] == _BACK]
    before = next((amount for amount in noted if amount is not None), None)
    if before is None:
        before = limit
        await run_to_end(partial(journal.note, _BACK, limit=before))
    return max(0.0, rounded(min(limit, before - spent)))


async def delete(client: Client, hash: str, options: CallOptions) -> bool:
    """Delete a key; return False if it was already gone."""
    try:
        return not (await client.call(DELETE, KeyHash(hash=hash), options)).already_gone
    except NotFoundResponseError:
        return False
