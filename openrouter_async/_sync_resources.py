"""The blocking versions of all resources; each method makes one call to its async twin."""

from __future__ import annotations

import builtins
import os
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, Unpack
from uuid import UUID

from openrouter_async import api_keys, guardrails, paging, workspaces
from openrouter_async._options import MAX_WAIT, OMITTED, CallOptions, Omitted, OnWait
from openrouter_async.api_keys import wrapped
from openrouter_async.errors import AmbiguousCreateError, ResponseValidationError
from openrouter_async.models import (
    APIKey,
    CreateKeysResponse,
    DeleteKeysResponse,
    External,
    GetCurrentKeyResponse,
    GetKeyResponse,
    GetWorkspaceResponse,
    LimitReset,
    ListGuardrailKeyAssignmentsResponse,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
    Workspace,
)

if TYPE_CHECKING:
    from openrouter_async.bulk import BulkRun, ChangeProgress, Outcome
    from openrouter_async.bulk._executor import SinkFactory
    from openrouter_async.bulk._get_many import KeyOutcome, KeyProgress
    from openrouter_async.provisioning import (
        AnySink,
        FinishedRotation,
        ProvisionedKey,
        Rotation,
        Unfinished,
    )

T = TypeVar("T")


class Run(Protocol):
    """A function that runs a coroutine in the client's thread."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        """Return the coroutine's result or raise its exception."""
        ...


class APIKeys:
    """The keys of an account; all but `get_current_key_metadata` need a management key."""

    def __init__(self, keys: api_keys.APIKeys, run: Run) -> None:
        self._keys = keys
        self._run = run

    def list(
        self,
        *,
        include_disabled: bool | str | Omitted | None = OMITTED,
        include_expired: bool | str | Omitted | None = OMITTED,
        offset: int | str | Omitted | None = OMITTED,
        workspace_id: str | UUID | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListResponse:
        """List one page of keys, at most 100, newest first."""
        return self._run(
            self._keys.list(
                include_disabled=include_disabled,
                include_expired=include_expired,
                offset=offset,
                workspace_id=workspace_id,
                **options,
            )
        )

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
        """Walk over all keys that `list` would show on all its pages, newest first."""
        return KeyWalk(
            self._keys.iter(
                include_disabled=include_disabled,
                include_expired=include_expired,
                workspace_id=workspace_id,
                lenient=lenient,
                concurrency=concurrency,
                **options,
            ),
            self._run,
        )

    def create(
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
        """Create a key; its plaintext is returned only once, as `key` of the response."""
        external = wrapped(external)
        return self._run(
            self._keys.create(
                name,
                limit=limit,
                limit_reset=limit_reset,
                include_byok_in_limit=include_byok_in_limit,
                expires_at=expires_at,
                creator_user_id=creator_user_id,
                workspace_id=workspace_id,
                external=external,
                **options,
            )
        )

    def get(self, hash: str, **options: Unpack[CallOptions]) -> GetKeyResponse:
        """Get one key by its hash."""
        return self._run(self._keys.get(hash, **options))

    def get_many(
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
        """Get many keys by their hashes; return one outcome for each, in order."""
        return self._run(
            self._keys.get_many(
                hashes,
                concurrency=concurrency,
                rate=rate,
                max_wait=max_wait,
                on_wait=on_wait,
                progress=progress,
                **options,
            )
        )

    def update(
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
        """Change a key; omitted fields stay as they are."""
        return self._run(
            self._keys.update(
                hash,
                name=name,
                disabled=disabled,
                limit=limit,
                limit_reset=limit_reset,
                include_byok_in_limit=include_byok_in_limit,
                workspace_id=workspace_id,
                **options,
            )
        )

    def delete(self, hash: str, **options: Unpack[CallOptions]) -> DeleteKeysResponse:
        """Delete a key permanently."""
        return self._run(self._keys.delete(hash, **options))

    def get_current_key_metadata(self, **options: Unpack[CallOptions]) -> GetCurrentKeyResponse:
        """Get the metadata of the key that makes the request; works with any key."""
        return self._run(self._keys.get_current_key_metadata(**options))

    def find_candidates(
        self,
        error: AmbiguousCreateError | Unfinished,
        *,
        within: float = 60.0,
        **options: Unpack[CallOptions],
    ) -> builtins.list[APIKey]:
        """List the keys that an ambiguous create may have made."""
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
        """Create a key and store its plaintext safely, whatever fails on the way."""
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
        """Replace a key: create a successor, store, verify, compare, then disable the old key."""
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
    ) -> builtins.list[FinishedRotation]:
        """Delete old keys of rotations that have been disabled and unused for a grace period."""
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
        """Undo a rotation: enable the old key, delete the new one and remove the journal."""
        return self._run(self._keys.roll_back(hash, journal_dir=journal_dir, **options))

    def recover(
        self,
        *,
        journal_dir: str | os.PathLike[str] | None = None,
        within: float = 0.0,
        **options: Unpack[CallOptions],
    ) -> builtins.list[Unfinished]:
        """List the unfinished work that journals record, oldest first; change nothing."""
        return self._run(self._keys.recover(journal_dir=journal_dir, within=within, **options))

    def resume(
        self,
        unfinished: Unfinished,
        *,
        sink: AnySink | None = None,
        verify_within: float = 30.0,
        **options: Unpack[CallOptions],
    ) -> Unfinished | None:
        """Complete unfinished work as far as that needs no decision."""
        return self._run(
            self._keys.resume(unfinished, sink=sink, verify_within=verify_within, **options)
        )

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
    ) -> builtins.list[Outcome]:
        """Create many keys; each slot stores a key's plaintext before it requests the next key."""
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
    ) -> builtins.list[Outcome]:
        """Change many keys; omitted fields stay as they are."""
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
    ) -> builtins.list[Outcome]:
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
    ) -> builtins.list[Outcome]:
        """Delete many keys permanently."""
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

    def _run_all(self, run: BulkRun) -> builtins.list[Outcome]:
        # The outcomes so far go along with any exception, even Ctrl-C.
        try:
            return self._run(run.finish())
        except BaseException as error:
            vars(error)["outcomes"] = run.outcomes
            raise


class Workspaces:
    """The workspaces of an account."""

    def __init__(self, resource: workspaces.Workspaces, run: Run) -> None:
        self._workspaces = resource
        self._run = run

    def list(
        self,
        *,
        offset: int | str | Omitted | None = OMITTED,
        limit: int | str | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListWorkspacesResponse:
        """List one page of workspaces."""
        return self._run(self._workspaces.list(offset=offset, limit=limit, **options))

    def get(self, id: str | UUID, **options: Unpack[CallOptions]) -> GetWorkspaceResponse:
        """Get one workspace by its id or slug."""
        return self._run(self._workspaces.get(id, **options))

    def iter(self, **options: Unpack[CallOptions]) -> WorkspaceWalk:
        """Walk over all workspaces, page by page."""
        return WorkspaceWalk(self._workspaces.iter(**options), self._run)


class Guardrails:
    """The guardrails of an account; needs a management key."""

    def __init__(self, resource: guardrails.Guardrails, run: Run) -> None:
        self._guardrails = resource
        self._run = run

    def list_key_assignments(
        self,
        *,
        offset: int | str | Omitted | None = OMITTED,
        limit: int | str | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListGuardrailKeyAssignmentsResponse:
        """List one page of the guardrail assignments to keys, in all workspaces."""
        return self._run(
            self._guardrails.list_key_assignments(offset=offset, limit=limit, **options)
        )


class Walk(Iterator[T], Generic[T]):
    """An iteration over the rows of all pages; it switches to the client's thread once per page.

    Several threads may iterate over one walk: each row goes to exactly one of them.
    """

    def __init__(self, walk: paging.Walk[T], run: Run) -> None:
        self._walk = walk
        self._run = run
        self._rows: deque[T] = deque()
        self._turn = threading.Lock()
        """Held by the thread that takes the next row."""

    def __next__(self) -> T:
        with self._turn:
            while not self._rows:
                if self._walk.ended:
                    raise StopIteration
                self._rows.extend(self._run(self._walk.next_page()))
            return self._rows.popleft()

    @property
    def pages(self) -> int:
        """The number of pages fetched so far."""
        return self._walk.pages

    def close(self) -> None:
        """End the walk, even for a thread that waits for a row; nothing more is fetched."""
        self._run(self._walk.aclose())
        with self._turn:
            self._rows.clear()


class KeyWalk(Walk[APIKey]):
    """All keys that `list` would show, newest first; made by `client.api_keys.iter()`."""

    _walk: paging.KeyWalk

    @property
    def complete(self) -> bool:
        """Whether the walk is over, and the end and every seam between two pages are verified."""
        return self._walk.complete

    @property
    def refetched(self) -> int:
        """The number of pages fetched again because keys were deleted during the walk."""
        return self._walk.refetched

    @property
    def problems(self) -> list[ResponseValidationError]:
        """Records that could not be read; stays empty unless `lenient`."""
        return self._walk.problems


class WorkspaceWalk(Walk[Workspace]):
    """All workspaces; made by `client.workspaces.iter()`."""

    _walk: paging.WorkspaceWalk

    @property
    def complete(self) -> bool:
        """Whether the walk is over and the list's total did not change during it."""
        return self._walk.complete
