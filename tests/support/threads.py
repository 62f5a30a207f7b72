"""Run an async context manager on a loop in a separate thread."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def in_thread(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter and leave it in that thread; errors from either are raised here."""
    entered: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        leave = asyncio.Event()
        async with manager as value:
            entered.set_result((value, asyncio.get_running_loop(), leave))
            await leave.wait()

    with ThreadPoolExecutor(1, thread_name_prefix="test-equipment") as pool:
        done = pool.submit(asyncio.run, live())
        either: set[Future[Any]] = {entered, done}
        wait(either, return_when=FIRST_COMPLETED)
        if not entered.done():
            done.result()
        value, loop, leave = entered.result()
        try:
            yield value
        finally:
            loop.call_soon_threadsafe(leave.set)
            wait({done})
        done.result()
