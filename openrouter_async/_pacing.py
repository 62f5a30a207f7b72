"""Pacing of requests: a client learns from 429 responses how fast it may send.

An ordinary rate limit is not a failure: work that makes many requests slows down and goes on.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final


class Pacer:
    """The pace of all requests of a client, learned from the service's 429 responses.

    Requests take turns in a leaky bucket: each takes the next slot, and slots are `1 / rate`
    seconds apart, so that waiting requests do not all start at once. The rate follows CUBIC
    congestion control (RFC 9438): after a 429 it is a fraction of the service's estimated limit,
    grows back slowly to that limit, and then faster beyond it. The estimate is the geometric mean
    of the rate at the 429 and of the mean rate since the previous 429. After the first 429, it is
    the number of requests accepted in the last second.

    Before a 429 there is no pacing: `active` is False, and checking it is all that a request pays.
    """

    DECREASE: Final = 0.9
    """The fraction of the estimated limit that is used after a 429."""
    PLATEAU: Final = 15.0
    """Seconds after which the rate is back at the limit; fewer if the estimate is a rough one."""
    CATCH_UP: Final = 4.0
    """The factor by which requests that make up for a pause start faster than the rate."""
    FIRST_RATE: Final = 20.0
    """The lowest estimate after a first 429, in requests per second."""
    SLOWEST: Final = 1 / 60
    """Requests per second that are tried even if the service accepts nothing."""
    FASTEST: Final = 1_000.0
    """Requests per second above which pacing ends."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.active = False
        """Whether requests have to take turns."""
        self.events = 0
        """The number of times that the service has slowed this client down."""
        self.paused_until = 0.0
        """The time until which the service asked all requests to wait, on the clock."""
        self.bulk_gate = asyncio.Lock()
        """Held by the one request of bulk work that waits for a slot; single calls bypass it."""
        self._time = time
        self._latest = 0.0
        self._limit = self.FIRST_RATE
        """The service's estimated limit, in requests per second."""
        self._evidence = 0
        """The number of accepted requests behind that estimate; 0: it is a guess."""
        self._next_slot = 0.0
        self._granted = 0.0
        """How many requests may make up for the last pause, as in a refilled token bucket."""
        self._credit = 0.0
        """How many of those have not started yet."""
        self._refills = True
        """Whether the service's limit refills during a pause; without bursts, it does not."""
        self._last_event = 0.0
        self._accepted = 0
        """Requests accepted since the last event."""
        self._idle = False
        """Whether slots were left unused since the last event, so nothing could be measured."""
        self.recent: deque[float] = deque(maxlen=256)
        """When the last accepted requests started; nothing else is recorded while not `active`."""

    def now(self) -> float:
        """Return the time; reset the pacing if the clock went backwards, as in a test."""
        now = self._time()
        if now < self._latest:
            self.active = False
            self.paused_until = self._next_slot = self._last_event = 0.0
            self.recent.clear()
        self._latest = now
        return now

    def accepted(self, began: float) -> None:
        """Count a request that was not throttled."""
        self.recent.append(began)
        self._accepted += 1

    def throttled(self, began: float, pause: float) -> None:
        """Slow down after a 429, and send nothing for `pause` seconds.

        Requests that started before the last slowdown say nothing about the current rate.
        """
        now = self.now()
        if not self.active or began > self._last_event:
            self._learn(now)
            self.active = True
            self.events += 1
            self._last_event = now
            self._next_slot = 0.0
            self._granted = self._credit = self._refilled(pause)
            self._accepted = 0
            self._idle = False
        self.paused_until = max(self.paused_until, now + pause)

    def _learn(self, now: float) -> None:
        """Estimate the limit, and record how many requests the estimate is based on."""
        elapsed = now - self._last_event
        if self.active and self._evidence and self._accepted < self._granted:
            self._refills = False
        if not self.active or self._idle or elapsed <= 0:
            recent = sum(1 for began in self.recent if began > now - 1.0)
            self._limit = max(recent, self.FIRST_RATE)
            self._evidence = recent if recent >= self.FIRST_RATE else 0
            self._accepted = recent
            return
        mean = (self._accepted + 0.5) / elapsed  # on average, half of another request was allowed
        if not self._accepted:
            mean = self._limit / 2
        elif self._evidence:
            # A service that allows bursts was used below its limit, and above it at the end.
            mean = math.sqrt(mean * self.rate(now))
        self._limit = max(mean, self.SLOWEST)
        self._evidence = self._accepted

    def _refilled(self, pause: float) -> float:
        """Return how many requests may make up for a pause."""
        return min(pause * self.DECREASE * self._limit, self._accepted) if self._refills else 0.0

    def rate(self, when: float) -> float:
        """Return how many requests per second may start at `when`."""
        seconds = max(0.0, when - max(self.paused_until, self._last_event))
        plateau = min(max(self._evidence, 1), self.PLATEAU)
        # CUBIC: the curve starts at the reduced rate, and is flat near the limit.
        growth = (1 - self.DECREASE) / plateau**3
        return self._limit * (1 + growth * (seconds - plateau) ** 3)

    def reserve(self, most: float) -> float | None:
        """Reserve the next slot and return its time, or None if it is over `most` seconds away.

        After waiting for the slot, check that it `still_holds`, and reserve another one if not.
        """
        now = self.now()
        free = max(self._next_slot, self.paused_until)
        slot = max(now, free)
        rate = self.rate(slot)
        if rate >= self.FASTEST:
            self.active = False
        if slot - now > most:
            return None
        if now - free > 1 / rate:
            self._idle = True
        step = 1 / rate
        if self._credit >= 1:
            self._credit -= 1
            step /= self.CATCH_UP
        self._next_slot = slot + step
        return slot

    def still_holds(self, slot: float) -> bool:
        """Return whether no 429 received since then asks to wait beyond the slot."""
        return self.paused_until <= slot
