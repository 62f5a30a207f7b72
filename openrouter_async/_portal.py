"""An event loop in its own thread, in which blocking code runs coroutines.

The contract:

- The thread is a named daemon, started by the first call.
- A call sees the caller's context variables, and may come from any thread but the portal's own.
- If a wait is interrupted (Ctrl-C), the coroutine is cancelled and gets 2 s to end; then the
  interruption is raised, with the notes that the coroutine added to its cancellation.
- `SystemExit` and the like are raised to the caller of the coroutine, and end nothing else.
- If the loop ends nevertheless, every open call fails, and the next call starts another loop.
- Work in the loop's default executor does not delay the program's exit.
- After a fork, the child gets its own thread and loop.
- `close()` ends the loop. It may be called twice, from any thread, also while Python exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from openrouter_async._forks import forget_after_fork
from openrouter_async._threads import run_in_daemon_thread
from openrouter_async.errors import APIConnectionError, ClientClosedError, WrongLoopError

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE: Final = 2.0
"""Seconds to wait for a cancelled coroutine or a closing loop."""
_GRACE: Final = 0.5
"""Seconds, of those, in which calls may end by themselves when the client is closed."""

_BRIEFLY: Final = 0.1
"""Seconds to wait for a closing loop in which a cancelled call did not end in time."""

_INHERITED: Final[list[_LoopThread]] = []
"""Threads of the parent process, whose loops must be neither closed nor destroyed here."""


class Portal:
    """A lazily started event loop in a daemon thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()  # a signal handler may close the client at any time
        self._thread: _LoopThread | None = None
        self._closed = False
        forget_after_fork(self)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the portal's loop; return its result or raise its exception.

        Raises `ClientClosedError`, `WrongLoopError` in the portal's own thread, and
        `APIConnectionError` if no thread or event loop can be created.
        """
        running = _Running(coroutine)
        try:
            self._begin(running)
            return running.result()
        except BaseException as error:
            running.give_up(error)
            raise

    def _begin(self, running: _Running[Any]) -> None:
        if threading.current_thread() is self._thread:
            raise WrongLoopError("a blocking call from the client's own thread would deadlock")
        # Under the lock until the call has begun, so that close() finds it.
        with self._lock:
            if self._closed:
                raise ClientClosedError("the client is closed")
            if self._thread is None:
                self._thread = self._start()
            running.begin(self._thread)

    def _start(self) -> _LoopThread:
        if sys.is_finalizing():  # a new thread would never run
            raise ClientClosedError("Python is shutting down")
        thread = None
        try:
            thread = _LoopThread(self._name, when_over=self._forget_thread)
            thread.start()
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            if thread is not None:
                thread.loop.close()
        else:
            return thread
        # Raised outside the except block, so that nothing is chained.
        if not threading.main_thread().is_alive():  # since Python 3.12, no thread can start then
            raise ClientClosedError("Python is shutting down")
        raise APIConnectionError(
            f"cannot start the client's thread and event loop: {reason}. Nothing was sent; try "
            "again with fewer files and threads open, or raise their limits (ulimit -n, ulimit -u)"
        )

    def _forget_thread(self, thread: _LoopThread) -> None:
        with self._lock:
            if self._thread is thread:
                self._thread = None

    def forget(self) -> None:
        """Start afresh in a forked child, where the thread does not run and locks may be held."""
        thread, self._thread = self._thread, None
        self._lock = threading.RLock()
        if thread is not None:
            _INHERITED.append(thread)
            thread.forget()

    def close(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `goodbye` in the loop, if there is one, then stop the loop and its thread."""
        with self._lock:
            thread, self._thread, self._closed = self._thread, None, True
            if thread is not None:
                thread.end(goodbye)
        # A finalizer may run in the portal's own thread, which cannot join itself.
        if thread is not None and thread is not threading.current_thread():
            thread.join(_BRIEFLY if thread.is_stuck else PATIENCE)


class _LoopThread(threading.Thread):
    """A daemon thread that runs an event loop until `end()` is called."""

    def __init__(self, name: str, *, when_over: Callable[[_LoopThread], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.loop = _new_event_loop()
        self.loop.set_default_executor(_DaemonThreads(1))
        self.calls: set[_Running[Any]] = set()
        """The calls that run in the loop or are about to."""
        self._when_over = when_over
        self._over = False
        self._inherited = False
        self._ending: asyncio.Task[None] | None = None

    def run(self) -> None:
        reason = "its event loop was stopped"
        try:
            while not self._over:
                # The exception is raised to the caller anyway, by the task that raised it.
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    self.loop.run_forever()
        except BaseException as error:  # noqa: BLE001  # such as a selector that was closed
            reason = f"its event loop failed ({type(error).__name__}: {error})"
        if self._inherited:
            return  # closing the loop would unregister the parent's descriptors
        self._when_over(self)
        with contextlib.suppress(Exception):
            self.loop.close()
        for call in list(self.calls):
            call.fail(ClientClosedError(f"the client stopped during the call: {reason}"))

    @property
    def is_stuck(self) -> bool:
        """Whether a call is still running although it was cancelled."""
        return any(call.given_up for call in list(self.calls))

    def end(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `goodbye`, give calls in progress time to end, then stop the loop and the thread."""

        def begin_to_end() -> None:
            self._ending = self.loop.create_task(self._end(goodbye))

        self.loop.call_soon_threadsafe(begin_to_end)

    async def _end(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        try:
            with contextlib.suppress(Exception):
                await goodbye()  # it ends every call with an error of its own
            if others:
                _, stubborn = await asyncio.wait(others, timeout=_GRACE)
                for task in stubborn:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.loop.shutdown_asyncgens()
        finally:
            self._over = True
            self.loop.stop()

    def forget(self) -> None:
        """Stop the loop in a forked child, if this thread itself made the fork."""
        self._over = self._inherited = True
        if threading.current_thread() is self:
            self.loop.stop()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Create an event loop; raise `OSError` if too few file descriptors are left."""
    # asyncio leaves a broken loop behind if it gets only some of the descriptors that it needs.
    with selectors.DefaultSelector():
        for side in socket.socketpair():
            side.close()
    return asyncio.new_event_loop()


class _DaemonThreads(ThreadPoolExecutor):
    """An executor for an event loop, whose threads Python does not wait for at exit."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the function in its own daemon thread."""
        work = functools.partial(fn, *args, **kwargs)
        future = run_in_daemon_thread(work, name=threading.current_thread().name + "-worker")
        return cast("Future[T]", future)  # run_in_executor() accepts an asyncio future too


class _Running(Generic[T]):
    """A coroutine that runs in the loop, and the outcome that its caller waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.given_up = False
        """Whether its caller has stopped waiting."""
        self._coroutine = coroutine
        self._thread: _LoopThread | None = None
        self._task: asyncio.Task[None] | None = None
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._notes: list[str] = []
        self._ended = threading.Event()

    def begin(self, thread: _LoopThread) -> None:
        """Schedule the coroutine in the loop of a thread."""
        self._thread = thread
        thread.calls.add(self)
        thread.loop.call_soon_threadsafe(self._start)

    def result(self) -> T:
        """Wait for the coroutine, and return its result or raise its exception, once."""
        self._ended.wait()
        error, self._error = self._error, None  # its traceback may refer to this object: a cycle
        if error is None:
            return self._results.pop()
        try:
            raise error
        finally:
            # This frame, to which the traceback refers, would keep the exception alive.
            del error

    def give_up(self, error: BaseException) -> None:
        """Cancel the coroutine unless it has ended; `error` has interrupted the caller's wait."""
        if self._ended.is_set():
            return
        if self._thread is None:
            self._coroutine.close()
            return
        self.given_up = True
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._thread.loop.call_soon_threadsafe(self._cancel)
        self._ended.wait(PATIENCE)
        for note in self._notes:
            error.add_note(note)

    def fail(self, error: BaseException) -> None:
        """End the caller's wait, with `error` unless there is an outcome already."""
        if not self._results and self._error is None:
            self._error = error
        self._ended.set()

    def _start(self) -> None:
        try:
            self._task = asyncio.get_running_loop().create_task(self._run())
        except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
            self._coroutine.close()
            self.fail(error)
        else:
            self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _is_cancelled(self) -> bool:
        """Return whether the task itself was cancelled, here or by closing the client."""
        return self._task is not None and self._task.cancelling() > 0

    async def _run(self) -> None:
        try:
            self._results.append(await self._coroutine)
        except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
            self._notes = list(getattr(error, "__notes__", ()))
            if not (isinstance(error, asyncio.CancelledError) and self._is_cancelled()):
                self._error = error

    def _finish(self, _: asyncio.Task[None]) -> None:
        self._coroutine.close()  # if it was cancelled at once, it never ran
        if self._thread is not None:
            self._thread.calls.discard(self)
        if self._results or self._error is not None:
            self._ended.set()
        else:
            self.fail(ClientClosedError("the client was closed during the call"))
