"""What work of several calls needs from a client, and the bounds of a bulk run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from openrouter_async import _checks
from openrouter_async._observers import notify
from openrouter_async._operations import Operation
from openrouter_async._options import MAX_WAIT, CallOptions, OnWait, Waiting
from openrouter_async._pacing import Pacer
from openrouter_async.errors import ConfigurationError

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

    from openrouter_async._retry import Clock
    from openrouter_async.secret import Secret

In = TypeVar("In")
Out = TypeVar("Out")


class Caller(Protocol):
    """The part of a client that makes calls."""

    def call(
        self, operation: Operation[In, Out], params: In, options: CallOptions | None = None
    ) -> Coroutine[Any, Any, Out]:
        """Carry out an operation; `options` override the client's settings."""
        ...


class Client(Caller, Protocol):
    """A client for work of several steps: also another key, bounds of a bulk run, and a clock."""

    def call(
        self,
        operation: Operation[In, Out],
        params: In,
        options: CallOptions | None = None,
        *,
        key: Secret | None = None,
        throttle: Throttle | None = None,
    ) -> Coroutine[Any, Any, Out]:
        """Make a call with another key than the client's, or within the bounds of a bulk run."""
        ...

    @property
    def clock(self) -> Clock:
        """The source of time, and of waits."""
        ...

    def server_url_for(self, options: CallOptions | None = None) -> str:
        """Return the base URL that a call with these options goes to."""
        ...


class Throttle:
    """A client within the bounds of a bulk run: `concurrency` calls at once, `rate` requests.

    Its calls outlast the service's rate limit: a 429 costs them neither an attempt nor retry
    budget, and waits for the pace do not count toward their `total_timeout`.
    """

    def __init__(
        self,
        client: Client,
        *,
        concurrency: int,
        rate: float | None = None,
        max_wait: float = MAX_WAIT,
        on_wait: OnWait | None = None,
    ) -> None:
        """Check the bounds; raises `ConfigurationError`.

        Args:
            client: The client that makes the calls.
            concurrency: How many calls may be in progress at once.
            rate: How many requests per second may start, retries included; needs the extra
                `audit`. None: no bound.
            max_wait: Seconds that each request may wait for the service's rate limit, in all.
            on_wait: Called whenever the service slows the run down; an async function is awaited.

        """
        self.concurrency = _checks.at_least_one("concurrency", concurrency)
        self.max_wait = _checked_wait(max_wait)
        self.requests = 0
        """How many requests have been started, retries included."""
        self.sharers = 1
        """How many walks share the bounds."""
        if on_wait is not None and not callable(on_wait):
            raise ConfigurationError("on_wait must be callable")
        self._on_wait = on_wait
        self._client = client
        self._slots = asyncio.Semaphore(concurrency)
        self._limiter = None if rate is None else _limiter(rate)
        self._reported = 0

    @property
    def clock(self) -> Clock:
        """The client's clock."""
        return self._client.clock

    def server_url_for(self, options: CallOptions | None = None) -> str:
        """Return the base URL that a call with these options goes to."""
        return self._client.server_url_for(options)

    def share(self) -> int:
        """Return how many calls each of the walks that share the bounds should make at once."""
        return -(-self.concurrency // max(1, self.sharers))

    async def call(
        self,
        operation: Operation[In, Out],
        params: In,
        options: CallOptions | None = None,
    ) -> Out:
        """Make a call once there is a slot for it."""
        async with self._slots:
            return await self._client.call(operation, params, options, throttle=self)

    async def begin_request(self) -> None:
        """Wait until the run's own `rate` allows another request."""
        if self._limiter is not None:
            await self._limiter.acquire()

    async def notify_observer(self, pacer: Pacer) -> None:
        """Notify the run's observer, once for each time that the service slows the client down."""
        if self._on_wait is None or pacer.events == self._reported:
            return
        self._reported = pacer.events
        seconds = max(0.0, pacer.paused_until - pacer.now())
        rate = pacer.rate(pacer.paused_until)
        asked = f"asked to wait {seconds:.3g} s; then" if seconds else "sent 429;"
        reason = f"the service {asked} about {rate:.2g} requests per second"
        waiting = Waiting(seconds=seconds, rate=rate, reason=reason)
        await notify("on_wait", self._on_wait, waiting)


def _checked_wait(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigurationError("max_wait must be a finite number of seconds of at least 0")
    return float(value)


def _limiter(rate: float) -> AsyncLimiter:
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not number or not 0 < rate < math.inf:
        raise ConfigurationError("rate must be a number of requests per second above 0")
    try:
        from aiolimiter import AsyncLimiter
    except ModuleNotFoundError:
        pass
    else:
        return AsyncLimiter(1, 1 / rate)  # one at a time: no burst at the beginning
    raise ConfigurationError("rate needs the extra: pip install 'openrouter_async[audit]'")
