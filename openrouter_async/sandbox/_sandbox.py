"""The sandbox's public class: start and stop it, inject faults, inspect its account."""

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
    """The service's key management on loopback: real HTTP, a made-up account, no money.

        async with Sandbox(keys=250) as box: ...   # on the running loop
        with Sandbox(keys=250) as box: ...         # in a thread of its own
        box = Sandbox(keys=250).start(); ...; box.stop()

    The constructor makes the account, which outlives a stop. It always contains the key of the
    official examples, `EXAMPLE_HASH`, as the oldest key of the default workspace; `keys` counts the
    others. Every method may be called from any thread.
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
        """Make the account; raises `ConfigurationError` naming the invalid parameter.

        The same `seed` and day (UTC) give the same account and the same secrets. `port` 0 picks a
        free one. `now` returns the account's time as an aware datetime; None: the current time.
        Requests above `requests_per_second` get 429 with Retry-After; None: no limit.
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
        _require(
            now is None or callable(now), "now must be a callable that returns aware datetimes"
        )
        account = Account(seed, now or _current_time)
        fill(account, keys, seed)
        self.management_key: str = account.management_key
        """A key that may perform every operation; the same for the same seed."""
        self._service = Service(account, requests_per_second)
        self._wanted_port = port
        self._port: int | None = None
        self._stack = AsyncExitStack()
        self._thread: ServerThread | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._port else 'stopped'}>"

    @property
    def port(self) -> int:
        """The port; raises `ConfigurationError` if the sandbox is not running."""
        if self._port is None:
            raise ConfigurationError("the sandbox is not running: start it, or use it in a `with`")
        return self._port

    @property
    def url(self) -> str:
        """The base URL for a client, ending in `/api/v1`."""
        return f"http://{HOST}:{self.port}{BASE_PATH}"

    # Starting and stopping

    async def __aenter__(self) -> Self:
        """Serve on the running loop; raises `ConfigurationError` if the port cannot be opened."""
        self._port = await self._stack.enter_async_context(self._open())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving at once; open connections are dropped."""
        self._port = None
        await self._stack.aclose()

    def start(self) -> Self:
        """Serve in a separate thread; raises `ConfigurationError` if the port cannot be opened."""
        self._thread = ServerThread(self._open())
        self._port = self._thread.port
        return self

    def stop(self) -> None:
        """Stop serving at once; open connections are dropped. May be called again."""
        if self._thread is not None:
            thread, self._thread, self._port = self._thread, None, None
            thread.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _open(self) -> AbstractAsyncContextManager[int]:
        if self._port is not None:
            raise ConfigurationError("the sandbox is already running")
        return self._service.serving(self._wanted_port)

    # Injecting faults, spending, inspecting

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
        """Make the next `times` requests of an operation fail; faults apply in the order of calls.

        `operation` is a name such as `"create"`, or `"*"` for any. The fault is one of: an error of
        `status` in the service's shape, or an `html` page (with status 200 unless `status` is set),
        either with `retry_after` (seconds, or any text) as its header; a TCP `reset` instead of a
        response; or the real response, `truncate`d to half its body. `delay` is the seconds to wait
        before that; alone it delays the real response. With `after_effect` the request is performed
        before the fault; before a delayed or truncated real response it always is. Raises
        `InvalidRequestError`.
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
        """Record that a key has just spent an amount in USD; `byok`: on its owner's provider keys.

        Limits are not enforced. Raises `InvalidRequestError` for an unknown key.
        """
        _checks.usd("usd", usd)
        with self._service.lock:
            account = self._service.account
            self._find(hash).spend(usd, account.now(), byok=byok)

    def assign_guardrail(self, hash: str, guardrail_id: str | None = None) -> str:
        """Assign a guardrail to a key, replacing its current one, and return its id.

        None as `guardrail_id` makes up a new id each time. The assignment is listed, but nothing is
        enforced. Raises `InvalidRequestError` for an unknown key.
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
        raise InvalidRequestError("hash must be that of a key in the sandbox", parameter="hash")


def _current_time() -> datetime:
    return datetime.now(UTC)


def _require(good: bool, rule: str) -> None:  # noqa: FBT001 - the condition reads first
    if not good:
        raise ConfigurationError(rule)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
