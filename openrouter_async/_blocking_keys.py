"""The blocking twins of `_safe_keys` and `_many_keys`: one line a method."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack
from uuid import UUID

from openrouter_async._omitted import OMITTED, Omitted
from openrouter_async._options import MAX_WAIT, CallOptions, OnWait
from openrouter_async._safe_keys import wrapped
from openrouter_async.errors import AmbiguousCreateError
from openrouter_async.models import APIKey, External, LimitReset

if TYPE_CHECKING:  # see _safe_keys and _many_keys
    from openrouter_async.api_keys import APIKeys
    from openrouter_async.bulk_changes import BulkRun, ChangeProgress, Outcome
    from openrouter_async.bulk_changes._carry import SinkFactory
    from openrouter_async.provisioning import (
        AnySink,
        FinishedRotation,
        ProvisionedKey,
        Rotation,
        Unfinished,
    )

T = TypeVar("T")


class Run(Protocol):
    """Run a coroutine to its end in the client's thread."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        """Give its result or raise its exception."""
        ...


class BlockingSafeKeys:
    """What is done with a journal on the disk, and can be gone on with after a crash."""

    _keys: APIKeys
    _run: Run

    def find_candidates(
        self,
        error: AmbiguousCreateError | Unfinished,
        *,
        within: float = 60.0,
        **options: Unpack[CallOptions],
    ) -> list[APIKey]:
        """List the keys that could be the one of an ambiguous create."""
        return self._run(self._keys.find_candidates(error, within=within, **options))

    def provision(
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
        """Create a key and put its plaintext where it belongs, whatever fails on the way."""
        external = wrapped(external)
        return self._run(
            self._keys.provision(
                name,
                sink=sink,
                limit=limit,
                limit_reset=limit_reset,
                include_byok_in_limit=include_byok_in_limit,
                expires_at=expires_at,
                creator_user_id=creator_user_id,
                workspace_id=workspace_id,
                external=external,
                journal_dir=journal_dir,
                **options,
            )
        )

    def rotate(
        self,
        hash: str,
        *,
        sink: AnySink,
        verify_within: float = 30.0,
        journal_dir: str | os.PathLike[str] | None = None,
        allow_unguarded: bool = False,
        **options: Unpack[CallOptions],
    ) -> Rotation:
        """Replace a key by a twin: create, store, verify, compare, then disable the old one."""
        return self._run(
            self._keys.rotate(
                hash,
                sink=sink,
                verify_within=verify_within,
                journal_dir=journal_dir,
                allow_unguarded=allow_unguarded,
                **options,
            )
        )

    def finish_rotations(
        self,
        *,
        grace: timedelta | float = timedelta(hours=24),
        journal_dir: str | os.PathLike[str] | None = None,
        now: datetime | None = None,
        **options: Unpack[CallOptions],
    ) -> list[FinishedRotation]:
        """Delete the old keys of rotations that were disabled longer than a grace, and unused."""
        return self._run(
            self._keys.finish_rotations(grace=grace, journal_dir=journal_dir, now=now, **options)
        )

    def roll_back(
        self,
        hash: str,
        *,
        journal_dir: str | os.PathLike[str] | None = None,
        **options: Unpack[CallOptions],
    ) -> APIKey:
        """Undo a rotation: enable the old key, delete the new one, and forget the rotation."""
        return self._run(self._keys.roll_back(hash, journal_dir=journal_dir, **options))

    def recover(
        self,
        *,
        journal_dir: str | os.PathLike[str] | None = None,
        within: float = 0.0,
        **options: Unpack[CallOptions],
    ) -> list[Unfinished]:
        """List what the journals say is unfinished, oldest first; changes nothing."""
        return self._run(self._keys.recover(journal_dir=journal_dir, within=within, **options))

    def resume(
        self,
        unfinished: Unfinished,
        *,
        sink: AnySink | None = None,
        verify_within: float = 30.0,
        **options: Unpack[CallOptions],
    ) -> Unfinished | None:
        """Bring an unfinished work to its end as far as that needs no decision."""
        return self._run(
            self._keys.resume(unfinished, sink=sink, verify_within=verify_within, **options)
        )


class BlockingManyKeys:
    """One change of many keys; nothing is done twice, and each has its outcome.

    Where a run is interrupted, what is raised has the outcomes so far as its attribute `outcomes`.
    `progress` is called in the client's own thread.
    """

    _keys: APIKeys
    _run: Run

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
    ) -> list[Outcome]:
        """Create many keys, each plaintext stored before the next key is asked for on its slot."""
        return self._run_all(
            self._keys.create_many(
                keys,
                sink=sink,
                concurrency=concurrency,
                rate=rate,
                max_wait=max_wait,
                on_wait=on_wait,
                dry_run=dry_run,
                progress=progress,
                outcomes_file=outcomes_file,
                journal_dir=journal_dir,
                **options,
            )
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
    ) -> list[Outcome]:
        """Change many keys; what is omitted stays as it is."""
        return self._run_all(
            self._keys.update_many(
                changes,
                concurrency=concurrency,
                rate=rate,
                max_wait=max_wait,
                on_wait=on_wait,
                dry_run=dry_run,
                progress=progress,
                outcomes_file=outcomes_file,
                **options,
            )
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
    ) -> list[Outcome]:
        """Disable many keys."""
        return self._run_all(
            self._keys.disable_many(
                hashes,
                concurrency=concurrency,
                rate=rate,
                max_wait=max_wait,
                on_wait=on_wait,
                dry_run=dry_run,
                progress=progress,
                outcomes_file=outcomes_file,
                **options,
            )
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
    ) -> list[Outcome]:
        """Delete many keys for good."""
        return self._run_all(
            self._keys.delete_many(
                hashes,
                concurrency=concurrency,
                rate=rate,
                max_wait=max_wait,
                on_wait=on_wait,
                dry_run=dry_run,
                progress=progress,
                outcomes_file=outcomes_file,
                **options,
            )
        )

    def _run_all(self, run: BulkRun) -> list[Outcome]:
        try:
            return self._run(run.finish())
        except BaseException as error:
            vars(error)["outcomes"] = run.outcomes
            raise
