"""What all calls of a client share: its key, slots, deadlines, retry budget and pace."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from openrouter_async._deadlines import Deadlines
from openrouter_async._observers import notify
from openrouter_async._options import checked_key
from openrouter_async._pacing import Pacer
from openrouter_async._retry import Clock, RetryBudget, SystemClock
from openrouter_async.errors import (
    ClientClosedError,
    ConfigurationError,
    OpenRouterError,
    WrongLoopError,
)
from openrouter_async.secret import Secret

if TYPE_CHECKING:
    from openrouter_async._transport import Transport

In = TypeVar("In")
Out = TypeVar("Out")
KeySource: TypeAlias = Callable[[], "str | Secret | Awaitable[str | Secret]"]
OnAttempt: TypeAlias = Callable[[str, int, "int | type[OpenRouterError]", float], object]
"""Told (operation, attempt, status or error class, seconds) after every attempt.

It may be an async function, which is awaited before the call goes on."""


class Shared:
    """What a client and all that `with_options` made of it share: key, slots, budget, pause."""

    slots: asyncio.Semaphore
    """One for each attempt that may be under way; `enter` makes them, for its loop."""
    deadlines: Deadlines
    """When attempts must end; made by `enter` too."""

    def __init__(
        self,
        *,
        key: Secret | KeySource,
        transport: Transport,
        max_connections: int,
        on_attempt: OnAttempt | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._key_source = key
        self.fixed_key = key if isinstance(key, Secret) else None
        self._max_connections = max_connections
        self.transport = transport
        self.on_attempt = on_attempt
        self.clock: Clock = clock or SystemClock()
        self.budget = RetryBudget()
        self.pacer = Pacer(self.clock.time)
        """How fast requests may begin; made anew for each loop."""
        self._clients = 0

    def join(self) -> None:
        """Count one more client that shares this."""
        self._clients += 1

    def leave(self) -> bool:
        """Count one client less; True for the last one."""
        self._clients -= 1
        return self._clients == 0

    def enter(self) -> None:
        """Check that a call can begin here; raises `ClientClosedError` or `WrongLoopError`."""
        if self.transport.closed:
            raise ClientClosedError("the client is closed")
        loop = running_loop()
        if loop is None:
            raise WrongLoopError(
                "no event loop of asyncio runs here: await calls within asyncio.run(), also in a "
                "forked child, or use OpenRouter"
            )
        if self.transport.bind(loop):
            self.slots = asyncio.Semaphore(self._max_connections)
            self.deadlines = Deadlines(loop)
            self.pacer = Pacer(self.clock.time)

    async def close(self) -> None:
        """End the calls under way and close all connections; a second time does nothing.

        Raises `WrongLoopError` where the client's loop runs in another thread.
        """
        loop = self.transport.loop
        if loop is not None and loop is running_loop():
            self.deadlines.expire_all()  # those calls go on only when this waits
        elif loop is not None and loop.is_running():
            raise WrongLoopError("the client belongs to a loop of another thread: close it there")
        await self.transport.close()

    async def ask_for_key(self) -> Secret:
        """Ask the caller's function for the key."""
        if isinstance(self._key_source, Secret):
            return self._key_source
        given: object = self._key_source()
        if inspect.isawaitable(given):
            given = await given
        key = Secret(given) if isinstance(given, (str, Secret)) else None
        del given  # a traceback with locals would show it
        if key is None:
            raise ConfigurationError("the api_key function must give a str or Secret")
        return checked_key(key)

    async def tell(
        self, operation: str, attempt: int, outcome: int | type[OpenRouterError], seconds: float
    ) -> None:
        """Tell the caller's observer of an attempt; what it raises must not change anything."""
        if self.on_attempt is not None:
            await notify("on_attempt", self.on_attempt, operation, attempt, outcome, seconds)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop; None outside one, as in a child that a task has forked."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
