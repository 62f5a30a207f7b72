"""Blocking work in a thread that never holds the end of the program back.

asyncio's default executor does: Python waits at its exit for what runs there, and once the main
thread has ended the executor accepts no work any more.
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
    """Start `work` in a daemon thread of its own at once; return a future of the running loop.

    - The thread is called `name` and sees the caller's context variables.
    - The future gets what `work` returns or raises.
    - Cancelling the future ends the wait only: the work goes on, and its outcome is dropped.
      Who must know how it ends awaits `asyncio.shield(future)` or `asyncio.wait({future})`.
    - Where no thread can be started (Python is shutting down, or there are too many), `work` runs
      in place, and the future is done when it is returned.
    - At the end of the program the thread is not waited for: work under way stops where it is.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        outcome = _outcome_of(work, context)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, *outcome)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except (RuntimeError, MemoryError):
        started = False
    else:
        started = True
    if not started:
        _settle(future, *_outcome_of(work, context))
    return future


def _outcome_of(
    work: Callable[[], T], context: contextvars.Context
) -> tuple[T | None, BaseException | None]:
    """Do the work; no frame of the traceback knows the future, which would make a cycle."""
    try:
        return context.run(work), None
    except StopIteration:  # no future takes it
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
