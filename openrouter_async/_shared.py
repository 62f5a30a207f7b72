"""State that all calls of a client share: its key, slots, deadlines, retry budget and pace."""

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
from openrouter_async._slots import Slots
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
"""Called with (operation, attempt, status or error class, seconds) after every attempt.

An async function is awaited before the call goes on."""


class Shared:
    """State shared by a client and all clients that its `with_options` has made."""

    slots: Slots
    """One slot for each attempt that may be in flight; created by `enter` for its loop."""
    deadlines: Deadlines
    """The time limits of calls and attempts; created by `enter` too."""

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
        """The pace of requests; a new one is created for each loop."""
        self._clients = 0

    def join(self) -> None:
        """Count another client that shares this state."""
        self._clients += 1

    def leave(self) -> bool:
        """Count one client less; return True after the last one."""
        self._clients -= 1
        return self._clients == 0

    def enter(self) -> None:
        """Check that a call can start here; raise `ClientClosedError` or `WrongLoopError`."""
        if self.transport.closed:
            raise ClientClosedError("the client is closed")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            raise WrongLoopError(
                "no asyncio event loop is running: await calls inside asyncio.run(), in a forked "
                "child too, or use OpenRouter"
            )
        if self.transport.loop is not loop:
            self.transport.bind(loop)
            # Futures and timers belong to one loop, so a new loop needs new ones.
            self.slots = Slots(self._max_connections)
            self.deadlines = Deadlines(loop)
            self.pacer = Pacer(self.clock.time)

    async def close(self) -> None:
        """End the calls in progress and close all connections; a second call does nothing.

        Raises `WrongLoopError` if the client's loop runs in another thread.
        """
        loop = self.transport.loop
        if loop is not None and loop is asyncio.get_running_loop():
            self.deadlines.expire_all()  # the cancelled calls run only once this call waits
        elif loop is not None and loop.is_running():
            raise WrongLoopError("the client belongs to another thread's loop: close it there")
        await self.transport.close()

    async def ask_for_key(self) -> Secret:
        """Return the key, which the caller's function may have to supply."""
        if isinstance(self._key_source, Secret):
            return self._key_source
        supplied: object = self._key_source()
        if inspect.isawaitable(supplied):
            supplied = await supplied
        key = Secret(supplied) if isinstance(supplied, (str, Secret)) else None
        del supplied  # a traceback with locals would show it
        if key is None:
            raise ConfigurationError("the api_key function must return a str or Secret")
        return checked_key(key)

    async def notify_observer(
        self, operation: str, attempt: int, outcome: int | type[OpenRouterError], seconds: float
    ) -> None:
        """Notify the caller's observer of an attempt; its errors do not affect the call."""
        if self.on_attempt is not None:
            await notify("on_attempt", self.on_attempt, operation, attempt, outcome, seconds)
