"""A server on a loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial


class ServerThread:
    """Holds an async context manager open, from the constructor until `stop()`."""

    def __init__(self, manager: AbstractAsyncContextManager[int]) -> None:
        """Start the thread and enter the manager; what that raises is raised here."""
        started: Future[tuple[int, Callable[[], object]]] = Future()
        self._thread = threading.Thread(
            target=_run, args=(manager, started), name="openrouter-sandbox", daemon=True
        )
        self._thread.start()
        self.port, self._leave = started.result()
        atexit.register(self.stop)  # a daemon's sockets would be left open

    def stop(self) -> None:
        """Leave the manager and wait for the thread; again is fine."""
        atexit.unregister(self.stop)
        with suppress(RuntimeError):  # the loop is closed already
            self._leave()
        self._thread.join()


def _run(
    manager: AbstractAsyncContextManager[int], started: Future[tuple[int, Callable[[], object]]]
) -> None:
    async def hold() -> None:
        loop, leave = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            try:
                port = await stack.enter_async_context(manager)
            except Exception as error:  # noqa: BLE001 - raised where the start is waited for
                started.set_exception(error)
                return
            started.set_result((port, partial(loop.call_soon_threadsafe, leave.set)))
            await leave.wait()

    asyncio.run(hold())
