"""The blocking client: it runs the async client's methods through a portal.

It is for scripts, threads and notebooks, and works where an event loop is already running.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Coroutine
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, Unpack

from openrouter_async._options import MAX_WAIT, OMITTED, CallOptions, Omitted, RetryConfig
from openrouter_async.client import AsyncOpenRouter, key_source, resource
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp import BaseConnector

    from openrouter_async._portal import Portal
    from openrouter_async._shared import KeySource, OnAttempt
    from openrouter_async._sync_resources import APIKeys, Workspaces
    from openrouter_async.audit import AuditReport, Policy, Progress, Registry, WorkspaceNames

T = TypeVar("T")


class OpenRouter:
    """A blocking client for OpenRouter's key-management API; usable from any thread.

    ```python
    with OpenRouter(api_key=...) as client:
        print(client.api_keys.list())
    ```

    Parameters, results and errors are those of `AsyncOpenRouter`. It works where an event loop is
    already running, as in a notebook, and after a fork. Ctrl-C cancels the request in progress. If
    the client's thread cannot be started, the call raises `APIConnectionError`.
    """

    api_keys: APIKeys = resource("openrouter_async._sync_resources", "APIKeys")
    """The keys of an account."""
    workspaces: Workspaces = resource("openrouter_async._sync_resources", "Workspaces")
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
        """Set up the client like `AsyncOpenRouter`; the first call starts its thread."""
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
        # Imported with the first client, like aiohttp: it needs asyncio.
        from openrouter_async._portal import Portal

        portal = Portal("openrouter_async")
        self._set_up(client, portal)
        # Runs when the client is collected or Python exits, so it must not refer to the client.
        self._finalizer = weakref.finalize(self, portal.close, client.close)

    def _set_up(self, client: AsyncOpenRouter, portal: Portal) -> None:
        from openrouter_async._sync_resources import APIKeys, Guardrails, Workspaces

        self._client = client
        self._portal = portal
        self.api_keys = APIKeys(client.api_keys, self._run)
        self.workspaces = Workspaces(client.workspaces, self._run)
        self.guardrails = Guardrails(client.guardrails, self._run)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the async client.

        The resources hold this bound method, so that the client lives as long as they do.
        """
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
        """Check every key of every workspace, including disabled and expired ones.

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
        """Return a client with other defaults that shares the connections, retry budget and pace.

        Closing one closes both. The new client has the same class; attributes that a subclass has
        set are copied as they are, and its `__init__` is not called.
        """
        client = self._client.with_options(**options)
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        copy._set_up(client, self._portal)
        copy._original = self
        return copy

    def __copy__(self) -> Self:
        """Return what `with_options()` returns: a copy shares the thread and connections."""
        return self.with_options()

    def __deepcopy__(self, memo: object) -> Self:
        """Return what `with_options()` returns, because connections cannot be duplicated."""
        return self.with_options()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client has a key and connections, which cannot be pickled")

    def close(self) -> None:
        """End the calls in progress and close all connections; a second call does nothing.

        The calls in progress, in any thread, and all later ones raise `ClientClosedError`, or
        `AmbiguousCreateError` for a create that has been sent.
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
    """The client it was made from, kept alive because its finalizer closes the portal."""
