"""A bulk run whose outcomes can be read at any time."""

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
from openrouter_async._concurrency import outlast, run_to_end
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
_CREATES_PATIENCE: Final = 1.0
"""Seconds to wait for sent creates when a run stops.

A blocking caller waits 2 s in total, and a sink may need part of that.
"""


class BulkRun:
    """A run of many changes: `outcomes = await run`. It starts when awaited and can run only once.

    When it is cancelled, or stops because of an error that is not about a single item, creates that
    have been sent get one second to complete, and everything ends within 2 s. `outcomes` then shows
    what was done, what may have been done and what was not tried.
    """

    def __init__(
        self,
        executor: Executor,
        items: Iterable[Item],
        *,
        progress: ChangeProgress | None,
        outcomes_file: str | os.PathLike[str] | None,
    ) -> None:
        """Prepare a run of checked items; raises `InvalidRequestError` or `ConfigurationError`."""
        if progress is not None and not callable(progress):
            raise ConfigurationError("progress must be callable")
        self._executor = executor
        self._items = list(items)
        self._progress = progress
        # A dry run changes nothing, so there is nothing that a later run must not repeat.
        self._file = None if executor.dry_run else outcomes_file
        self._outcomes: dict[int, Outcome] = {}
        self._in_flight: dict[int, asyncio.Task[Any] | None] = {}
        self._begun = self._stopping = False

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return self.finish().__await__()

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcome of each item so far, in order."""
        return [self._outcomes.get(item.index) or self._unknown(item) for item in self._items]

    @property
    def done(self) -> int:
        """How many items have an outcome."""
        return len(self._outcomes)

    @property
    def summary(self) -> str:
        """The number of outcomes by status, such as `2 ok, 1 failed, 7 skipped`."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        return ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])

    def _unknown(self, item: Item) -> Outcome:
        if item.index in self._in_flight and item.index in self._executor.sent:
            return item.outcome(Status.AMBIGUOUS, reason="it was in flight")
        return item.outcome(Status.SKIPPED, reason="not tried")

    async def finish(self) -> list[Outcome]:
        """Process all items and return the outcomes in order.

        Raises `ConfigurationError` before anything is done. With an outcomes file, the request that
        identifies the account may also raise any of its errors.
        """
        if self._begun:
            raise ConfigurationError("a bulk run can run only once; see .outcomes for its outcomes")
        self._begun = True
        with ExitStack() as stack:
            record = None
            if self._file:
                record = stack.enter_context(_outcomes_file.opened(self._file))
                record.claim(await self._executor.account())
            rest = iter(self._items)
            workers = min(self._executor.client.concurrency, len(self._items))
            tasks = [asyncio.create_task(self._work(rest, record)) for _ in range(workers)]
            try:
                await _first_failure(tasks)
            except BaseException as error:
                await self._stop(tasks)
                # The file must have them too, so that the next run does not repeat a create.
                self._record_what_was_in_flight(record)
                error.add_note(f"the bulk run stopped: {self.summary}")
                raise
        return self.outcomes

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop the workers, first letting sent creates complete, since their keys may exist."""
        self._stopping = True
        sent = [task for item in self._items if (task := self._create_in_flight(item))]
        for task in tasks:
            if task not in sent:
                task.cancel()
        await outlast(*sent, patience=_CREATES_PATIENCE)
        for task in tasks:
            task.cancel()
        await outlast(*tasks)

    def _create_in_flight(self, item: Item) -> asyncio.Task[Any] | None:
        is_sent_create = item.action is Action.CREATE and item.index in self._executor.sent
        return self._in_flight.get(item.index) if is_sent_create else None

    async def _work(self, rest: Iterator[Item], record: _outcomes_file.Record | None) -> None:
        """Process items until none are left; all workers share the iterator."""
        for item in rest:
            if self._stopping:
                return
            outcome = self._known_outcome(item, record)
            if outcome is None:
                self._in_flight[item.index] = asyncio.current_task()
                outcome = await self._do(item, record)
                _keep(record, item, outcome)
            self._outcomes[item.index] = outcome
            self._in_flight.pop(item.index, None)
            await self._notify(outcome)

    def _known_outcome(self, item: Item, record: _outcomes_file.Record | None) -> Outcome | None:
        if item.duplicate_of is not None:
            return item.outcome(Status.SKIPPED, reason=f"duplicate of [{item.duplicate_of}]")
        return record.earlier(item) if record else None

    async def _do(self, item: Item, record: _outcomes_file.Record | None) -> Outcome:
        again = False
        if record is not None:
            again = record.was_begun(item)
            try:
                await run_to_end(partial(record.begin, item))
            except OSError as error:
                reason = f"outcomes_file: {_files.reason(error)}; nothing was sent"
                return item.outcome(Status.FAILED, reason=reason)
        return await self._executor.carry_out(item, again=again)

    def _record_what_was_in_flight(self, record: _outcomes_file.Record | None) -> None:
        for item in self._items:
            if item.index in self._in_flight:
                _keep(record, item, self._unknown(item))

    async def _notify(self, outcome: Outcome) -> None:
        if self._progress is not None:
            done, total = len(self._outcomes), len(self._items)
            await notify("progress", self._progress, outcome, done, total)


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks, raising the first exception; cancelling the wait cancels no task."""
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
        # The request has been sent, so the run goes on: its outcome is still returned.
        _LOG.warning("the outcomes file cannot be written: %s", _files.reason(error))
