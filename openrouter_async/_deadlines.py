"""Time limits that share one timer: one for each call would cost more than all the rest of ours.

Calls end long before their limits, as a rule. So the timer is set for the earliest limit, and
when it fires for the next one, which happens once in some seconds however many calls there are.

A loop that was busy, or a process that was stopped, finds its timers and its sockets ready in the
same round, and the answer may lie in the socket's buffer. So a block that waits for an answer gets
some more rounds of the loop, without any waiting, before it is ended.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from types import TracebackType
from typing import Final, Protocol, Self

_LAST_ROUNDS: Final = 100
"""Rounds of the loop that read what has arrived, 256 KiB each at most; all of them cost 1 ms."""
_FEWEST_ROUNDS: Final = 5
"""Those that are granted however long they take: a page is read in three."""
_LAST_SECONDS: Final = 0.1
"""What the rounds may take in all, beyond the fewest."""


class Sendable(Protocol):
    """What a deadline must know of the request whose answer its block waits for."""

    sent: bool
    """Whether it may have left, so that an answer may have come."""


class Deadlines:
    """The limits of everything that runs in one event loop; `Deadline` looks after its own."""

    __slots__ = ("_loop", "_timer", "due", "time", "watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self.time = loop.time
        self.due = math.inf
        """When the timer fires, on the loop's clock; infinity: there is none."""
        self.watched: set[Deadline] = set()

    def wake_at(self, when: float) -> None:
        """Set the timer for what is due earlier than all else."""
        if self._timer is not None:
            self._timer.cancel()
        self.due = when
        # In a context of its own, since it would keep alive that of whoever came first.
        self._timer = self._loop.call_at(when, self._expire_the_due, context=Context())

    def expire_all(self) -> None:
        """End every block but those of the task that asks for it."""
        mine = asyncio.current_task()
        self._expire([deadline for deadline in self.watched if deadline.task is not mine])
        if self._timer is not None and not self.watched:
            self._timer.cancel()
            self.due, self._timer = math.inf, None

    def _expire_the_due(self) -> None:
        now = max(self.due, self.time())  # a loop may wake up a little too early
        self.due, self._timer = math.inf, None
        due = [deadline for deadline in self.watched if deadline.when <= now]
        reading = [deadline for deadline in due if deadline.awaits_answer]
        self._expire([deadline for deadline in due if not deadline.awaits_answer])
        if reading:
            for deadline in reading:
                deadline.when = math.inf
            self._grant_rounds(reading, _LAST_ROUNDS, now + _LAST_SECONDS)
        self._wake_for_the_next()

    def _wake_for_the_next(self) -> None:
        earliest = min((deadline.when for deadline in self.watched), default=math.inf)
        if earliest < self.due:
            self.wake_at(earliest)

    def _grant_rounds(self, deadlines: list[Deadline], rounds: int, until: float) -> None:
        """Expire these after so many more rounds of the loop, unless their blocks end by then."""
        under_way = [deadline for deadline in deadlines if deadline in self.watched]
        used = _LAST_ROUNDS - rounds
        if not under_way:
            return
        if rounds and (used < _FEWEST_ROUNDS or self.time() < until):
            self._loop.call_soon(
                self._grant_rounds, under_way, rounds - 1, until, context=Context()
            )
        else:
            self._expire(under_way)

    def _expire(self, deadlines: list[Deadline]) -> None:
        self.watched.difference_update(deadlines)
        for deadline in deadlines:
            deadline.expire()


class Deadline:
    """The limit of what runs in a `with` block, as by `asyncio.timeout`: raises `TimeoutError`."""

    __slots__ = ("_all", "_cancelled_before", "_request", "expired", "task", "when")

    task: asyncio.Task[object]
    """The one that is in the block."""
    _cancelled_before: int

    def __init__(
        self, deadlines: Deadlines, seconds: float, request: Sendable | None = None
    ) -> None:
        """Prepare a limit of so many seconds for a block that may send `request`."""
        self._all = deadlines
        self._request = request
        self.expired = False
        """Whether it was this that ended the block."""
        self.when = deadlines.time() + seconds
        """When it expires, on the loop's clock."""

    @property
    def awaits_answer(self) -> bool:
        """Whether the block has sent its request."""
        return self._request is not None and self._request.sent

    def shorten(self, seconds: float) -> None:
        """Let it expire in so many seconds, if that is sooner."""
        when = self._all.time() + seconds
        if when < self.when:
            self.when = when
            if when < self._all.due:
                self._all.wake_at(when)

    def check(self) -> None:
        """Raise `TimeoutError` if it has expired already."""
        if self.expired:
            raise TimeoutError

    def expire(self) -> None:
        """Cancel the task that is in the block."""
        self.expired = True
        self.task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must be awaited in a task")
        self.task = task
        self._cancelled_before = task.cancelling()
        self._all.watched.add(self)
        if self.when < self._all.due:
            self._all.wake_at(self.when)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._all.watched.discard(self)
        if self.expired:
            # Where somebody else cancelled the task too, theirs is the last word.
            ours_alone = self.task.uncancel() <= self._cancelled_before
            if ours_alone and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc
