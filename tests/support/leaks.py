"""Detect what code has left open: file descriptors, asyncio tasks, threads."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

_DESCRIPTORS = Path("/proc/self/fd")


def open_descriptors() -> dict[int, str]:
    """Return the target of each open descriptor; skips the test where it cannot be determined."""
    if not _DESCRIPTORS.is_dir():
        pytest.skip("open descriptors can be counted only where there is /proc/self/fd")
    found = {}
    for entry in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - iterdir keeps a descriptor open
        try:
            found[int(entry)] = str((_DESCRIPTORS / entry).readlink())
        except FileNotFoundError:  # such as the descriptor of the listing itself
            continue
    return found


def open_below(folder: Path) -> list[str]:
    """Return the files below a folder that this process holds open, including removed ones."""
    return [path for path in open_descriptors().values() if path.startswith(f"{folder}/")]


def running_tasks() -> set[asyncio.Task[object]]:
    """Return the running loop's unfinished tasks except the current one; none without a loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return set()
    return {task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()}


def running_threads() -> set[threading.Thread]:
    """Return the live threads of this process."""
    return set(threading.enumerate())


@dataclass(frozen=True, slots=True)
class Census:
    """What is open at one moment."""

    descriptors: dict[int, str]
    tasks: set[asyncio.Task[object]]
    threads: set[threading.Thread]

    @classmethod
    def take(cls) -> Self:
        """Take a census now, as seen from the calling thread and its loop."""
        return cls(open_descriptors(), running_tasks(), running_threads())

    def grown_since(self, before: "Census") -> list[str]:
        """Return descriptions of what has grown in number since an earlier census."""
        grown: list[str] = []
        if len(self.descriptors) > len(before.descriptors):
            new = sorted(self.descriptors.items() - before.descriptors.items())
            grown += [f"descriptor {number}: {target}" for number, target in new]
        if len(self.tasks) > len(before.tasks):
            grown += [repr(task) for task in self.tasks - before.tasks]
        if len(self.threads) > len(before.threads):
            grown += [repr(thread) for thread in self.threads - before.threads]
        return grown


@asynccontextmanager
async def no_leaks(within: float = 2.0) -> AsyncIterator[None]:
    """Fail if anything that the block opened is still open `within` seconds after it."""
    before = Census.take()
    yield
    deadline = time.monotonic() + within
    while grown := Census.take().grown_since(before):
        _check(grown, deadline)
        await asyncio.sleep(0.005)


@contextmanager
def no_leaks_blocking(within: float = 2.0) -> Iterator[None]:
    """Fail likewise, without a loop, for descriptors and threads."""
    before = Census.take()
    yield
    deadline = time.monotonic() + within
    while grown := Census.take().grown_since(before):
        _check(grown, deadline)
        time.sleep(0.005)


def _check(grown: list[str], deadline: float) -> None:
    if time.monotonic() > deadline:
        raise AssertionError("left open:\n" + "\n".join(grown))
