"""Timeouts that share one timer, because a timer per call would cost more than our other code.

Most calls end long before their limits. So the timer is set for the earliest limit, and reset for
the next one only when it fires: once in several seconds, however many calls there are.

After a loop was busy, or a process was stopped, timers and sockets become ready in the same
iteration of the loop, and the response may already be in the socket's buffer. So a block that waits
for a response gets a few more iterations, without any delay, before it is cancelled.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from types import TracebackType
from typing import Final, Protocol, Self

_LAST_ROUNDS: Final = 100
"""Iterations of the loop to read what has arrived, up to 256 KiB in each; they cost 1 ms in all."""
_FEWEST_ROUNDS: Final = 5
"""Iterations that are granted however long they take; reading a page takes three."""
_LAST_SECONDS: Final = 0.1
"""Seconds that all iterations beyond the fewest may take."""


class Sendable(Protocol):
    """A request whose response the block of a deadline waits for."""

    sent: bool
    """Whether it may have been sent, so that a response may have arrived."""


class Deadlines:
    """All time limits in one event loop; each `Deadline` adds and removes itself."""

    __slots__ = ("_loop", "_timer", "due", "time", "watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self.time = loop.time
        self.due = math.inf
        """When the timer fires, on the loop's clock; infinity if there is none."""
        self.watched: set[Deadline] = set()

    def wake_at(self, when: float) -> None:
        """Set the timer for a deadline that expires before all others."""
        if self._timer is not None:
            self._timer.cancel()
        self.due = when
        # A timer keeps its context alive: without one of its own, that of some earlier call.
        self._timer = self._loop.call_at(when, self._expire_the_due, context=Context())

    def expire_all(self) -> None:
        """Cancel every block except those of the current task."""
        mine = asyncio.current_task()
        self._expire([deadline for deadline in self.watched if deadline.task is not mine])
        if self._timer is not None and not self.watched:
            self._timer.cancel()
            self.due, self._timer = math.inf, None

    def _expire_the_due(self) -> None:
        now = max(self.due, self.time())  # a loop may wake up slightly too early
        self.due, self._timer = math.inf, None
        due = [deadline for deadline in self.watched if deadline.when <= now]
        reading = [deadline for deadline in due if deadline.awaits_response]
        self._expire([deadline for deadline in due if not deadline.awaits_response])
        if reading:
            # They are not due again while they are granted iterations.
            for deadline in reading:
                deadline.when = math.inf
            self._grant_rounds(reading, _LAST_ROUNDS, now + _LAST_SECONDS)
        self._wake_for_the_next()

    def _wake_for_the_next(self) -> None:
        earliest = min((deadline.when for deadline in self.watched), default=math.inf)
        if earliest < self.due:
            self.wake_at(earliest)

    def _grant_rounds(self, deadlines: list[Deadline], rounds: int, until: float) -> None:
        """Expire deadlines after some more iterations, unless their blocks end by then."""
        waiting = [deadline for deadline in deadlines if deadline in self.watched]
        used = _LAST_ROUNDS - rounds
        if not waiting:
            return
        if rounds and (used < _FEWEST_ROUNDS or self.time() < until):
            self._loop.call_soon(self._grant_rounds, waiting, rounds - 1, until, context=Context())
        else:
            self._expire(waiting)

    def _expire(self, deadlines: list[Deadline]) -> None:
        self.watched.difference_update(deadlines)
        for deadline in deadlines:
            deadline.expire()


class Deadline:
    """The time limit of a `with` block, like `asyncio.timeout`: raises `TimeoutError`."""

    __slots__ = ("_all", "_cancelled_before", "_request", "expired", "task", "when")

    task: asyncio.Task[object]
    """The task that runs the block."""
    _cancelled_before: int

    def __init__(
        self, deadlines: Deadlines, seconds: float, request: Sendable | None = None
    ) -> None:
        """Prepare a limit of some seconds for a block that may send `request`."""
        self._all = deadlines
        self._request = request
        self.expired = False
        """Whether this deadline ended the block."""
        self.when = deadlines.time() + seconds
        """When it expires, on the loop's clock."""

    @property
    def awaits_response(self) -> bool:
        """Whether the block has sent its request."""
        return self._request is not None and self._request.sent

    def shorten(self, seconds: float) -> None:
        """Expire in some seconds from now, if that is sooner."""
        when = self._all.time() + seconds
        if when < self.when:
            self.when = when
            if when < self._all.due:
                self._all.wake_at(when)

    def check(self) -> None:
        """Raise `TimeoutError` if it has expired."""
        if self.expired:
            raise TimeoutError

    def expire(self) -> None:
        """Cancel the task that runs the block."""
        self.expired = True
        self.task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must be awaited in a task")
        self.task = task
        # Only our own cancellation may become a TimeoutError, not those requested before.
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
            # If someone else has cancelled the task too, the cancellation must go on.
            ours_alone = self.task.uncancel() <= self._cancelled_before
            if ours_alone and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc
