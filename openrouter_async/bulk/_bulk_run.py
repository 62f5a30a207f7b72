"""A run over many items, of which is known at any moment what came of each."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from openrouter_async import _files
from openrouter_async._observers import notify
from openrouter_async.bulk import _outcomes_file
from openrouter_async.bulk._executor import Executor
from openrouter_async.bulk._outcomes import (
    Action,
    ChangeProgress,
    Item,
    Outcome,
    Status,
)
from openrouter_async.errors import ConfigurationError

_LOG: Final = logging.getLogger("openrouter_async")
_TO_COME_HOME: Final = 1.0
"""Seconds; a blocking caller waits 2 s in all, and a sink may take its part of them."""


class BulkRun:
    """Many changes: `outcomes = await run`. It begins when it is awaited, and runs once.

    When it is cancelled, or stops by an error that no single item is to blame for, creates that
    were sent have a second to come home, and everything ends within 2 s; `outcomes` then says what
    was done, what may have been done and what was not tried.
    """

    def __init__(
        self,
        carrier: Executor,
        items: Iterable[Item],
        *,
        progress: ChangeProgress | None,
        outcomes_file: str | os.PathLike[str] | None,
    ) -> None:
        """Take checked items; raises `InvalidRequestError` or `ConfigurationError`."""
        if progress is not None and not callable(progress):
            raise ConfigurationError("progress must be callable")
        self._carrier = carrier
        self._items = list(items)
        self._progress = progress
        self._file = None if carrier.dry_run else outcomes_file
        self._outcomes: dict[int, Outcome] = {}
        self._under_way: dict[int, asyncio.Task[Any] | None] = {}
        self._begun = self._stopping = False

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return self.finish().__await__()

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of each item so far, in order."""
        return [self._outcomes.get(item.index) or self._unknown(item) for item in self._items]

    @property
    def done(self) -> int:
        """How many items have an outcome."""
        return len(self._outcomes)

    @property
    def summary(self) -> str:
        """How many outcomes there are of each kind, such as `2 ok, 1 failed, 7 skipped`."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        return ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])

    def _unknown(self, item: Item) -> Outcome:
        if item.index in self._under_way and item.index in self._carrier.sent:
            return item.came_to(Status.AMBIGUOUS, reason="it was under way")
        return item.came_to(Status.SKIPPED, reason="not tried")

    async def finish(self) -> list[Outcome]:
        """Do everything and return the outcomes in order.

        Raises `ConfigurationError` before anything is done; with a file of outcomes also any error
        of asking which account this is.
        """
        if self._begun:
            raise ConfigurationError("a bulk run runs once; its outcomes are in .outcomes")
        self._begun = True
        with ExitStack() as stack:
            record = None
            if self._file:
                record = stack.enter_context(_outcomes_file.opened(self._file))
                record.claim(await self._carrier.account())
            rest = iter(self._items)
            workers = min(self._carrier.client.concurrency, len(self._items))
            tasks = [asyncio.create_task(self._work(rest, record)) for _ in range(workers)]
            try:
                await _first_failure(tasks)
            except BaseException as error:
                await self._stop(tasks)
                self._note_what_was_under_way(record)
                error.add_note(f"the bulk run stopped: {self.summary}")
                raise
        return self.outcomes

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """End the workers; creates that were sent come home first, since those keys exist."""
        self._stopping = True
        sent = [task for item in self._items if (task := self._create_under_way(item))]
        for task in tasks:
            if task not in sent:
                task.cancel()
        await _files.outlast(*sent, patience=_TO_COME_HOME)
        for task in tasks:
            task.cancel()
        await _files.outlast(*tasks)

    def _create_under_way(self, item: Item) -> asyncio.Task[Any] | None:
        is_sent_create = item.action is Action.CREATE and item.index in self._carrier.sent
        return self._under_way.get(item.index) if is_sent_create else None

    async def _work(self, rest: Iterator[Item], record: _outcomes_file.Record | None) -> None:
        """Do one item after another; several of these share the rest."""
        for item in rest:
            if self._stopping:
                return
            outcome = self._without_asking(item, record)
            if outcome is None:
                self._under_way[item.index] = asyncio.current_task()
                outcome = await self._do(item, record)
                _keep(record, item, outcome)
            self._outcomes[item.index] = outcome
            self._under_way.pop(item.index, None)
            await self._tell(outcome)

    def _without_asking(self, item: Item, record: _outcomes_file.Record | None) -> Outcome | None:
        if item.twin_of is not None:
            return item.came_to(Status.SKIPPED, reason=f"the same as [{item.twin_of}]")
        return record.earlier(item) if record else None

    async def _do(self, item: Item, record: _outcomes_file.Record | None) -> Outcome:
        again = False
        if record is not None:
            again = record.was_begun(item)
            try:
                await _files.run_to_end(partial(record.begin, item))
            except OSError as error:
                reason = f"outcomes_file: {_files.reason(error)}; nothing was sent"
                return item.came_to(Status.FAILED, reason=reason)
        return await self._carrier.carry_out(item, again=again)

    def _note_what_was_under_way(self, record: _outcomes_file.Record | None) -> None:
        for item in self._items:
            if item.index in self._under_way:
                _keep(record, item, self._unknown(item))

    async def _tell(self, outcome: Outcome) -> None:
        if self._progress is not None:
            done, total = len(self._outcomes), len(self._items)
            await notify("progress", self._progress, outcome, done, total)


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all, or raise what the first of them raises; cancelling this cancels none."""
    if tasks:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()


def _keep(record: _outcomes_file.Record | None, item: Item, outcome: Outcome) -> None:
    if record is None:
        return
    try:
        record.end(item, outcome)
    except OSError as error:
        _LOG.warning("the file of outcomes cannot be written: %s", _files.reason(error))
