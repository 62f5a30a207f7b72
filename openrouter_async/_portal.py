"""One event loop in a thread of its own, through which blocking code runs coroutines.

The contract, in one place:

- the thread is a daemon, named, and started by the first call;
- a call sees the caller's context variables and may come from any thread but the portal's own;
- a wait that is interrupted (Ctrl-C) cancels the coroutine, gives it 2 s to end, and goes on with
  the interruption; notes that the coroutine left on its cancellation are carried over;
- `SystemExit` and the like go to the caller whose coroutine raised them, and end nothing else;
- should the loop end all the same, every open call fails, and the next one starts another loop;
- what runs in the loop's default executor does not hold the end of the program back;
- after a fork the child gets a thread and a loop of its own;
- `close()` ends the loop; it may be called twice, from anywhere, also while Python exits.
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
"""Seconds that a cancelled coroutine or a closing loop is waited for."""
_GRACE: Final = 0.5
"""Seconds of those that what is under way has to end by itself when the client is closed."""

_BRIEFLY: Final = 0.1
"""Seconds that a closing loop is waited for where it has been waited for in vain already."""

_INHERITED: Final[list[_LoopThread]] = []
"""Threads of the parent of this process, whose loops must be neither closed nor destroyed here."""


class Portal:
    """A lazily started event loop in a daemon thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()  # a signal handler may close the client at any moment
        self._thread: _LoopThread | None = None
        self._closed = False
        forget_after_fork(self)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in the portal's loop; return its result or raise its exception.

        Raises `ClientClosedError`, `WrongLoopError` in the portal's own thread, and
        `APIConnectionError` where no thread or event loop can be had.
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
            raise WrongLoopError("a blocking call from within the client's own thread would hang")
        with self._lock:
            if self._closed:
                raise ClientClosedError("the client is closed")
            if self._thread is None:
                self._thread = self._start()
            running.begin(self._thread)

    def _start(self) -> _LoopThread:
        if sys.is_finalizing():  # a thread would never begin to run
            raise ClientClosedError("Python is shutting down")
        thread = None
        try:
            thread = _LoopThread(self._name, when_over=self._let_go)
            thread.start()
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            if thread is not None:
                thread.loop.close()
        else:
            return thread
        if not threading.main_thread().is_alive():  # from Python 3.12 on, no thread starts then
            raise ClientClosedError("Python is shutting down")
        raise APIConnectionError(
            f"cannot start the client's thread and event loop: {reason}. Nothing was sent; try "
            "again with fewer files and threads open, or raise their limits (ulimit -n, ulimit -u)"
        )

    def _let_go(self, thread: _LoopThread) -> None:
        with self._lock:
            if self._thread is thread:
                self._thread = None

    def forget(self) -> None:
        """Start anew in a forked child, where the thread does not run and locks may be held."""
        thread, self._thread = self._thread, None
        self._lock = threading.RLock()
        if thread is not None:
            _INHERITED.append(thread)
            thread.forget()

    def close(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `goodbye` in the loop, if there is one, then end loop and thread."""
        with self._lock:
            thread, self._thread, self._closed = self._thread, None, True
            if thread is not None:
                thread.end(goodbye)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_BRIEFLY if thread.is_stuck else PATIENCE)


class _LoopThread(threading.Thread):
    """A daemon thread that runs an event loop until it is told to end."""

    def __init__(self, name: str, *, when_over: Callable[[_LoopThread], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.loop = _new_event_loop()
        self.loop.set_default_executor(_DaemonThreads(1))
        self.calls: set[_Running[Any]] = set()
        """What runs in the loop or is about to."""
        self._when_over = when_over
        self._over = False
        self._inherited = False
        self._ending: asyncio.Task[None] | None = None

    def run(self) -> None:
        reason = "its event loop was ended"
        try:
            while not self._over:
                # The task that raised it hands it to whoever awaits that task.
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    self.loop.run_forever()
        except BaseException as error:  # noqa: BLE001  # such as a selector that somebody closed
            reason = f"its event loop failed ({type(error).__name__}: {error})"
        if self._inherited:
            return  # to close the loop would unregister the parent's descriptors
        self._when_over(self)
        with contextlib.suppress(Exception):
            self.loop.close()
        for call in list(self.calls):
            call.fail(ClientClosedError(f"the client ended during the call: {reason}"))

    @property
    def is_stuck(self) -> bool:
        """Whether a call that was cancelled goes on all the same."""
        return any(call.given_up for call in list(self.calls))

    def end(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let the calls under way end, run `goodbye`, then end loop and thread."""

        def begin_to_end() -> None:
            self._ending = self.loop.create_task(self._end(goodbye))

        self.loop.call_soon_threadsafe(begin_to_end)

    async def _end(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        try:
            with contextlib.suppress(Exception):
                await goodbye()  # which ends every call with an error of its own
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
        """Go no further in a forked child, if the fork was made in this very thread."""
        self._over = self._inherited = True
        if threading.current_thread() is self:
            self.loop.stop()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Create an event loop; raises `OSError` where descriptors are used up."""
    # asyncio leaves a broken loop behind where it gets only some of the descriptors it needs.
    with selectors.DefaultSelector():
        for side in socket.socketpair():
            side.close()
    return asyncio.new_event_loop()


class _DaemonThreads(ThreadPoolExecutor):
    """An executor for an event loop, whose threads Python does not wait for at its exit."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the function in a daemon thread of its own."""
        work = functools.partial(fn, *args, **kwargs)
        future = run_in_daemon_thread(work, name=threading.current_thread().name + "-worker")
        return cast("Future[T]", future)  # run_in_executor() takes one of asyncio as well


class _Running(Generic[T]):
    """One coroutine on its way through a loop, and what its caller waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.given_up = False
        """Whether nobody waits any more."""
        self._coroutine = coroutine
        self._thread: _LoopThread | None = None
        self._task: asyncio.Task[None] | None = None
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._notes: list[str] = []
        self._ended = threading.Event()

    def begin(self, thread: _LoopThread) -> None:
        """Hand the coroutine over to the loop of this thread."""
        self._thread = thread
        thread.calls.add(self)
        thread.loop.call_soon_threadsafe(self._start)

    def result(self) -> T:
        """Wait for the coroutine, and return its result or raise its exception, once."""
        self._ended.wait()
        error, self._error = self._error, None  # its traceback may keep this alive
        if error is None:
            return self._results.pop()
        try:
            raise error
        finally:
            del error

    def give_up(self, error: BaseException) -> None:
        """Cancel the coroutine unless it has ended; the caller's wait was ended by `error`."""
        if self._ended.is_set():
            return
        if self._thread is None:
            self._coroutine.close()
            return
        self.given_up = True
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._thread.loop.call_soon_threadsafe(self._cancel)
        self._ended.wait(PATIENCE)
        for note in self._notes:
            error.add_note(note)

    def fail(self, error: BaseException) -> None:
        """End the caller's wait, with this error unless there is an outcome already."""
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
        """Return whether the task itself was cancelled, here or at the client's end."""
        return self._task is not None and self._task.cancelling() > 0

    async def _run(self) -> None:
        try:
            self._results.append(await self._coroutine)
        except BaseException as error:  # noqa: BLE001  # it is raised in the caller's thread
            self._notes = list(getattr(error, "__notes__", ()))
            if not (isinstance(error, asyncio.CancelledError) and self._is_cancelled()):
                self._error = error

    def _finish(self, _: asyncio.Task[None]) -> None:
        self._coroutine.close()  # it never ran if it was cancelled at once
        if self._thread is not None:
            self._thread.calls.discard(self)
        if self._results or self._error is not None:
            self._ended.set()
        else:
            self.fail(ClientClosedError("the client was closed during the call"))
