"""`client.api_keys`: the operations on keys.

Amounts are in USD. Methods raise an `OpenRouterError`: for a 4XX or 5XX response, the class of its
status; without a response, `APIConnectionError` or `APITimeoutError`; for a rejected parameter,
`InvalidRequestError` before anything is sent. The service's rules:
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
            include_disabled: Whether to list disabled keys; the service's default is False.
            include_expired: Whether to list expired keys; the service's default is False.
            offset: How many keys to skip. To get all keys, use `iter`.
            workspace_id: The workspace whose keys to list; omitted: the default workspace.
            **options: See `CallOptions`.

        """
        params = ListKeys(
            include_disabled=include_disabled,
            include_expired=include_expired,
            offset=offset,
            workspace_id=workspace_id,
        )
        return await self._caller.call(LIST, params, options)

    def iter(
        self,
        *,
        include_disabled: bool | str | Omitted | None = OMITTED,
        include_expired: bool | str | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        lenient: bool = False,
        concurrency: int = 16,
        **options: Unpack[CallOptions],
    ) -> KeyWalk:
        """Walk over all keys that `list` would show on all its pages, newest first.

        Args:
            include_disabled: As for `list`.
            include_expired: As for `list`.
            workspace_id: As for `list`; a walk covers a single workspace.
            lenient: Whether to collect records that cannot be read in `.problems` instead of
                raising.
            concurrency: How many pages may be fetched at once. The first page is fetched alone,
                then up to 4 ahead of the reader, and one more with each page that is read. 1: each
                page is fetched when it is needed.
            **options: See `CallOptions`; they apply to each page.

        """
        params = ListKeys(
            include_disabled=include_disabled,
            include_expired=include_expired,
            workspace_id=workspace_id,
        )
        throttle = Throttle(self._caller, concurrency=concurrency)
        return KeyWalk(throttle, params, options, lenient=lenient, window=lambda: concurrency)

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
        """Create a key; its plaintext is returned only once, as `key` of the response.

        Once the request may have arrived, it is never sent again.

        Args:
            name: At least 1 character; names need not be unique.
            limit: USD that the key may spend in each window: 0, or from 0.000001 to 1e12; None or
                omitted: unlimited. Any real number is accepted, and sent in its shortest notation:
                `Decimal("0.1")` and `numpy.float32(0.1)` are 0.1.
            limit_reset: When the limit resets, at midnight UTC: `daily`, `weekly` (Mondays) or
                `monthly`; None or omitted: never.
            include_byok_in_limit: Whether usage of your own provider keys (BYOK) counts toward the
                limit.
            expires_at: An aware datetime or an ISO 8601 str with a zone; sent as UTC. None or
                omitted: the key does not expire.
            creator_user_id: The member to create the key for, in an organization.
            workspace_id: The key's workspace; omitted: the default workspace.
            external: A partner's own identity for the key: `External(user=...)`, or a mapping with
                `user` and optionally `api_key`; for partner accounts only.
            **options: See `CallOptions`.

        Raises:
            AmbiguousCreateError: The request was sent, and it is unknown whether a key was made.

        """
        external = wrapped(external)
        params = CreateKeys(
            name=name,
            limit=limit,
            limit_reset=limit_reset,
            include_byok_in_limit=include_byok_in_limit,
            expires_at=expires_at,
            creator_user_id=creator_user_id,
            workspace_id=workspace_id,
            external=external,
        )
        return await self._caller.call(CREATE, params, options)

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
        """Get many keys by their hashes; return one outcome for each, in order.

        A key that is gone or cannot be read is an outcome, not an error. The service's rate limit
        slows the run down, but fails no key.

        Args:
            hashes: Hashes, not the keys themselves; duplicates are allowed.
            concurrency: How many requests may be in flight at once.
            rate: How many requests per second may start, retries included; needs the extra
                `audit`. None: only the service's own limit applies.
            max_wait: Seconds that each request may wait for the service's rate limit, in total;
                after that it fails with `TooManyRequestsResponseError`.
            on_wait: Called with a `Waiting` whenever the service slows the run down; an async
                function is awaited.
            progress: Called with each outcome as it arrives, the number of outcomes so far, and
                their total; an async function is awaited.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: An item is not a hash; the message has its index, and nothing was
                sent.

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
        """Change a key; omitted fields stay as they are.

        Args:
            hash: The key's `hash`, not the key itself.
            name: The new name.
            disabled: Whether the service refuses the key; raising its limit does not enable it.
            limit: USD in each window, replacing the old limit; None **removes** the limit. Values
                are as for `create`.
            limit_reset: `daily`, `weekly` or `monthly`; None: the limit never resets.
            include_byok_in_limit: As for `create`.
            workspace_id: The workspace to move the key to; guardrails move along, presets and BYOK
                do not.
            **options: See `CallOptions`.

        Raises:
            InvalidRequestError: There is nothing to change.

        """
        params = UpdateKeys(
            hash=hash,
            name=name,
            disabled=disabled,
            limit=limit,
            limit_reset=limit_reset,
            include_byok_in_limit=include_byok_in_limit,
            workspace_id=workspace_id,
        )
        return await self._caller.call(UPDATE, params, options)

    async def delete(self, hash: str, **options: Unpack[CallOptions]) -> DeleteKeysResponse:
        """Delete a key permanently.

        If a retry finds the key gone, an earlier attempt has deleted it: that is a success, with
        `already_gone=True`.

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
        """Get the metadata of the key that makes the request; works with any key."""
        return await self._caller.call(CURRENT, NoParams(), options)

    async def find_candidates(
        self,
        error: AmbiguousCreateError | Unfinished,
        *,
        within: float = 60.0,
        **options: Unpack[CallOptions],
    ) -> builtins.list[APIKey]:
        """List the keys that an ambiguous create may have made.

        They have its name (or its hash, if that is known), are in its workspace, and were created
        between 5 minutes before it started and 5 minutes after it gave up, by the service's clock.
        Disabled and expired keys are included. Nothing is changed. An empty list proves nothing:
        the service may show the key later.

        Args:
            error: The error, or an item that `recover` lists for an interrupted create.
            within: Seconds to keep looking, with growing waits, until there is a candidate; 0:
                look once.
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
        """Create a key and store its plaintext safely, whatever fails on the way.

        The sink and the journal are opened first, so that a full or read-only disk fails before a
        key exists. As soon as the response arrives, the plaintext is written to disk. If the
        process is killed at any moment, the plaintext is in a file with mode 0600, or the key's
        name is in the journal: see `recover`.

        Args:
            name: As for `create`.
            sink: A `FileSink`, `DotenvSink` or `StdoutSink`, or a sync or async function that is
                called with the `ProvisionedKey`, such as one that stores it in a secrets manager.
            limit: As for `create`.
            limit_reset: As for `create`.
            include_byok_in_limit: As for `create`.
            expires_at: As for `create`.
            creator_user_id: As for `create`.
            workspace_id: As for `create`.
            external: As for `create`.
            journal_dir: The journal's folder, created with mode 0700; an existing one must not be
                writable by others. None: `$XDG_STATE_HOME/openrouter_async/journal`.
            **options: See `CallOptions`.

        Raises:
            SinkError: The sink or journal cannot be opened, and no key was made; or the sink failed
                afterwards, and the plaintext is in `.journal`.
            AmbiguousCreateError: It is unknown whether a key was made; the journal records the
                create.

        """
        external = wrapped(external)
        params = CreateKeys(
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

        return await _provision.provision(self._caller, params, sink, journal_dir, options)

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
        """Replace a key: create a successor, store, verify, compare, then disable the old key.

        The successor has the old key's limit, reset, BYOK setting, workspace, expiry, creator and
        external user. Its name has the date appended: `acme (rotated 2026-08-01)`; a later rotation
        replaces that date. The old key is not deleted: `finish_rotations` deletes it later, and
        `roll_back` enables it again.

        The successor never has more than the old key had:

        - Of a limit that never resets, it gets what is left. Until the old key is disabled, both
          keys can spend that, so the successor's limit is then lowered by what the old key has
          spent in the meantime, including charges that `finish_rotations` finds later. A key with
          nothing left is refused.
        - A limit that resets is carried over whole, because with only the rest of it, the successor
          would have too little from the next window on. So the current window's budget starts
          afresh: `left_behind` says how much that is. To avoid this, rotate right after the reset.
        - A guardrail that is assigned to the key is not carried over yet. If the key has one, or
          if that cannot be determined, the rotation is refused before anything is created. The
          guardrails of the workspace and of the creator apply to the successor as they did to the
          old key.

        Allow lists and other places that contain the old key's hash are not changed:
        `Rotation.left_behind` lists them.

        To continue a rotation that stopped, call this method again. If the old key has been changed
        since, so that the successor no longer equals it, that is refused: roll back, then rotate.

        Args:
            hash: The old key's hash.
            sink: As for `provision`. To overwrite the old plaintext, use one with `replace=True`;
                `roll_back` cannot restore that plaintext.
            verify_within: Seconds within which the new key must work; that may take a moment.
            journal_dir: As for `provision`.
            allow_unguarded: Whether to rotate even if the successor lacks the key's guardrail, or
                may lack one.
            **options: See `CallOptions`.

        Raises:
            RotationError: The key is in use by this client, disabled, expired, exhausted or
                guarded, or the service rejects its creator or external user; an earlier rotation
                needs a decision; or this one stopped, and `.journal` records how far it got.
            SinkError: As for `provision`.
            AmbiguousCreateError: As for `provision`.

        """
        from openrouter_async.provisioning import _rotate

        context = _rotate.RotationContext(
            client=self._caller,
            options=options,
            verify_within=verify_within,
            allow_unguarded=allow_unguarded,
        )
        return await _rotate.rotate(context, hash, sink, journal_dir)

    async def finish_rotations(
        self,
        *,
        grace: timedelta | float = timedelta(hours=24),
        journal_dir: str | os.PathLike[str] | None = None,
        now: datetime | None = None,
        **options: Unpack[CallOptions],
    ) -> builtins.list[FinishedRotation]:
        """Delete old keys of rotations that have been disabled and unused for a grace period.

        A key is kept if it has been enabled again or used more than a minute after it was disabled,
        or if its successor is gone, disabled or expired. If the limit never resets, charges to the
        old key after it was disabled are subtracted from its successor's limit.

        Args:
            grace: How long a key must have been disabled; a number is in seconds.
            journal_dir: As for `provision`.
            now: An aware datetime. None: the current time.
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
        """Undo a rotation: enable the old key, delete the new one and remove the journal.

        If the old key's limit never resets, what the new key has spent is subtracted from it.

        Args:
            hash: The old key's hash.
            journal_dir: As for `provision`.
            **options: See `CallOptions`.

        Raises:
            RotationError: There is no rotation of this key, or the new key is unknown.

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
        """List the unfinished work that journals record, oldest first; change nothing.

        Each item has its `state` and `advice` on what to do; if a key may exist, `candidates` has
        the keys that it could be.

        Args:
            journal_dir: As for `provision`.
            within: Seconds to keep looking for candidates; 0: look once.
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
        """Complete unfinished work as far as that needs no decision.

        A plaintext is delivered to its sink, a rotation is continued (that of a guarded key only if
        it was started with `allow_unguarded`), and journals of completed work are removed. Return
        what is still unfinished: a key that may exist, or a rotation whose old key waits for
        `finish_rotations`; None if everything is done.

        Args:
            unfinished: An item that `recover` has returned.
            sink: Another sink; needed if the first one was a function.
            verify_within: As for `rotate`.
            **options: See `CallOptions`.

        Raises:
            SinkError: The sink failed again, or is required; the journal keeps the plaintext.
            RotationError: The rotation stopped again.

        """
        from openrouter_async.provisioning import _recovery, _rotate

        context = _rotate.RotationContext(
            client=self._caller, options=options, verify_within=verify_within
        )
        return await _recovery.resume(context, unfinished, sink)

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
        """Create many keys; each slot stores a key's plaintext before it requests the next key.

        Await the result: `outcomes = await client.api_keys.create_many(...)`.

        Args:
            keys: The parameters of `create` for each key, such as `{"name": "acme", "limit": 5}`.
            sink: A function that is called with a key's parameters and its `index`, and returns
                that key's sink. An exception that it raises fails only that key.
            concurrency: How many keys may be in progress at once.
            rate: How many requests per second may start, retries included; needs the extra
                `audit`. None: only the service's own limit applies.
            max_wait: Seconds that each request may wait for the service's rate limit, in total;
                after that it fails with `TooManyRequestsResponseError`.
            on_wait: Called with a `Waiting` whenever the service slows the run down; an async
                function is awaited.
            dry_run: Whether to send nothing; the outcomes say what would be done.
            progress: Called with each outcome, the number of outcomes so far, and their total; an
                async function is awaited.
            outcomes_file: A file (NDJSON, mode 0600) to which outcomes are appended as they arrive.
                Items that it records as done are not repeated, nor is a create that may have been
                done. It belongs to one account: the account of this key is requested first, and a
                file of another account or another `server_url` is rejected.
            journal_dir: As for `provision`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is invalid; the message has its path, and nothing was
                sent.
            ConfigurationError: The outcomes file cannot be used.

        """
        from openrouter_async.bulk import BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        executor = _executor.Executor(
            client=client,
            options=options,
            dry_run=dry_run,
            sink=sink,
            journal_dir=journal_dir,
        )
        return BulkRun(
            executor,
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
        """Change many keys; omitted fields stay as they are.

        Args:
            changes: The parameters of `update` for each key, such as `{"hash": …, "limit": 5}`.
            concurrency: As for `create_many`.
            rate: As for `create_many`.
            max_wait: As for `create_many`.
            on_wait: As for `create_many`.
            dry_run: Whether only to read the keys; in the outcomes, `widens` says what a key could
                do after the change that it cannot do now.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: A parameter is invalid, or a key is listed twice.
            ConfigurationError: The outcomes file cannot be used.

        """
        from openrouter_async.bulk import BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        executor = _executor.Executor(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            executor,
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
        executor = _executor.Executor(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            executor,
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
        """Delete many keys permanently.

        Args:
            hashes: The keys' hashes; duplicates are deleted once.
            concurrency: As for `create_many`.
            rate: As for `create_many`.
            max_wait: As for `create_many`.
            on_wait: As for `create_many`.
            dry_run: Whether only to read the keys.
            progress: As for `create_many`.
            outcomes_file: As for `create_many`.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            InvalidRequestError: An item is not a hash; the message has its index, and nothing was
                sent.
            ConfigurationError: The outcomes file cannot be used.

        """
        from openrouter_async.bulk import Action, BulkRun, _executor, _items

        client = Throttle(
            self._caller, concurrency=concurrency, rate=rate, max_wait=max_wait, on_wait=on_wait
        )
        executor = _executor.Executor(client=client, options=options, dry_run=dry_run)
        return BulkRun(
            executor,
            _items.of_hashes(Action.DELETE, hashes),
            progress=progress,
            outcomes_file=outcomes_file,
        )


def wrapped(
    external: External | Mapping[str, Any] | Omitted | None,
) -> External | Mapping[str, Any] | Omitted | None:
    """Wrap a partner's key, so that a traceback through `create` does not show it."""
    with suppress(Exception):  # a mapping that cannot be read is rejected by name later
        if isinstance(external, Mapping) and isinstance(external.get("api_key"), str):
            return {**external, "api_key": Secret(external["api_key"])}
    return external
