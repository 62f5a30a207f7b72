"""The sandbox that users hold: started and stopped, broken on purpose, and looked into."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from typing import Final, Self

from openrouter_async import _checks
from openrouter_async.errors import ConfigurationError, InvalidRequestError
from openrouter_async.models import APIKey, Workspace
from openrouter_async.sandbox._account import Account, RefusedError, StoredKey
from openrouter_async.sandbox._faults import Fault
from openrouter_async.sandbox._http import SandboxRequest
from openrouter_async.sandbox._seed import fill
from openrouter_async.sandbox._server import BASE_PATH, HOST, Service
from openrouter_async.sandbox._thread import ServerThread

_LAST_PORT: Final = 65_535


class Sandbox:
    """The service's key management on loopback: real HTTP, an account of its own, no money.

        async with Sandbox(keys=250) as box: ...   # on the running loop
        with Sandbox(keys=250) as box: ...         # in a thread of its own
        box = Sandbox(keys=250).start(); ...; box.stop()

    The account is made by the constructor and outlives a stop. It always holds the key of the
    official examples, `EXAMPLE_HASH`, as the oldest of the default workspace; `keys` counts those
    beside it. Every method may be called from any thread.
    """

    def __init__(
        self,
        keys: int = 0,
        seed: int = 0,
        *,
        port: int = 0,
        now: Callable[[], datetime] | None = None,
        requests_per_second: float | None = None,
    ) -> None:
        """Make the account; raises `ConfigurationError` that names the parameter.

        The same `seed` and day (UTC) give the same account and the same secrets. `port` 0 takes a
        free one. `now` gives the account's time, aware; None: the present. None as
        `requests_per_second`: as many as come; otherwise those beyond it get 429 and Retry-After.
        """
        _require(_is_integer(keys) and keys >= 0, "keys must be an integer of at least 0")
        _require(_is_integer(seed), "seed must be an integer")
        _require(
            _is_integer(port) and 0 <= port <= _LAST_PORT,
            f"port must be an integer from 0 to {_LAST_PORT}",
        )
        _require(
            requests_per_second is None
            or (_is_finite(requests_per_second) and requests_per_second > 0),
            "requests_per_second must be a finite number above 0",
        )
        _require(now is None or callable(now), "now must be a callable that gives aware datetimes")
        account = Account(seed, now or _present)
        fill(account, keys, seed)
        self.management_key: str = account.management_key
        """A key that may perform every operation, the same for a seed."""
        self._service = Service(account, requests_per_second)
        self._wanted_port = port
        self._port: int | None = None
        self._stack = AsyncExitStack()
        self._thread: ServerThread | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._port else 'stopped'}>"

    @property
    def port(self) -> int:
        """The port; raises `ConfigurationError` while the sandbox does not run."""
        if self._port is None:
            raise ConfigurationError("the sandbox is not running: start it, or use it in a `with`")
        return self._port

    @property
    def url(self) -> str:
        """The base URL for a client, ending in `/api/v1`."""
        return f"http://{HOST}:{self.port}{BASE_PATH}"

    # Starting and stopping

    async def __aenter__(self) -> Self:
        """Serve on the running loop; raises `ConfigurationError` if the port cannot be had."""
        self._port = await self._stack.enter_async_context(self._open())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving, at once: open connections are dropped."""
        self._port = None
        await self._stack.aclose()

    def start(self) -> Self:
        """Serve in a thread of its own; raises `ConfigurationError` if the port cannot be had."""
        self._thread = ServerThread(self._open())
        self._port = self._thread.port
        return self

    def stop(self) -> None:
        """Stop what `start` began, at once: open connections are dropped. Again is fine."""
        if self._thread is not None:
            thread, self._thread, self._port = self._thread, None, None
            thread.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _open(self) -> AbstractAsyncContextManager[int]:
        if self._port is not None:
            raise ConfigurationError("the sandbox is running already")
        return self._service.serving(self._wanted_port)

    # Breaking it, spending, looking inside

    def fail(
        self,
        operation: str,
        *,
        status: int | None = None,
        delay: float | None = None,
        reset: bool = False,
        truncate: bool = False,
        html: bool = False,
        retry_after: float | str | None = None,
        times: int = 1,
        after_effect: bool = False,
    ) -> None:
        """Let the next `times` requests of an operation go wrong; faults come in the order given.

        `operation` is a name such as `"create"`, or `"*"` for any. What is sent: an error of
        `status` in the service's shape, or an `html` page (alone with status 200), with
        `retry_after` (seconds, or any text) as its header; nothing, with a TCP `reset`; or the
        true answer, `truncate`d to half its body. `delay` is seconds to wait before that, alone
        before the true answer. `after_effect`: what was asked for is done nevertheless, before the
        fault; a delayed or truncated true answer does it anyway. Raises `InvalidRequestError`.
        """
        fault = Fault(
            operation=operation,
            status=status,
            delay=delay,
            reset=reset,
            truncate=truncate,
            html=html,
            retry_after=retry_after,
            after_effect=after_effect,
        )
        with self._service.lock:
            self._service.faults.add(fault, times)

    def spend(self, hash: str, usd: float, *, byok: bool = False) -> None:
        """Record that a key spent so many USD just now; `byok`: of its owner's provider keys.

        Limits do not hold it back. Raises `InvalidRequestError` for an unknown key.
        """
        _checks.usd("usd", usd)
        with self._service.lock:
            account = self._service.account
            self._find(hash).spend(usd, account.now(), byok=byok)

    def assign_guardrail(self, hash: str, guardrail_id: str | None = None) -> str:
        """Assign a guardrail to a key, in place of the one that it has, and return its id.

        None as `guardrail_id` takes a made-up one, a new one each time. Nothing is enforced: the
        assignment is listed. Raises `InvalidRequestError` for an unknown key.
        """
        guardrail_id = guardrail_id or str(uuid.uuid4())
        with self._service.lock:
            self._service.account.assign_guardrail(self._find(hash).hash, guardrail_id)
        return guardrail_id

    def inference_key(self, hash: str) -> str:
        """Return the plaintext of a key; raises `InvalidRequestError` for an unknown one."""
        with self._service.lock:
            return self._service.account.secret_of(self._find(hash).hash)

    @property
    def keys(self) -> list[APIKey]:
        """Every key of every workspace as it is now, newest first."""
        with self._service.lock:
            return self._service.account.records()

    @property
    def workspaces(self) -> list[Workspace]:
        """Every workspace, the default one first."""
        with self._service.lock:
            return list(self._service.account.workspaces.values())

    @property
    def requests(self) -> list[SandboxRequest]:
        """The last 100,000 requests of operations, oldest first."""
        with self._service.lock:
            return list(self._service.requests)

    def _find(self, hash: str) -> StoredKey:
        try:
            return self._service.account.get(hash)
        except RefusedError:
            pass
        raise InvalidRequestError("hash must be that of a key of the sandbox", parameter="hash")


def _present() -> datetime:
    return datetime.now(UTC)


def _require(good: bool, rule: str) -> None:  # noqa: FBT001 - reads well where it is called
    if not good:
        raise ConfigurationError(rule)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
