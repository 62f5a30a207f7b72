"""Time limits that share one timer: one for each call would cost more than all the rest of ours.

Calls end long before their limits, as a rule. So the timer is set for the earliest limit, and
when it fires for the next one, which happens once in some seconds however many calls there are.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Deadlines:
    """The limits of everything that runs in one event loop."""

    __slots__ = ("_due", "_loop", "_timer", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer fires."""

    def within(self, seconds: float) -> Deadline:
        """Bound what runs in a `with` block, as `asyncio.timeout` does: raises `TimeoutError`."""
        return Deadline(self, self._loop.time() + seconds)

    def time(self) -> float:
        """Give seconds on the loop's clock."""
        return self._loop.time()

    def watch(self, deadline: Deadline) -> None:
        """See to it that it expires when its time has come."""
        self._watched.add(deadline)
        if self._timer is None:
            self._wake_at(deadline.when)
        elif deadline.when < self._due:
            self._timer.cancel()
            self._wake_at(deadline.when)

    def drop(self, deadline: Deadline) -> None:
        """Forget it. The timer stays: it is likely to be needed before it fires."""
        self._watched.discard(deadline)

    def _wake_at(self, when: float) -> None:
        self._due = when
        self._timer = self._loop.call_at(when, self._expire_the_due)

    def _expire_the_due(self) -> None:
        self._timer = None
        now = max(self._due, self._loop.time())  # a loop may wake up a little too early
        for deadline in [deadline for deadline in self._watched if deadline.when <= now]:
            self._watched.discard(deadline)
            deadline.expire()
        if self._watched:
            self._wake_at(min(deadline.when for deadline in self._watched))


class Deadline:
    """The limit of one block; made by `Deadlines.within`."""

    __slots__ = ("_cancelled_before", "_deadlines", "_expired", "_task", "when")

    _task: asyncio.Task[object]
    _cancelled_before: int

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self._deadlines = deadlines
        self._expired = False
        self.when = when
        """When it expires, on the loop's clock."""

    def shorten(self, seconds: float) -> None:
        """Let it expire in so many seconds, if that is sooner."""
        self.when = min(self.when, self._deadlines.time() + seconds)
        if not self._expired:
            self._deadlines.watch(self)

    def expire(self) -> None:
        """Cancel the task that is in the block."""
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must be awaited in a task")
        self._task = task
        self._cancelled_before = task.cancelling()
        self._deadlines.watch(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadlines.drop(self)
        if self._expired:
            # Where somebody else cancelled the task too, theirs is the last word.
            ours_alone = self._task.uncancel() <= self._cancelled_before
            if ours_alone and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc
