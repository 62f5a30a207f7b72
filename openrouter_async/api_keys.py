"""`client.api_keys`: the operations on keys.

Amounts are USD. Every method raises an `OpenRouterError`: one by status for an answer of 4XX or
5XX, `APIConnectionError` or `APITimeoutError` without an answer, `InvalidRequestError` for a
refused parameter before anything is sent. Rules of the service:
https://openrouter.ai/docs/guides/overview/auth/management-api-keys
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack
from uuid import UUID

from openrouter_async._many_keys import ManyKeys
from openrouter_async._omitted import OMITTED, Omitted
from openrouter_async._operations import (
    CREATE,
    CURRENT,
    DELETE,
    GET,
    LIST,
    UPDATE,
    CreateKeys,
    ListKeys,
    Nothing,
    OneKey,
    UpdateKeys,
)
from openrouter_async._options import MAX_WAIT, CallOptions, OnWait
from openrouter_async._pacing import Throttle
from openrouter_async._safe_keys import SafeKeys, wrapped
from openrouter_async.models import (
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

if TYPE_CHECKING:
    from openrouter_async._core import Client
    from openrouter_async.bulk import KeyOutcome, KeyProgress


class APIKeys(SafeKeys, ManyKeys):
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
        return await self._caller.call(GET, OneKey(hash=hash), options)

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
        from openrouter_async.bulk import get_many

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
        return await self._caller.call(DELETE, OneKey(hash=hash), options)

    async def get_current_key_metadata(
        self, **options: Unpack[CallOptions]
    ) -> GetCurrentKeyResponse:
        """Describe the key that makes the request; works with any key."""
        return await self._caller.call(CURRENT, Nothing(), options)
