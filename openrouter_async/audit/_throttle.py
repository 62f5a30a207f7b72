"""A caller that holds everybody who shares it within a number of calls at once, and a rate."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, TypeVar

from openrouter_async import _checks
from openrouter_async._operations import Operation
from openrouter_async._options import CallOptions
from openrouter_async.errors import ConfigurationError

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

    from openrouter_async._core import Caller

In = TypeVar("In")
Out = TypeVar("Out")


class Throttle:
    """Passes calls on, `concurrency` of them at once at most, evenly `rate` a second at most."""

    def __init__(self, caller: Caller, concurrency: int, rate: float | None) -> None:
        """Check both; raises `ConfigurationError`."""
        self.concurrency = _checks.at_least_one("concurrency", concurrency)
        self.requests = 0
        """How many calls were begun; repeats by the retry policy are not counted."""
        self.sharers = 1
        """How many walks share the bound."""
        self._caller = caller
        self._slots = asyncio.Semaphore(concurrency)
        self._limiter = None if rate is None else _limiter(rate)

    def share(self) -> int:
        """Give how many calls one of the sharers should make at once: all at the same pace."""
        return -(-self.concurrency // max(1, self.sharers))

    async def call(
        self, operation: Operation[In, Out], given: In, options: CallOptions | None = None
    ) -> Out:
        """Carry out one operation when it is its turn."""
        async with self._slots:
            if self._limiter is not None:
                await self._limiter.acquire()
            self.requests += 1
            return await self._caller.call(operation, given, options)


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
