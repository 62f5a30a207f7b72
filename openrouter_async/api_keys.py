"""`client.api_keys`: the operations on keys.

Amounts are USD. Every method raises an `OpenRouterError`: one by status for an answer of 4XX or
5XX, `APIConnectionError` or `APITimeoutError` without an answer, `InvalidRequestError` for a
refused parameter before anything is sent. Rules of the service:
https://openrouter.ai/docs/guides/overview/auth/management-api-keys
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack
from uuid import UUID

from openrouter_async._caller import Throttle
from openrouter_async._operations import (
    CREATE,
    CURRENT,
    DELETE,
    GET,
    LIST,
    UPDATE,
    CreateKeys,
    KeyHash,
    ListKeys,
    NoParams,
    UpdateKeys,
)
from openrouter_async._options import MAX_WAIT, OMITTED, CallOptions, Omitted, OnWait
from openrouter_async.errors import AmbiguousCreateError
from openrouter_async.models import (
    APIKey,
    CreateKeysResponse,
    DeleteKeysResponse,
    External,
    GetCurrentKeyResponse,
    GetKeyResponse,
    LimitReset,
    ListResponse,
    UpdateKeysResponse,
)
from openrouter_async.paging import KeyWalk
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    from openrouter_async._caller import Client
    from openrouter_async.bulk import BulkRun, ChangeProgress
    from openrouter_async.bulk._executor import SinkFactory
    from openrouter_async.bulk._get_many import KeyOutcome, KeyProgress
    from openrouter_async.provisioning import (
        AnySink,
        FinishedRotation,
        ProvisionedKey,
        Rotation,
        Unfinished,
    )


class APIKeys:
    """The keys of an account; all but `get_current_key_metadata` need a management key."""

    def __init__(self, caller: Client) -> None:
        self._caller = caller

    async def list(
        self,
        *,
        include_disabled: bool | str | Omitted | None = OMITTED,
        include_expired: bool | str | Omitted | None = OMITTED,
        offset: int | str | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListResponse:
        """List one page of keys, at most 100, newest first.

        Args:
            include_disabled: Whether disabled keys are listed; the service's default is False.
            include_expired: Whether expired keys are listed; the service's default is False.
            offset: How many keys to skip. To see all keys, use `iter`.
            workspace_id: The workspace to list; without it, only the default workspace.
            **options: See `CallOptions`.

        """
        given = ListKeys(
            include_disabled=include_disabled,
            include_expired=include_expired,
            offset=offset,
            workspace_id=workspace_id,
        )
        return await self._caller.call(LIST, given, options)

    def iter(
        self,
        *,
        include_disabled: bool | str | Omitted | None = OMITTED,
        include_expired: bool | str | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        lenient: bool = False,
        concurrency: int = 1,
        **options: Unpack[CallOptions],
    ) -> KeyWalk:
        """Walk over all keys that `list` would show on all its pages, newest first.

        Args:
            include_disabled: As for `list`.
            include_expired: As for `list`.
            workspace_id: As for `list`; each workspace is walked by itself.
            lenient: Collect records that cannot be read in `.problems` instead of raising.
            concurrency: How many pages may be fetched at once, ahead of the one that is read.
            **options: See `CallOptions`; they apply to each page.

        """
        given = ListKeys(
            include_disabled=include_disabled,
            include_expired=include_expired,
            workspace_id=workspace_id,
        )
        throttle = Throttle(self._caller, concurrency=concurrency)
        return KeyWalk(throttle, given, options, lenient=lenient, window=lambda: concurrency)

    async def create(
        self,
        name: str,
        *,
        limit: float | Omitted | None = OMITTED,
        limit_reset: LimitReset | str | Omitted | None = OMITTED,
        include_byok_in_limit: bool | Omitted | None = OMITTED,
        expires_at: datetime | str | Omitted | None = OMITTED,
        creator_user_id: str | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        external: External | Mapping[str, Any] | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> CreateKeysResponse:
        """Create a key; its plaintext is shown once, as `key` of the answer.

        It is never sent again once it may have arrived.

        Args:
            name: At least 1 character; names need not be unique.
            limit: USD that the key may spend in each window; None or omitted: unlimited. 0, or
                from 0.000001 to 1e12; any real number will do, and is sent as short as it can be
                written: `Decimal("0.1")` and `numpy.float32(0.1)` are 0.1.
            limit_reset: When the limit starts anew, at midnight UTC: `daily`, `weekly` (Mondays)
                or `monthly`; None or omitted: never.
            include_byok_in_limit: Whether usage of own provider keys counts toward the limit.
            expires_at: An aware datetime or an ISO 8601 str with a zone; sent as UTC. None or
                omitted: the key does not expire.
            creator_user_id: The member to create the key for, in an organization.
            workspace_id: Where the key belongs; omitted: the default workspace.
            external: A partner's own identity for the key, `External(user=...)` or a mapping with
                `user` and perhaps `api_key`; partner accounts only.
            **options: See `CallOptions`.

        Raises:
            AmbiguousCreateError: It was sent, and whether a key was made is unknown.

        """
        external = wrapped(external)
        given = CreateKeys(
            name=name,
            limit=limit,
            limit_reset=limit_reset,
            include_byok_in_limit=include_byok_in_limit,
            expires_at=expires_at,
            creator_user_id=creator_user_id,
            workspace_id=workspace_id,
            external=external,
        )
        return await self._caller.call(CREATE, given, options)

    async def get(self, hash: str, **options: Unpack[CallOptions]) -> GetKeyResponse:
        """Get one key by its hash.

        Args:
            hash: The key's `hash`, not the key itself.
            **options: See `CallOptions`.

        Raises:
            NotFoundResponseError: There is no such key.

        """
        return await self._caller.call(GET, KeyHash(hash=hash), options)

    async def get_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 16,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        progress: KeyProgress | None = None,
        **options: Unpack[CallOptions],
    ) -> builtins.list[KeyOutcome]:
        """Get many keys by their hashes, with one outcome for each, in order.

        A key that is gone or cannot be read is an outcome, not an error. The service's rate limit
        slows the run down and fails no key.

        Args:
            hashes: Hashes, not the keys themselves; one may be there twice.
            concurrency: How many requests may be under way at once.
            rate: How many requests a second may begin, retries included; needs the extra `audit`.
                None: no bound of yours, only what the service allows.
            max_wait: Seconds that each request may wait for the service's rate limit, in all;
                after that it fails with `TooManyRequestsResponseError`.
            on_wait: Called with a `Waiting` whenever the service slows the run down; an async
                function is awaited.
            progress: Called with each outcome as it comes, how many there are by now, and how many
                there will be; an async function is awaited.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: One is no hash; it names the place, and nothing was sent.

        """
        from openrouter_async.bulk._get_many import get_many

        throttle = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        return await get_many(throttle, hashes, progress=progress, options=options)

    async def update(
        self,
        hash: str,
        *,
        name: str | Omitted | None = OMITTED,
        disabled: bool | Omitted | None = OMITTED,
        limit: float | Omitted | None = OMITTED,
        limit_reset: LimitReset | str | Omitted | None = OMITTED,
        include_byok_in_limit: bool | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> UpdateKeysResponse:
        """Change a key; what is omitted stays as it is.

        Args:
            hash: The key's `hash`, not the key itself.
            name: The new name.
            disabled: Whether the key is refused; raising a limit does not enable a key.
            limit: USD in each window, replacing the old limit; None **removes** it. As for
                `create`.
            limit_reset: `daily`, `weekly` or `monthly`; None: the limit never resets.
            include_byok_in_limit: Whether usage of own provider keys counts toward the limit.
            workspace_id: Where to move the key; guardrails follow, presets and BYOK do not.
            **options: See `CallOptions`.

        Raises:
            InvalidRequestError: Nothing to change was given.

        """
        given = UpdateKeys(
            hash=hash,
            name=name,
            disabled=disabled,
            limit=limit,
            limit_reset=limit_reset,
            include_byok_in_limit=include_byok_in_limit,
            workspace_id=workspace_id,
        )
        return await self._caller.call(UPDATE, given, options)

    async def delete(self, hash: str, **options: Unpack[CallOptions]) -> DeleteKeysResponse:
        """Delete a key for good.

        When a repeated attempt finds the key gone, an earlier one did the work: that is a success
        with `already_gone=True`.

        Args:
            hash: The key's `hash`, not the key itself.
            **options: See `CallOptions`.

        Raises:
            NotFoundResponseError: There is no such key.

        """
        return await self._caller.call(DELETE, KeyHash(hash=hash), options)

    async def get_current_key_metadata(
        self, **options: Unpack[CallOptions]
    ) -> GetCurrentKeyResponse:
        """Describe the key that makes the request; works with any key."""
        return await self._caller.call(CURRENT, NoParams(), options)

    async def find_candidates(
        self,
        error: AmbiguousCreateError | Unfinished,
        *,
        within: float = 60.0,
        **options: Unpack[CallOptions],
    ) -> builtins.list[APIKey]:
        """List the keys that could be the one of an ambiguous create.

        They have its name (or its hash, if that was seen), are in its workspace and were created
        between 5 minutes before it was begun and 5 minutes after it was given up, by the service's
        clock; disabled and expired ones too. Nothing is changed. An empty answer proves nothing:
        the service may show the key later.

        Args:
            error: The error, or what `recover` says of an interrupted work.
            within: Seconds to go on looking, with growing waits, until there is one; 0: once.
            **options: See `CallOptions`; they apply to each request.

        """
        from openrouter_async.provisioning import _candidates

        return await _candidates.find_candidates(self._caller, error, within, options)

    async def provision(
        self,
        name: str,
        *,
        sink: AnySink,
        limit: float | Omitted | None = OMITTED,
        limit_reset: LimitReset | str | Omitted | None = OMITTED,
        include_byok_in_limit: bool | Omitted | None = OMITTED,
        expires_at: datetime | str | Omitted | None = OMITTED,
        creator_user_id: str | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        external: External | Mapping[str, Any] | Omitted | None = OMITTED,
        journal_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> ProvisionedKey:
        """Create a key and put its plaintext where it belongs, whatever fails on the way.

        Sink and journal are opened first, so that a disk that is full or read-only fails before a
        key exists. From the answer on the plaintext is on the disk; killed at any moment, it is
        there at 0600, or the key's name is in the journal: see `recover`.

        Args:
            name: As for `create`, like all parameters that are not named here.
            sink: A `FileSink`, `DotenvSink` or `StdoutSink`, or a function, sync or async, that is
                given the `ProvisionedKey`, such as one that stores it in a secrets manager.
            limit: As for `create`.
            limit_reset: As for `create`.
            include_byok_in_limit: As for `create`.
            expires_at: As for `create`.
            creator_user_id: As for `create`.
            workspace_id: As for `create`.
            external: As for `create`.
            journal_dir: The journal's folder, made at 0700; one that is there must be writable by
                nobody else. None: `$XDG_STATE_HOME/openrouter_async/journal`.
            **options: See `CallOptions`.

        Raises:
            SinkError: Sink or journal cannot be opened, and no key was made; or the sink failed
                afterwards, and the plaintext is in `.journal`.
            AmbiguousCreateError: Whether a key was made is unknown; the journal remembers it.

        """
        external = wrapped(external)
        given = CreateKeys(
            name=name,
            limit=limit,
            limit_reset=limit_reset,
            include_byok_in_limit=include_byok_in_limit,
            expires_at=expires_at,
            creator_user_id=creator_user_id,
            workspace_id=workspace_id,
            external=external,
        )
        from openrouter_async.provisioning import _provision

        return await _provision.provision(self._caller, given, sink, journal_dir, options)

    async def rotate(
        self,
        hash: str,
        *,
        sink: AnySink,
        verify_within: float = 30.0,
        journal_dir: str | os.PathLike[str] | None = None,
        allow_unguarded: bool = False,
        **options: Unpack[CallOptions],
    ) -> Rotation:
        """Replace a key by a twin: create, store, verify, compare, then disable the old one.

        The twin has the old key's limit, reset, BYOK setting, workspace, expiry, creator and
        external user, and its name with the day behind it: `acme (rotated 2026-08-01)`; a later
        rotation replaces that day. The old key is not deleted: `finish_rotations` does that later,
        `roll_back` enables it.

        The twin never has more than the old key had:

        - Of a limit that never resets it gets what is left. Until the old key is disabled both can
          spend that, so the twin's limit is lowered by what the old one spent meanwhile, also by
          what `finish_rotations` finds charged afterwards. A key of which nothing is left is
          refused.
        - A limit that resets is carried whole, since a twin that started with what is left of it
          would have too little from the next window on. So the current window's budget starts
          anew: `left_behind` says how much that is. Keys that must not have it wait for the reset.
        - A guardrail that is assigned to the key is not carried yet. The rotation is refused where
          the key has one, or where that cannot be known, before anything is made. Those of the
          workspace and of the creator bind the twin as they did the old key.

        Allow lists and other places that name the old key's hash are not changed:
        `Rotation.left_behind` names them.

        A rotation that stopped is gone on with by calling this again. If the old key was changed
        meanwhile so that the twin is no longer its equal, that is refused: roll back, then rotate.

        Args:
            hash: The old key's hash.
            sink: As for `provision`. To store over the old plaintext, use one with `replace=True`;
                `roll_back` cannot bring that plaintext back.
            verify_within: Seconds until the new key must answer; a new one may need some.
            journal_dir: As for `provision`.
            allow_unguarded: Rotate though the twin will lack the key's guardrail, or may.
            **options: See `CallOptions`.

        Raises:
            RotationError: The key is in use by this client, disabled, expired, exhausted or
                guarded, or the service refuses its creator or external user; an earlier rotation
                needs a decision, or this one stopped: `.journal` remembers how far.
            SinkError: As for `provision`.
            AmbiguousCreateError: As for `provision`.

        """
        from openrouter_async.provisioning import _rotate

        means = _rotate.RotationContext(
            client=self._caller,
            options=options,
            verify_within=verify_within,
            allow_unguarded=allow_unguarded,
        )
        return await _rotate.rotate(means, hash, sink, journal_dir)

    async def finish_rotations(
        self,
        *,
        grace: timedelta | float = timedelta(hours=24),
        journal_dir: str | os.PathLike[str] | None = None,
        now: datetime | None = None,
        **options: Unpack[CallOptions],
    ) -> builtins.list[FinishedRotation]:
        """Delete the old keys of rotations that were disabled longer than a grace, and unused.

        A key is kept where it was enabled again, used later than a minute after it was disabled,
        or where its successor is gone, disabled or expired. Of a limit that never resets, what was
        charged to the key after it was disabled is taken off its successor's.

        Args:
            grace: How long a key stays disabled; a number is seconds.
            journal_dir: As for `provision`.
            now: Aware. None: the present.
            **options: See `CallOptions`.

        """
        from openrouter_async.provisioning import _recovery

        return await _recovery.finish_rotations(self._caller, grace, journal_dir, now, options)

    async def roll_back(
        self,
        hash: str,
        *,
        journal_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> APIKey:
        """Undo a rotation: enable the old key, delete the new one, and forget the rotation.

        Where the old key's limit never resets, what the new one spent is taken off it.

        Args:
            hash: The old key's hash.
            journal_dir: As for `provision`.
            **options: See `CallOptions`.

        Raises:
            RotationError: There is no rotation of this key, or the new key is not known.

        """
        from openrouter_async.provisioning import _rotate

        return await _rotate.roll_back(self._caller, hash, journal_dir, options)

    async def recover(
        self,
        *,
        journal_dir: str | os.PathLike[str] | None = None,
        within: float = 0.0,
        **options: Unpack[CallOptions],
    ) -> builtins.list[Unfinished]:
        """List what the journals say is unfinished, oldest first; changes nothing.

        Each says its `state` and, as `advice`, what can be done; where a key may exist,
        `candidates` has those that could be it.

        Args:
            journal_dir: As for `provision`.
            within: Seconds to look for candidates; 0: once.
            **options: See `CallOptions`.

        """
        from openrouter_async.provisioning import _recovery

        return await _recovery.recover(self._caller, journal_dir, within, options)

    async def resume(
        self,
        unfinished: Unfinished,
        *,
        sink: AnySink | None = None,
        verify_within: float = 30.0,
        **options: Unpack[CallOptions],
    ) -> Unfinished | None:
        """Bring an unfinished work to its end as far as that needs no decision.

        A plaintext is put into its sink, a rotation goes on (one of a guarded key only if it was
        begun with `allow_unguarded`), what is over is cleaned. The result is
        what is still unfinished, None when all is done: a key that may exist, or a rotation whose
        old key waits for `finish_rotations`.

        Args:
            unfinished: One of what `recover` gave.
            sink: Another sink; needed where the first one was a function.
            verify_within: As for `rotate`.
            **options: See `CallOptions`.

        Raises:
            SinkError: The sink failed again, or is needed; the journal keeps the plaintext.
            RotationError: The rotation stopped again.

        """
        from openrouter_async.provisioning import _recovery, _rotate

        means = _rotate.RotationContext(
            client=self._caller, options=options, verify_within=verify_within
        )
        return await _recovery.resume(means, unfinished, sink)

    def create_many(
        self,
        keys: Iterable[Mapping[str, Any]],
        *,
        sink: SinkFactory,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        journal_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Create many keys, each plaintext stored before the next key is asked for on its slot.

        Await the result: `outcomes = await client.api_keys.create_many(...)`.

        Args:
            keys: The parameters of `create` for each key, such as `{"name": "acme", "limit": 5}`.
            sink: Gives the sink of one key; it is told the key's parameters and its `index`. What
                it raises fails that key only.
            concurrency: How many keys may be under way at once.
            rate: How many requests a second may begin, retries included; needs the extra `audit`.
                None: no bound of yours, only what the service allows.
            max_wait: Seconds that each request may wait for the service's rate limit, in all;
                after that it fails with `TooManyRequestsResponseError`.
            on_wait: Called with a `Waiting` whenever the service slows the run down; an async
                function is awaited.
            dry_run: Send nothing; the outcomes say what would be done.
            progress: Called with each outcome, how many there are and how many there will be; an
                async function is awaited.
            outcomes_file: A file (NDJSON, 0600) that outcomes are added to as they come. What it
                says is done is not done again, nor is a create that may have been done. It belongs
                to one account: which one this key belongs to is asked first, and the file of
                another one or of another `server_url` is refused.
            journal_dir: As for `provision`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is wrong; nothing was sent, and it names the place.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk import BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _executor.Executor(
            client=client,
            options=options,
            dry_run=dry_run,
            sink=sink,
            journal_dir=journal_dir,
        )
        return BulkRun(
            carrier,
            _items.creates(keys),
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def update_many(
        self,
        changes: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Change many keys; what is omitted stays as it is.

        Args:
            changes: The parameters of `update` for each key, such as `{"hash": …, "limit": 5}`.
            concurrency: As for `create_many`.
            rate: As for `create_many`.
            max_wait: As for `create_many`.
            on_wait: As for `create_many`.
            dry_run: Only read the keys; the outcomes say as `widens` what a key may do then and
                may not do now.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is wrong, or a key stands there twice.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk import BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _executor.Executor(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.updates(changes),
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def disable_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Disable many keys.

        Parameters and errors are those of `delete_many`.
        """
        from openrouter_async.bulk import Action, BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _executor.Executor(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.of_hashes(Action.DISABLE, hashes),
            progress=progress,
            outcomes_file=outcomes_file,
        )

    def delete_many(
        self,
        hashes: Iterable[str],
        *,
        concurrency: int = 10,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
        dry_run: bool = False,
        progress: ChangeProgress | None = None,
        outcomes_file: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> BulkRun:
        """Delete many keys for good.

        Args:
            hashes: The keys' hashes; one that stands there twice is deleted once.
            concurrency: As for `create_many`.
            rate: As for `create_many`.
            max_wait: As for `create_many`.
            on_wait: As for `create_many`.
            dry_run: Only read the keys.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A hash is none; nothing was sent, and it names the place.
            ConfigurationError: The file of outcomes cannot be used.

        """
        from openrouter_async.bulk import Action, BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        carrier = _executor.Executor(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            carrier,
            _items.of_hashes(Action.DELETE, hashes),
            progress=progress,
            outcomes_file=outcomes_file,
        )


def wrapped(
    external: External | Mapping[str, Any] | Omitted | None,
) -> External | Mapping[str, Any] | Omitted | None:
    """Wrap a partner's key, so that a traceback through `create` does not show it."""
    with suppress(Exception):  # a mapping that cannot be read is refused by name later
        if isinstance(external, Mapping) and isinstance(external.get("api_key"), str):
            return {**external, "api_key": Secret(external["api_key"])}
    return external
