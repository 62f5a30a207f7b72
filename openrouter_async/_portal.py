"""One event loop in a thread of its own, through which blocking code runs coroutines.

The contract, in one place:

- the thread is a daemon, named, and started by the first call;
- a call sees the caller's context variables and may come from any thread but the portal's own;
- a wait that is interrupted (Ctrl-C) cancels the coroutine, gives it 2 s to end, and goes on with
  the interruption; notes that the coroutine left on its cancellation are carried over;
- after a fork the child gets a thread and a loop of its own;
- `close()` ends the loop; it may be called twice, from anywhere, also while Python exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from openrouter_async.errors import ClientClosedError, WrongLoopError

T = TypeVar("T")

PATIENCE: Final = 2.0
"""Seconds that a cancelled coroutine or a closing loop is waited for."""
_GRACE: Final = 0.5
"""Seconds of those that what is under way has to end by itself when the client is closed."""


class Portal:
    """A lazily started event loop in a daemon thread."""

    def __init__(self, name: str, *, on_fork: Callable[[], None]) -> None:
        self._name = name
        self._on_fork = on_fork
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the portal's loop and give its result or raise its exception."""
        try:
            loop = self._started()
        except BaseException:
            coroutine.close()
            raise
        outcome: Future[T] = Future()
        running = _Running(coroutine, outcome)
        try:
            loop.call_soon_threadsafe(running.start, loop)
        except RuntimeError:  # it was closed a moment ago
            coroutine.close()
            outcome.set_exception(ClientClosedError("the client is closed"))
        try:
            return outcome.result()
        except BaseException as error:
            if not outcome.done():
                loop.call_soon_threadsafe(running.cancel)
                running.ended.wait(PATIENCE)
                for note in running.notes:
                    error.add_note(note)
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            self._start_anew_after_fork()
        if threading.current_thread() is self._thread:
            raise WrongLoopError("a blocking call from within the client's own thread would hang")
        with self._lock:
            if self._closed:
                raise ClientClosedError("the client is closed")
            if self._loop is None:
                self._loop = self._start()
            return self._loop

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(loop,), name=self._name, daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
        if thread.ident is None:
            loop.close()
            raise ClientClosedError("Python is shutting down")
        self._thread = thread
        return loop

    def _start_anew_after_fork(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop = self._thread = None
        self._on_fork()

    def close(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `goodbye` in the loop, if there is one, then end loop and thread."""
        if self._pid != os.getpid():
            self._start_anew_after_fork()
        with self._lock:
            loop, thread, self._loop, self._closed = self._loop, self._thread, None, True
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(lambda: loop.create_task(_end(loop, goodbye)))
        if thread is not threading.current_thread():
            thread.join(PATIENCE)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _end(
    loop: asyncio.AbstractEventLoop, goodbye: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    with contextlib.suppress(Exception):
        await goodbye()  # which ends every call with an error of its own
    if others:
        _, stubborn = await asyncio.wait(others, timeout=_GRACE)
        for task in stubborn:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    with contextlib.suppress(Exception):
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()
    loop.stop()


class _Running:
    """One coroutine on its way through the loop, and the future that its caller waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], outcome: Future[Any]) -> None:
        self._coroutine = coroutine
        self._outcome = outcome
        self._task: asyncio.Task[None] | None = None
        self.ended = threading.Event()
        self.notes: list[str] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            result = await self._coroutine
        except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
            self.notes = list(getattr(error, "__notes__", ()))
            if not isinstance(error, asyncio.CancelledError):
                self._outcome.set_exception(error)
        else:
            self._outcome.set_result(result)

    def _finish(self, _: asyncio.Task[None]) -> None:
        self._coroutine.close()  # it never ran if it was cancelled at once
        if not self._outcome.done():
            self._outcome.set_exception(ClientClosedError("the client was closed during the call"))
        self.ended.set()
