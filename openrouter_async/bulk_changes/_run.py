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

from openrouter_async._observers import notify
from openrouter_async.bulk_changes import _record
from openrouter_async.bulk_changes._carry import Carrier
from openrouter_async.bulk_changes._outcomes import ChangeProgress, Item, Outcome, Status
from openrouter_async.errors import ConfigurationError
from openrouter_async.provisioning import _files

_LOG: Final = logging.getLogger("openrouter_async")


class BulkRun:
    """Many changes: `outcomes = await run`. It begins when it is awaited, and runs once.

    When it is cancelled, what is under way is given up within 2 s; `outcomes` then says what was
    done, what may have been done and what was not tried.
    """

    def __init__(
        self,
        carrier: Carrier,
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
        self._under_way: set[int] = set()
        self._begun = False

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
        if item.index in self._under_way:
            return item.came_to(Status.AMBIGUOUS, reason="it was under way")
        return item.came_to(Status.SKIPPED, reason="not tried")

    async def finish(self) -> list[Outcome]:
        """Do everything and give the outcomes in order; raises `ConfigurationError` before."""
        if self._begun:
            raise ConfigurationError("a bulk run runs once; its outcomes are in .outcomes")
        self._begun = True
        with ExitStack() as stack:
            record = stack.enter_context(_record.opened(self._file)) if self._file else None
            rest = iter(self._items)
            workers = min(self._carrier.client.concurrency, len(self._items))
            tasks = [asyncio.create_task(self._work(rest, record)) for _ in range(workers)]
            try:
                await asyncio.gather(*tasks)
            except BaseException as error:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._note_what_was_under_way(record)
                error.add_note(f"the bulk run stopped: {self.summary}")
                raise
        return self.outcomes

    async def _work(self, rest: Iterator[Item], record: _record.Record | None) -> None:
        """Do one item after another; several of these share the rest."""
        for item in rest:
            outcome = self._without_asking(item, record)
            if outcome is None:
                self._under_way.add(item.index)
                outcome = await self._do(item, record)
                _keep(record, item, outcome)
            self._outcomes[item.index] = outcome
            self._under_way.discard(item.index)
            await self._tell(outcome)

    def _without_asking(self, item: Item, record: _record.Record | None) -> Outcome | None:
        if item.twin_of is not None:
            return item.came_to(Status.SKIPPED, reason=f"the same as [{item.twin_of}]")
        return record.earlier(item) if record else None

    async def _do(self, item: Item, record: _record.Record | None) -> Outcome:
        again = False
        if record is not None:
            again = record.was_begun(item)
            try:
                await _files.finished(partial(record.begin, item))
            except OSError as error:
                reason = f"outcomes_file: {_files.reason(error)}; nothing was sent"
                return item.came_to(Status.FAILED, reason=reason)
        return await self._carrier.carry_out(item, again=again)

    def _note_what_was_under_way(self, record: _record.Record | None) -> None:
        for item in self._items:
            if item.index in self._under_way:
                _keep(record, item, self._unknown(item))

    async def _tell(self, outcome: Outcome) -> None:
        if self._progress is not None:
            done, total = len(self._outcomes), len(self._items)
            await notify("progress", self._progress, outcome, done, total)


def _keep(record: _record.Record | None, item: Item, outcome: Outcome) -> None:
    if record is None:
        return
    try:
        record.end(item, outcome)
    except OSError as error:
        _LOG.warning("the file of outcomes cannot be written: %s", _files.reason(error))
