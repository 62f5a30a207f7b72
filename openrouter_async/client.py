"""The async client that people hold."""

from __future__ import annotations

import os
import warnings
from collections.abc import Coroutine
from datetime import datetime
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, Unpack, cast

from openrouter_async import _numbers
from openrouter_async._options import (
    DEFAULT_SERVER_URL,
    MAX_WAIT,
    OMITTED,
    CallOptions,
    Omitted,
    RetryConfig,
    Settings,
    checked_key,
    checked_proxy,
    checked_retries,
    checked_seconds,
    checked_url,
    default_headers,
)
from openrouter_async.errors import ConfigurationError
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp import BaseConnector

    from openrouter_async._caller import Throttle
    from openrouter_async._operations import Operation
    from openrouter_async._retry import Clock
    from openrouter_async._shared import KeySource, OnAttempt, Shared
    from openrouter_async.api_keys import APIKeys
    from openrouter_async.audit import AuditReport, Policy, Progress, Registry, WorkspaceNames
    from openrouter_async.workspaces import Workspaces

In = TypeVar("In")
Out = TypeVar("Out")


class _Resource:
    """The class attribute for a resource of the instances: it returns the resource's class.

    `unittest.mock.create_autospec` looks there. The class is imported only then.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __get__(self, client: object, owner: type) -> type:
        if client is None:
            return cast("type", getattr(import_module(self._module), self._name))
        raise AttributeError(f"{owner.__name__} was not set up: its __init__ was not called")


def resource(module: str, name: str) -> Any:
    """Declare a resource of a client's instances, which is of this class."""
    return _Resource(module, name)


class AsyncOpenRouter:
    """A client for OpenRouter's key-management API, for use in asyncio programs.

    ```python
    async with AsyncOpenRouter(api_key=...) as client:
        page = await client.api_keys.list(offset=100)
    ```

    One client serves any number of tasks of one event loop, and can be used in another loop once
    that one is closed. `retries`, `timeout` and the like can be passed to each call too.

    Calls are retried, by default up to 3 attempts within 60 s with growing random waits:

    - any call that was never sent, and after a 429, once the service's wait is over;
    - list, get, update and delete also after lost connections, timeouts, 408, 500, 502-504 and
      520-529;
    - never a create that may have arrived: it raises `AmbiguousCreateError`.

    A forked child has its own connections, and needs its own event loop.
    """

    api_keys: APIKeys = resource("openrouter_async.api_keys", "APIKeys")
    """The keys of an account."""
    workspaces: Workspaces = resource("openrouter_async.workspaces", "Workspaces")
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
        """Set up the client; nothing is opened before the first call.

        Args:
            api_key: A management key for `api_keys` and `workspaces`, any key for
                `get_current_key_metadata`; or a function, sync or async, that returns the key and
                is called before each attempt. None: the environment's `OPENROUTER_API_KEY`.
            http_referer: The application's URL, its main identifier for the service. None: the
                environment's `OPENROUTER_HTTP_REFERER`, else none.
            x_open_router_title: The application's display name. None: the environment's
                `OPENROUTER_X_OPEN_ROUTER_TITLE`, else none.
            x_open_router_categories: Marketplace categories, separated by commas. None: the
                environment's `OPENROUTER_X_OPEN_ROUTER_CATEGORIES`, else none.
            server_url: The base URL. None: the environment's `OPENROUTER_BASE_URL`, else the
                service.
            retries: What is retried and when; None: nothing.
            timeout: Seconds for one attempt, once it has one of `max_connections`.
            total_timeout: Seconds for a whole call: queueing, attempts and waits.
            max_connections: How many attempts may be in progress at once; others wait.
            proxy: The URL of a proxy, `http://host:port` or `https://host:port`, with a user and
                password if it needs them; a SOCKS proxy needs a `connector`.
            ssl: A context with the certificates to trust. None: the system's.
            trust_env: Whether to use the proxies of the environment (`HTTPS_PROXY`, `HTTP_PROXY`,
                `ALL_PROXY`, `NO_PROXY`) if `proxy` is None. A call raises `ConfigurationError`
                if its proxy cannot be used.
            allow_insecure_http: Whether plain http to other hosts than this machine is allowed.
            connector: An aiohttp connector to use; it is not closed with the client. Its idle
                connections are used for creates too, and a stale one can make a create ambiguous.
            on_attempt: Called after every attempt with the operation's name, the attempt's
                number, the status or the error's class, and seconds. An async function is awaited
                before the call goes on.

        Raises:
            ConfigurationError: A value is missing or out of range; it names the parameter.

        """
        try:
            key = key_source(api_key)
        finally:
            del api_key  # a traceback with locals would show it
        options = CallOptions(
            http_referer=http_referer,
            x_open_router_title=x_open_router_title,
            x_open_router_categories=x_open_router_categories,
        )
        name = "server_url" if server_url else "OPENROUTER_BASE_URL"
        url = server_url or os.environ.get(name) or DEFAULT_SERVER_URL
        settings = Settings(
            base_url=checked_url(url, name=name, allow_insecure_http=allow_insecure_http),
            headers=default_headers(options),
            retries=RetryConfig() if retries is OMITTED else checked_retries(retries),
            timeout=checked_seconds("timeout", timeout),
            total_timeout=checked_seconds("total_timeout", total_timeout),
            allow_insecure_http=allow_insecure_http,
        )
        connections = _numbers.whole(max_connections)
        if connections is None or connections < 1:
            raise ConfigurationError("max_connections must be an integer of at least 1")
        if on_attempt is not None and not callable(on_attempt):
            raise ConfigurationError("on_attempt must be callable")
        # Imported with the first client, because aiohttp takes most of the import time.
        from openrouter_async._shared import Shared
        from openrouter_async._transport import Transport

        transport = Transport(
            proxy=None if proxy is None else checked_proxy("proxy", proxy),
            ssl=ssl,
            trust_env=trust_env,
            connector=connector,
        )
        shared = Shared(
            key=key,
            transport=transport,
            max_connections=connections,
            on_attempt=on_attempt,
        )
        self._set_up(shared, settings)

    def _set_up(self, shared: Shared, settings: Settings) -> None:
        from openrouter_async._call import Call
        from openrouter_async.api_keys import APIKeys
        from openrouter_async.guardrails import Guardrails
        from openrouter_async.workspaces import Workspaces

        self._shared = shared
        shared.join()
        self._new_call = Call
        self._settings = settings
        self.api_keys = APIKeys(self)
        self.workspaces = Workspaces(self)
        self.guardrails = Guardrails(self)

    def call(
        self,
        operation: Operation[In, Out],
        params: In,
        options: CallOptions | None = None,
        *,
        key: Secret | None = None,
        throttle: Throttle | None = None,
    ) -> Coroutine[Any, Any, Out]:
        """Carry out an operation of the table, as every method does.

        Args:
            operation: The row of the table.
            params: Its parameters.
            options: Settings that override the client's.
            key: Another key than the client's: a rotation checks with it that the new key works.
            throttle: The bounds of the bulk run that the call is part of.

        """
        settings = self._settings.override(options) if options else self._settings
        shared = self._shared
        shared.enter()
        key = shared.fixed_key if key is None else checked_key(key)
        # By position, since CPython builds a dict of what a class is called with by name.
        return self._new_call(shared, operation, params, settings, key, throttle).run()

    def server_url_for(self, options: CallOptions | None = None) -> str:
        """Return the base URL that a call with these options goes to."""
        settings = self._settings.override(options) if options else self._settings
        return settings.base_url

    @property
    def clock(self) -> Clock:
        """The source of the client's time."""
        return self._shared.clock

    async def audit(
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

        A workspace that cannot be read is an error in the report, and a record that cannot be read
        is a finding. If the service hides the workspaces, the default one is audited. To stream
        keys, or to get a partial report of an audit that is ended early, use `audit.AuditRun`.

        Args:
            workspaces: Ids, slugs or names of the workspaces to audit. None: all.
            policy: Which rules run, and how: a `Policy`, or the path of a TOML file. None: all
                built-in rules.
            concurrency: How many requests may be in progress at once.
            rate: How many requests per second may start, retries included; needs the extra
                `audit`. None: only the service's own limit.
            max_wait: Seconds that each request may wait for the service's rate limit, in all: a 429
                slows an audit down, and fails it only after that.
            registry: The expected hashes: the path of a file (one per line), or the hashes.
            progress: Called with an `AuditProgress` after every page; an async function is awaited.
            now: The time that the rules use, aware. None: the present.
            **options: See `CallOptions`; they apply to each request.

        Raises:
            ConfigurationError: A value is out of range, or the policy or registry cannot be used.
            InvalidRequestError: There is no such workspace.
            OpenRouterError: Nothing could be read; this is the first error.

        """
        from openrouter_async.audit import AuditRun  # costs 30 ms

        return await AuditRun(
            self,
            workspaces=workspaces,
            policy=policy,
            concurrency=concurrency,
            rate=rate,
            max_wait=max_wait,
            registry=registry,
            progress=progress,
            now=now,
            **options,
        ).finish()

    def with_options(self, **options: Unpack[CallOptions]) -> Self:
        """Return a client with other defaults that shares connections, retry budget and pace.

        Closing one closes both. The new client is of the same class; attributes that a subclass
        has set are copied as they are, and its `__init__` is not called.
        """
        settings = self._settings.override(options)
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin._set_up(self._shared, settings)
        return twin

    def __copy__(self) -> Self:
        """Return what `with_options()` does: a copy shares the connections."""
        return self.with_options()

    def __deepcopy__(self, memo: object) -> Self:
        """Return what `with_options()` does: connections cannot be duplicated."""
        return self.with_options()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client has a key and connections, which cannot be pickled")

    async def close(self) -> None:
        """End the calls in progress and close all connections; a second call does nothing.

        Those calls and all later ones raise `ClientClosedError`, or `AmbiguousCreateError` for a
        create that was sent. Raises `WrongLoopError` if the client's loop runs in another thread.
        """
        await self._shared.close()

    async def __aenter__(self) -> Self:
        self._shared.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        shared: Shared | None = getattr(self, "_shared", None)
        if shared is not None and shared.leave() and shared.transport.is_open:
            shared.transport.abandon()
            warnings.warn(f"unclosed client {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        settings: Settings | None = getattr(self, "_settings", None)
        return f"AsyncOpenRouter(server_url={settings and settings.base_url!r})"


def key_source(api_key: object) -> Secret | KeySource:
    """Wrap the key before anything can fail, so that no traceback shows it."""
    if api_key is None:
        return checked_key(
            Secret(os.environ.get("OPENROUTER_API_KEY", "")), name="OPENROUTER_API_KEY"
        )
    if isinstance(api_key, (str, Secret)):
        api_key = Secret(api_key)
        return checked_key(api_key)
    if not callable(api_key):
        kind = type(api_key).__name__
        del api_key
        raise ConfigurationError(f"api_key must be a str, a Secret or a function, not {kind}")
    return cast("KeySource", api_key)
