"""Measure batches of calls, interleaved in rounds, with medians and quartiles.

The same for every case: a batch begins with an untimed call by each worker and a full garbage
collection, then runs with the collector enabled. Objects loaded before the rounds are frozen, so
that no case pays for the modules of another. CPU is that of all threads of the client process, or
of the fresh interpreter; the server runs in a separate process.
"""

import asyncio
import gc
import itertools
import resource
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    contextmanager,
    suppress,
)
from typing import Final, Generic, TypeVar

from attrs import field, frozen

AsyncCall = Callable[[], Awaitable[object]]
Call = Callable[[], object]
Sample = Mapping[str, float]
"""Cost of one call: `cpu` and `wall` in seconds, or `memory` in bytes."""
Batch = Callable[[int], Sample]
"""Makes about the given number of calls and returns the cost of one."""
Opener = Callable[[], AbstractContextManager[Batch]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Name = TypeVar("Name")
QUICK: Final = 1.0
"""Seconds; a longer warm-up has warmed up everything."""


class _Clock:
    """CPU and wall time since its creation."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def sample(self, calls: int) -> Sample:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"cpu": cpu / calls, "wall": wall / calls}


@contextmanager
def tasks(
    connect: Callable[[], AbstractAsyncContextManager[AsyncCall]],
    workers: int,
    loop_factory: LoopFactory | None = None,
) -> Iterator[Batch]:
    """Call from `workers` tasks at once, on a separate event loop."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        stack = AsyncExitStack()
        call = runner.run(stack.enter_async_context(connect()))
        try:
            yield lambda calls: runner.run(_batch_of_tasks(call, workers, calls))
        finally:
            runner.run(stack.aclose())


async def _batch_of_tasks(call: AsyncCall, workers: int, calls: int) -> Sample:
    each = max(1, round(calls / workers))

    async def work(times: int) -> None:
        for _ in range(times):
            await call()

    async def run(times: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work(times))

    await run(1)
    gc.collect()
    clock = _Clock()
    await run(each)
    return clock.sample(each * workers)


@contextmanager
def threads(connect: Callable[[], AbstractContextManager[Call]], workers: int) -> Iterator[Batch]:
    """Call from `workers` threads that share one client; a single one is the main thread."""
    with connect() as call:
        if workers == 1:
            yield lambda calls: _batch_of_one(call, calls)
        else:
            yield lambda calls: _batch_of_threads(call, workers, calls)


def _batch_of_threads(call: Call, workers: int, calls: int) -> Sample:
    each = max(1, round(calls / workers))
    barrier = threading.Barrier(workers + 1)

    def work() -> None:
        try:
            call()
            barrier.wait()
            barrier.wait()
            for _ in range(each):
                call()
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(work) for _ in range(workers)]
        with suppress(threading.BrokenBarrierError):  # the error is in a future
            barrier.wait()
            gc.collect()
            barrier.wait()
        clock = _Clock()
        wait(running)
        sample = clock.sample(each * workers)
    for error in (future.exception() for future in running):
        if error is not None and not isinstance(error, threading.BrokenBarrierError):
            raise error
    return sample


@contextmanager
def repeated(call: Call) -> Iterator[Batch]:
    """Call a plain function in a loop."""
    yield lambda calls: _batch_of_one(call, calls)


def _batch_of_one(call: Call, calls: int) -> Sample:
    call()
    gc.collect()
    clock = _Clock()
    for _ in itertools.repeat(None, calls):
        call()
    return clock.sample(calls)


@contextmanager
def interpreter(code: str, *arguments: str) -> Iterator[Batch]:
    """Run code in a fresh interpreter, once a batch."""

    def batch(_: int) -> Sample:
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run((sys.executable, "-c", code, *arguments), check=True, capture_output=True)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return {"cpu": cpu, "wall": wall}

    yield batch


@contextmanager
def kept(
    decode: Callable[[bytes], object], pages: Sequence[bytes], records: int
) -> Iterator[Batch]:
    """Decode pages of different values, keep the results and measure bytes per record."""

    def batch(_: int) -> Sample:
        decode(pages[0])
        gc.collect()
        tracemalloc.start()
        try:
            before, _peak = tracemalloc.get_traced_memory()
            results = [decode(page) for page in pages]
            gc.collect()
            after, _peak = tracemalloc.get_traced_memory()
            del results
        finally:
            tracemalloc.stop()
        return {"memory": (after - before) / records}

    yield batch


@frozen
class Rounds(Generic[Name]):
    """Samples of a group of cases: one mapping per round, and why cases are missing."""

    samples: list[dict[Name, Sample]] = field(factory=list)
    failed: dict[Name, str] = field(factory=dict)


def interleave(
    cases: Mapping[Name, Opener],
    *,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> Rounds[Name]:
    """Measure every case once per round, A B C, B C A, …, with batches of about `seconds`.

    A case that fails, such as a competitor that is not installed, is left out and reported.
    """
    result: Rounds[Name] = Rounds()
    batches: dict[Name, tuple[Batch, int]] = {}
    with ExitStack() as stack:
        for name, opener in cases.items():
            tell(f"warm-up of {name}")
            try:
                batch = stack.enter_context(opener())
                batches[name] = batch, _calls_in(batch, seconds)
            except Exception as error:  # noqa: BLE001 - reported in the table
                result.failed[name] = describe(error)
        gc.collect()
        gc.freeze()  # collections in a batch must not traverse the modules of every case
        try:
            for turn in range(rounds):
                tell(f"round {turn + 1} of {rounds}")
                result.samples.append(_one_round(batches, turn, result.failed))
        finally:
            gc.unfreeze()
    return result


def _one_round(
    batches: dict[Name, tuple[Batch, int]], turn: int, failed: dict[Name, str]
) -> dict[Name, Sample]:
    order = list(batches)
    first = turn % max(1, len(order))
    samples: dict[Name, Sample] = {}
    for name in order[first:] + order[:first]:
        batch, calls = batches[name]
        try:
            samples[name] = batch(calls)
        except Exception as error:  # noqa: BLE001 - reported in the table
            failed[name] = describe(error)
            del batches[name]
    return samples


def _calls_in(batch: Batch, seconds: float) -> int:
    """Warm up, twice if that is quick, and return how many calls fill a batch."""
    began = time.perf_counter()
    sample = batch(1)
    if time.perf_counter() - began < QUICK:
        sample = batch(1)
    return max(1, round(seconds / sample.get("wall", seconds)))


def describe(error: BaseException) -> str:
    """Return the error in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    if isinstance(error, subprocess.CalledProcessError):
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return last[0] if last else f"exit code {error.returncode}"
    return f"{type(error).__name__}: {error}".splitlines()[0]


@frozen
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Summarise one value or more."""
        values = list(values)
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)
