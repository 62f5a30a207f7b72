"""Tasks and threads that a cancellation must not leave half done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from openrouter_async._threads import run_in_daemon_thread

T = TypeVar("T")

PATIENCE: Final = 0.75
"""Seconds to wait for foreign code, such as a sink, after the work has been cancelled."""


async def run_to_end(
    work: Callable[[], T],
    *,
    patience: float | None = None,
    undo: Callable[[T], object] | None = None,
) -> T:
    """Run a function in a thread and let it finish even if the caller is cancelled.

    The function starts at once, before even a cancellation that was requested earlier takes effect.

    Args:
        work: The function; it sees the caller's context variables.
        patience: Seconds to wait after a cancellation; None: until the function returns.
        undo: After a cancellation, called in a thread with the function's result, even if that
            comes after `patience`.

    """
    first = threading.Lock()
    """Acquired by whichever comes first: the end of the work, or a cancellation."""

    def whole() -> T:
        result = work()
        if undo is not None and not first.acquire(blocking=False):
            undo(result)
        return result

    running = run_in_daemon_thread(whole, name=_NAME)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        ending: asyncio.Future[Any] = running
        if undo is not None and not first.acquire(blocking=False):
            await outlast(running)  # the work has ended, and the future will be done in a moment
            ending = run_in_daemon_thread(partial(undo, running.result()), name=_NAME)
        await outlast(ending, patience=patience)
        ending.cancel()  # otherwise asyncio would log a later error as never retrieved
        raise


_NAME: Final = "openrouter_async work"


async def outlast(*futures: asyncio.Future[Any], patience: float | None = None) -> None:
    """Wait until all futures are done, or for `patience` seconds, ignoring cancellations.

    Their exceptions are retrieved, so that asyncio does not log them as never retrieved.
    """
    loop = asyncio.get_running_loop()
    deadline = None if patience is None else loop.time() + patience
    while pending := {future for future in futures if not future.done()}:
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            break
        with suppress(asyncio.CancelledError):
            await asyncio.wait(pending, timeout=left)
    for future in futures:
        if future.done() and not future.cancelled():
            future.exception()


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until they have ended; whatever they raise is dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def gather_or_cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Wait for all tasks; if one fails or the wait is cancelled, cancel and await the others."""
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        await cancel_all(tasks)
        raise
