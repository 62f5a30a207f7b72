"""What can be measured: an operation of a side, by a number of concurrent workers.

The sides `ours`, `official`, `floor`, `tuned` and `structs` are modules of this package that define
the same names, each only those that a row needs.
A side is imported only when its case is opened, so that a competitor that is not installed fails
only its own cases.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from typing import Any, Final

from attrs import field, frozen

from benchmarks import samples
from benchmarks.measure import (
    Batch,
    LoopFactory,
    interpreter,
    kept,
    repeated,
    tasks,
    threads,
)
from benchmarks.server import Kind, Servers

MEMORY_PAGES: Final = 10


@frozen
class Case:
    """One thing to measure, identified by its name."""

    name: str
    open: Callable[[Servers], AbstractContextManager[Batch]] = field(eq=False, repr=False)


def from_tasks(
    side: str, what: str, workers: int = 1, *, server: Kind = "plain", loop: str = "asyncio"
) -> Case:
    """Call from tasks on one event loop."""

    def opened(servers: Servers) -> AbstractContextManager[Batch]:
        url = servers.url(server)
        return tasks(partial(_of(side, what), url), workers, _loop_factory(loop))

    return Case(f"{side} {what} from {workers} tasks, {server} server, {loop}", opened)


def from_threads(side: str, what: str, workers: int = 1) -> Case:
    """Call from threads that share one blocking client."""

    def opened(servers: Servers) -> AbstractContextManager[Batch]:
        return threads(partial(_of(side, what), servers.url("plain")), workers)

    return Case(f"{side} {what} from {workers} threads", opened)


def decoding(side: str) -> Case:
    """Decode a page of 100 records."""
    return Case(
        f"{side} decoding", lambda _: repeated(partial(_of(side, "decode_page"), samples.page()))
    )


def orjson_loads() -> Case:
    """Parse the same page into dicts with orjson, for reference."""
    return Case(
        "orjson.loads", lambda _: repeated(partial(import_module("orjson").loads, samples.page()))
    )


def memory(side: str) -> Case:
    """Measure the memory of a decoded record."""

    def opened(_: Servers) -> AbstractContextManager[Batch]:
        pages = [samples.page(number) for number in range(MEMORY_PAGES)]
        return kept(_of(side, "decode_page"), pages, MEMORY_PAGES * samples.PAGE)

    return Case(f"{side} memory", opened)


def script(side: str, what: str) -> Case:
    """Run one of the side's scripts in a fresh interpreter."""

    def opened(servers: Servers) -> AbstractContextManager[Batch]:
        return interpreter(
            _of(side, what), samples.API_KEY, servers.url("plain"), samples.HASHES[0]
        )

    return Case(f"{side} {what.lower()}", opened)


def nothing() -> Case:
    """Start an interpreter that does nothing; its cost is subtracted from others."""
    return Case("bare interpreter", lambda _: interpreter("pass"))


def again(case: Case) -> Case:
    """Measure the same case a second time; the difference between the two is the noise."""
    return Case(f"{case.name}, again", case.open)


def _of(side: str, what: str) -> Any:
    return getattr(import_module(f"benchmarks.{side}"), what)


def _loop_factory(loop: str) -> LoopFactory:
    factory: LoopFactory = (
        asyncio.new_event_loop if loop == "asyncio" else import_module(loop).new_event_loop
    )
    return factory
