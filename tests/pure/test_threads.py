"""Blocking work in daemon threads: outcomes, cancellation, and what happens at the exit."""

import asyncio
import contextvars
import subprocess
import sys
import textwrap
import threading

import pytest
from support.programs import complaints

from openrouter_async._threads import run_in_daemon_thread

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE")


async def test_work_returns_its_result_from_a_named_daemon_thread() -> None:
    """A result comes from a daemon thread with the name and the context of the caller."""
    VARIABLE.set("seen")

    def work() -> tuple[str, bool, str]:
        thread = threading.current_thread()
        return thread.name, thread.daemon, VARIABLE.get()

    assert await run_in_daemon_thread(work, name="mine") == ("mine", True, "seen")


@pytest.mark.parametrize(
    ("raised", "kind"), [(OSError, OSError), (KeyError, KeyError), (StopIteration, RuntimeError)]
)
async def test_work_that_raises_raises_where_it_is_awaited(
    raised: type[Exception], kind: type[Exception]
) -> None:
    """Whatever the work raises is raised by the future, never lost in the thread."""

    def work() -> None:
        raise raised

    with pytest.raises(kind):
        await run_in_daemon_thread(work, name="mine")


async def test_a_cancelled_wait_leaves_the_work_going() -> None:
    """Cancelling the future ends the wait and nothing else."""
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        done.set()

    future = run_in_daemon_thread(work, name="mine")
    future.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert await asyncio.to_thread(done.wait, 10)


@pytest.mark.parametrize("refusal", [RuntimeError("can't start new thread"), MemoryError()])
async def test_without_a_thread_the_work_is_done_in_place(
    refusal: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is never refused because there is no thread for it."""

    def refuse(_: threading.Thread) -> None:
        raise refusal

    monkeypatch.setattr(threading.Thread, "start", refuse)
    future = run_in_daemon_thread(threading.get_ident, name="mine")
    assert future.done()
    assert await future == threading.get_ident()


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that must end by itself within seconds, without a word on stderr."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def test_work_that_hangs_does_not_hold_the_exit_back() -> None:
    """A program ends although its work does not."""
    ended = run("""
        import asyncio, threading
        from openrouter_async._threads import run_in_daemon_thread

        async def main():
            future = run_in_daemon_thread(threading.Event().wait, name="hangs")
            await asyncio.wait({future}, timeout=0.1)
            print("waited")

        asyncio.run(main())
    """)
    assert (ended.stdout, complaints(ended.stderr), ended.returncode) == ("waited\n", "", 0)


def test_work_is_done_when_the_main_thread_has_ended() -> None:
    """Python waits for the last threads then, and executors take no work any more."""
    ended = run("""
        import asyncio, threading
        from openrouter_async._threads import run_in_daemon_thread

        async def work():
            while threading.main_thread().is_alive():
                await asyncio.sleep(0.01)
            print(await run_in_daemon_thread(lambda: "done", name="late"))

        threading.Thread(target=lambda: asyncio.run(work())).start()
    """)
    assert (ended.stdout, complaints(ended.stderr), ended.returncode) == ("done\n", "", 0)
