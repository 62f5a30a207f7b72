"""The part of `client.api_keys` that keeps plaintexts safe: provision, rotate, recover.

Every method raises an `OpenRouterError`, as those of `api_keys` do; what they give, and the sinks,
are in `openrouter_async.provisioning`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack
from uuid import UUID

from openrouter_async._omitted import OMITTED, Omitted
from openrouter_async._operations import CreateKeys
from openrouter_async._options import CallOptions
from openrouter_async.errors import AmbiguousCreateError
from openrouter_async.models import APIKey, External, LimitReset
from openrouter_async.secret import Secret

if TYPE_CHECKING:  # provisioning costs 30 ms, and most processes never need it
    from openrouter_async._core import Client
    from openrouter_async.provisioning import (
        AnySink,
        FinishedRotation,
        ProvisionedKey,
        Rotation,
        Unfinished,
    )


class SafeKeys:
    """What is done with a journal on the disk, and can be gone on with after a crash."""

    _caller: Client

    async def find_candidates(
        self,
        error: AmbiguousCreateError | Unfinished,
        *,
        within: float = 60.0,
        **options: Unpack[CallOptions],
    ) -> list[APIKey]:
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

        means = _rotate.Means(
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
    ) -> list[FinishedRotation]:
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
        from openrouter_async.provisioning import _finish

        return await _finish.finish_rotations(self._caller, grace, journal_dir, now, options)

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
    ) -> list[Unfinished]:
        """List what the journals say is unfinished, oldest first; changes nothing.

        Each says its `state` and, as `advice`, what can be done; where a key may exist,
        `candidates` has those that could be it.

        Args:
            journal_dir: As for `provision`.
            within: Seconds to look for candidates; 0: once.
            **options: See `CallOptions`.

        """
        from openrouter_async.provisioning import _finish

        return await _finish.recover(self._caller, journal_dir, within, options)

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
        from openrouter_async.provisioning import _finish, _rotate

        means = _rotate.Means(client=self._caller, options=options, verify_within=verify_within)
        return await _finish.resume(means, unfinished, sink)


def wrapped(
    external: External | Mapping[str, Any] | Omitted | None,
) -> External | Mapping[str, Any] | Omitted | None:
    """Wrap a partner's key, so that a traceback through `create` does not show it."""
    with suppress(Exception):  # a mapping that cannot be read is refused by name later
        if isinstance(external, Mapping) and isinstance(external.get("api_key"), str):
            return {**external, "api_key": Secret(external["api_key"])}
    return external
