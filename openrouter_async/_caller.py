"""What work of several calls needs of a client, and the bounds of a bulk run."""

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
    """What everything above needs of a client: to make one call."""

    def call(
        self, operation: Operation[In, Out], given: In, options: CallOptions | None = None
    ) -> Coroutine[Any, Any, Out]:
        """Carry out one operation with the client's settings and `options` over them."""
        ...


class Client(Caller, Protocol):
    """What work of several steps needs: another key, the bounds of a bulk run, and a clock."""

    def call(
        self,
        operation: Operation[In, Out],
        given: In,
        options: CallOptions | None = None,
        *,
        key: Secret | None = None,
        throttle: Throttle | None = None,
    ) -> Coroutine[Any, Any, Out]:
        """Make a call with another key than the client's, or within the bounds of a bulk run."""
        ...

    @property
    def clock(self) -> Clock:
        """Where time comes from, and how to wait."""
        ...

    def server_url_for(self, options: CallOptions | None = None) -> str:
        """Return the base URL that a call with these options goes to."""
        ...


class Throttle:
    """A client within the bounds of one bulk run: `concurrency` calls at once, `rate` requests.

    Its calls outlast the service's rate limit: 429 costs them neither an attempt nor a part of
    the retry budget, and waiting for the pace none of their `total_timeout`.
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
            client: What makes the calls.
            concurrency: How many calls may be under way at once.
            rate: How many requests a second may begin, retries included; needs the extra `audit`.
                None: no bound.
            max_wait: Seconds that each request may wait for the service's rate limit, in all.
            on_wait: Told whenever the service slows the run down; an async function is awaited.

        """
        self.concurrency = _checks.at_least_one("concurrency", concurrency)
        self.max_wait = _checked_wait(max_wait)
        self.requests = 0
        """How many requests were begun, retries included."""
        self.sharers = 1
        """How many walks share the bound."""
        if on_wait is not None and not callable(on_wait):
            raise ConfigurationError("on_wait must be callable")
        self._on_wait = on_wait
        self._client = client
        self._slots = asyncio.Semaphore(concurrency)
        self._limiter = None if rate is None else _limiter(rate)
        self._told = 0

    @property
    def clock(self) -> Clock:
        """The client's clock."""
        return self._client.clock

    def server_url_for(self, options: CallOptions | None = None) -> str:
        """Return the base URL that a call with these options goes to."""
        return self._client.server_url_for(options)

    def share(self) -> int:
        """Return how many calls one of the sharers should make at once: all at the same pace."""
        return -(-self.concurrency // max(1, self.sharers))

    async def call(
        self,
        operation: Operation[In, Out],
        given: In,
        options: CallOptions | None = None,
    ) -> Out:
        """Make one call when it is its turn."""
        async with self._slots:
            return await self._client.call(operation, given, options, throttle=self)

    async def begin_request(self) -> None:
        """Wait until the run's own `rate` allows one more request."""
        if self._limiter is not None:
            await self._limiter.acquire()

    async def tell(self, pacer: Pacer) -> None:
        """Tell the run's observer, once for each time that the service slows the client down."""
        if self._on_wait is None or pacer.events == self._told:
            return
        self._told = pacer.events
        seconds = max(0.0, pacer.paused_until - pacer.now())
        rate = pacer.rate(pacer.paused_until)
        asked = f"asked to wait {seconds:.3g} s; then" if seconds else "answered 429;"
        reason = f"the service {asked} about {rate:.2g} requests a second"
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
