"""The blocking client: the async one behind a portal, one line a method.

It is for scripts, threads and notebooks, also where an event loop already runs.
"""

from __future__ import annotations

import builtins
import os
import threading
import weakref
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from datetime import datetime
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, Unpack
from uuid import UUID

from openrouter_async import api_keys, guardrails, paging, workspaces
from openrouter_async._blocking_keys import BlockingManyKeys, BlockingSafeKeys, Run
from openrouter_async._core import KeySource, OnAttempt
from openrouter_async._omitted import OMITTED, Omitted
from openrouter_async._options import MAX_WAIT, CallOptions, OnWait, RetryConfig
from openrouter_async._portal import Portal
from openrouter_async._safe_keys import wrapped
from openrouter_async.client import AsyncOpenRouter, key_source, resource
from openrouter_async.errors import ResponseValidationError
from openrouter_async.models import (
    APIKey,
    CreateKeysResponse,
    DeleteKeysResponse,
    External,
    GetCurrentKeyResponse,
    GetKeyResponse,
    LimitReset,
    ListGuardrailKeyAssignmentsResponse,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
    Workspace,
)
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    from aiohttp import BaseConnector

    from openrouter_async.audit import AuditReport, Policy, Progress, Registry, WorkspaceNames
    from openrouter_async.bulk import KeyOutcome, KeyProgress

T = TypeVar("T")


class OpenRouter:
    """A client for OpenRouter's key-management API that blocks; usable from any thread.

    ```python
    with OpenRouter(api_key=...) as client:
        print(client.api_keys.list())
    ```

    Parameters, results and errors are those of `AsyncOpenRouter`. It works where an event loop
    already runs, as in a notebook, and after a fork. Ctrl-C cancels the request under way. A call
    that cannot start the client's thread raises `APIConnectionError`.
    """

    api_keys: APIKeys = resource(__name__, "APIKeys")
    """The keys of an account."""
    workspaces: Workspaces = resource(__name__, "Workspaces")
    """The workspaces of an account."""

    def __init__(
        self,
        api_key: str | Secret | KeySource | None = None,
        *,
        http_referer: str | None = None,
        x_open_router_title: str | None = None,
        x_open_router_categories: str | None = None,
        server_url: str | None = None,
        retries: RetryConfig | Omitted | None = OMITTED,
        timeout: float = 15.0,
        total_timeout: float = 60.0,
        max_connections: int = 100,
        proxy: str | None = None,
        ssl: SSLContext | None = None,
        trust_env: bool = False,
        allow_insecure_http: bool = False,
        connector: BaseConnector | None = None,
        on_attempt: OnAttempt | None = None,
    ) -> None:
        """Set the client up, as `AsyncOpenRouter` does; the thread starts with the first call."""
        try:
            key = key_source(api_key)
        finally:
            del api_key  # a traceback with locals would show it
        client = AsyncOpenRouter(
            key,
            http_referer=http_referer,
            x_open_router_title=x_open_router_title,
            x_open_router_categories=x_open_router_categories,
            server_url=server_url,
            retries=retries,
            timeout=timeout,
            total_timeout=total_timeout,
            max_connections=max_connections,
            proxy=proxy,
            ssl=ssl,
            trust_env=trust_env,
            allow_insecure_http=allow_insecure_http,
            connector=connector,
            on_attempt=on_attempt,
        )
        portal = Portal("openrouter_async")
        self._set_up(client, portal)
        self._finalizer = weakref.finalize(self, portal.close, client.close)

    def _set_up(self, client: AsyncOpenRouter, portal: Portal) -> None:
        self._client = client
        self._portal = portal
        self.api_keys = APIKeys(client.api_keys, self._run)
        self.workspaces = Workspaces(client.workspaces, self._run)
        self.guardrails = Guardrails(client.guardrails, self._run)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the async client; whoever holds this keeps the client alive."""
        return self._portal.run(coroutine)

    def audit(
        self,
        *,
        workspaces: WorkspaceNames | None = None,
        policy: Policy | str | os.PathLike[str] | None = None,
        concurrency: int = 16,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        registry: Registry | None = None,
        progress: Progress | None = None,
        now: datetime | None = None,
        **options: Unpack[CallOptions],
    ) -> AuditReport:
        """Walk over every key of every workspace, disabled and expired ones too, and judge them.

        `progress` is called in the client's own thread.
        """
        return self._portal.run(
            self._client.audit(
                workspaces=workspaces,
                policy=policy,
                concurrency=concurrency,
                rate=rate,
                max_wait=max_wait,
                registry=registry,
                progress=progress,
                now=now,
                **options,
            )
        )

    def with_options(self, **options: Unpack[CallOptions]) -> Self:
        """Return a client with other defaults that shares connections, budget and pause.

        Closing one closes both. It is of the same class; the attributes that a subclass has set are
        taken over as they are, and its `__init__` is not called.
        """
        client = self._client.with_options(**options)
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin._set_up(client, self._portal)
        twin._original = self
        return twin

    def __copy__(self) -> Self:
        """Return what `with_options()` does: a copy shares thread and connections."""
        return self.with_options()

    def __deepcopy__(self, memo: object) -> Self:
        """Return what `with_options()` does: connections cannot be duplicated."""
        return self.with_options()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client has a key and connections, which cannot be pickled")

    def close(self) -> None:
        """End the calls under way and close all connections, also twice.

        Those calls, in whatever thread, and all later ones raise `ClientClosedError`, or
        `AmbiguousCreateError` for a create that was sent.
        """
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).replace("Async", "", 1)

    _original: OpenRouter | None = None
    """Kept alive by its twins, since the connections end with it."""


class APIKeys(BlockingSafeKeys, BlockingManyKeys):
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
        concurrency: int = 1,
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
        """Create a key; its plaintext is shown once, as `key` of the answer."""
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
        """Get many keys by their hashes, with one outcome for each, in order."""
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
        """Change a key; what is omitted stays as it is."""
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
        """Delete a key for good."""
        return self._run(self._keys.delete(hash, **options))

    def get_current_key_metadata(self, **options: Unpack[CallOptions]) -> GetCurrentKeyResponse:
        """Describe the key that makes the request; works with any key."""
        return self._run(self._keys.get_current_key_metadata(**options))


class Workspaces:
    """The workspaces of an account."""

    def __init__(self, spaces: workspaces.Workspaces, run: Run) -> None:
        self._workspaces = spaces
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

    def iter(self, **options: Unpack[CallOptions]) -> WorkspaceWalk:
        """Walk over all workspaces, page by page."""
        return WorkspaceWalk(self._workspaces.iter(**options), self._run)


class Guardrails:
    """The guardrails of an account; needs a management key."""

    def __init__(self, rails: guardrails.Guardrails, run: Run) -> None:
        self._guardrails = rails
        self._run = run

    def list_key_assignments(
        self,
        *,
        offset: int | str | Omitted | None = OMITTED,
        limit: int | str | Omitted | None = OMITTED,
        **options: Unpack[CallOptions],
    ) -> ListGuardrailKeyAssignmentsResponse:
        """List one page of the guardrails that are assigned to keys, of all workspaces."""
        return self._run(
            self._guardrails.list_key_assignments(offset=offset, limit=limit, **options)
        )


class Walk(Iterator[T], Generic[T]):
    """An iteration over the rows of all pages; it crosses into the client's thread once a page.

    Several threads may iterate over one walk: each row comes once, to one of them.
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
        """How many pages were fetched so far."""
        return self._walk.pages

    def close(self) -> None:
        """End the walk, also for a thread that waits for a row; nothing more is fetched."""
        self._run(self._walk.aclose())
        with self._turn:
            self._rows.clear()


class KeyWalk(Walk[APIKey]):
    """All keys that `list` would show, newest first; made by `client.api_keys.iter()`."""

    _walk: paging.KeyWalk

    @property
    def complete(self) -> bool:
        """Whether the walk is over, and every seam between two pages and the end were verified."""
        return self._walk.complete

    @property
    def refetched(self) -> int:
        """How many pages were fetched again because keys were deleted meanwhile."""
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
        """Whether the walk is over and the list did not change meanwhile, by its total."""
        return self._walk.complete
