"""Blocking work in a thread that never delays the program's exit.

asyncio's default executor does: Python waits at exit for its threads, and once the main thread has
ended, the executor accepts no more work.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

T = TypeVar("T")


def run_in_daemon_thread(work: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """Start `work` at once in its own daemon thread; return a future of the running loop.

    - The thread is called `name` and sees the caller's context variables.
    - The future gets what `work` returns or raises.
    - Cancelling the future ends only the wait: the work goes on, and its outcome is dropped.
      To learn the outcome, await `asyncio.shield(future)` or `asyncio.wait({future})`.
    - If no thread can be started (Python is shutting down, or there are too many), `work` runs in
      the calling thread, and the future is done when it is returned.
    - Python does not wait for the thread at exit: work in progress stops where it is.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        outcome = _outcome_of(work, context)
        with suppress(RuntimeError):  # the loop is closed, so nothing waits for the outcome
            loop.call_soon_threadsafe(_settle, future, *outcome)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except (RuntimeError, MemoryError):
        started = False
    else:
        started = True
    # Run outside the except block, so that exceptions of the work are not chained to its error.
    if not started:
        _settle(future, *_outcome_of(work, context))
    return future


def _outcome_of(
    work: Callable[[], T], context: contextvars.Context
) -> tuple[T | None, BaseException | None]:
    """Do the work and return its result or exception.

    This is a function of its own so that no frame of the exception's traceback refers to the
    future, which would make a reference cycle.
    """
    try:
        return context.run(work), None
    except StopIteration:  # futures do not accept it
        return None, RuntimeError("the work raised StopIteration")
    except BaseException as error:  # noqa: BLE001  # it is raised where the future is awaited
        return None, error


def _settle(future: asyncio.Future[T], result: T | None, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(cast("T", result))
    else:
        future.set_exception(error)
