"""How fast requests may begin: the pace that a client learns from 429.

An ordinary rate limit is no failure: work that makes many requests slows down and goes on.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final


class Pacer:
    """The pace of all requests of one client, learned from the service's 429.

    Requests take turns in a leaky bucket: each takes the next slot, and slots are `1 / rate`
    seconds apart, so that those who waited do not come back all at once. The rate follows CUBIC
    congestion control (RFC 9438): a 429 sets it to a part of what the service was seen to allow,
    from where it grows back slowly to that limit, and then faster beyond it. The limit is taken to
    be the geometric mean of the rate at the 429 and of the mean rate since the 429 before. After
    a first 429 it is what was accepted in the last second.

    Without a 429 there is no pace: `active` is False, and a request pays for one look at it.
    """

    DECREASE: Final = 0.9
    """Which part of the rate that the service allows is used after a 429."""
    PLATEAU: Final = 15.0
    """Seconds after which the rate is back at the limit; fewer if little is known of it."""
    CATCH_UP: Final = 4.0
    """How much faster than the rate requests begin that make up for a pause."""
    FIRST_RATE: Final = 20.0
    """Requests a second, the least to try after a first 429."""
    SLOWEST: Final = 1 / 60
    """Requests a second: not even a service that accepts nothing is given up."""
    FASTEST: Final = 1_000.0
    """Requests a second: what is faster needs no pace."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.active = False
        """Whether requests have to take turns."""
        self.events = 0
        """How many times the service had to slow this client down."""
        self.paused_until = 0.0
        """Until when the service asked everybody to wait, on the clock."""
        self.bulk_gate = asyncio.Lock()
        """Held by the one request of bulk work that waits for a slot; single calls pass by it."""
        self._time = time
        self._latest = 0.0
        self._limit = self.FIRST_RATE
        """What the service is thought to allow, in requests a second."""
        self._evidence = 0
        """How many accepted requests that rests on; 0: it is a guess."""
        self._next_slot = 0.0
        self._granted = 0.0
        """How many requests may make up for the last pause, in which the service saved them up."""
        self._credit = 0.0
        """How many of those have not begun yet."""
        self._saves_up = True
        """Whether the service does save up; one that allows no bursts does not."""
        self._last_event = 0.0
        self._accepted = 0
        """Requests accepted since the last event."""
        self._idle = False
        """Whether slots were left unused since the last event, so that nothing was measured."""
        self._recent: deque[float] = deque(maxlen=256)
        """When the last accepted requests began."""

    def now(self) -> float:
        """Return the time; start afresh if the clock was set back, as in a test."""
        now = self._time()
        if now < self._latest:
            self.active = False
            self.paused_until = self._next_slot = self._last_event = 0.0
            self._recent.clear()
        self._latest = now
        return now

    def accepted(self, began: float) -> None:
        """Count a request that the service did not refuse to serve."""
        self._recent.append(began)
        self._accepted += 1

    def throttled(self, began: float, pause: float) -> None:
        """Slow down after a 429, and send nothing for `pause` seconds.

        Requests that began before the last slowing down tell nothing new about the rate.
        """
        now = self.now()
        if not self.active or began > self._last_event:
            self._learn(now)
            self.active = True
            self.events += 1
            self._last_event = now
            self._next_slot = 0.0
            self._granted = self._credit = self._saved_up(pause)
            self._accepted = 0
            self._idle = False
        self.paused_until = max(self.paused_until, now + pause)

    def _learn(self, now: float) -> None:
        """Estimate the limit, and note how many requests the estimate rests on."""
        elapsed = now - self._last_event
        if self.active and self._evidence and self._accepted < self._granted:
            self._saves_up = False
        if not self.active or self._idle or elapsed <= 0:
            recent = sum(1 for began in self._recent if began > now - 1.0)
            self._limit = max(recent, self.FIRST_RATE)
            self._evidence = recent if recent >= self.FIRST_RATE else 0
            self._accepted = recent
            return
        mean = (self._accepted + 0.5) / elapsed  # a part of one more request was left
        if not self._accepted:
            mean = self._limit / 2
        elif self._evidence:
            # A service that allows bursts was used less than it allows, and more at the end.
            mean = math.sqrt(mean * self.rate(now))
        self._limit = max(mean, self.SLOWEST)
        self._evidence = self._accepted

    def _saved_up(self, pause: float) -> float:
        """Return how many requests may make up for a pause."""
        return min(pause * self.DECREASE * self._limit, self._accepted) if self._saves_up else 0.0

    def rate(self, when: float) -> float:
        """Return how many requests a second may begin at `when`."""
        seconds = max(0.0, when - max(self.paused_until, self._last_event))
        plateau = min(max(self._evidence, 1), self.PLATEAU)
        growth = (1 - self.DECREASE) / plateau**3
        return self._limit * (1 + growth * (seconds - plateau) ** 3)

    def reserve(self, most: float) -> float | None:
        """Take the next slot and return when it begins; None, and take none, if that is too late.

        `most` is the greatest number of seconds to wait for it. Whoever waited has to look whether
        the slot `still_holds`, and take another one if not.
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
        """Return whether no 429 has come since that asks to wait beyond the slot."""
        return self.paused_until <= slot
