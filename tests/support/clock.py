"""A clock on which waiting takes no time."""

import asyncio
import time


class FakeClock:
    """Stands in for the clock, the sleep and the random of code that backs off.

    Time runs as it really does, and jumps by the whole of each sleep. It is one clock for all:
    when two tasks sleep at once, it jumps twice.
    """

    def __init__(self, fraction: float = 1.0) -> None:
        self.fraction = fraction
        """Which part of its upper bound `jitter` gives, from 0 to 1."""
        self.sleeps: list[float] = []
        """Every sleep asked for, in seconds, in order."""
        self.jitters: list[float] = []
        """Every upper bound that `jitter` was given, in order."""
        self.skipped = 0.0
        """Seconds that were not waited."""

    def time(self) -> float:
        """Give the running loop's time, or without a loop the monotonic one, plus what was skipped.

        The two agree on asyncio's own loops.
        """
        try:
            real = asyncio.get_running_loop().time()
        except RuntimeError:
            real = time.monotonic()
        return real + self.skipped

    async def sleep(self, seconds: float) -> None:
        """Record the sleep, let other tasks run once, and be later by so much."""
        self.sleeps.append(seconds)
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    def jitter(self, upper: float) -> float:
        """Return the set fraction of `upper`."""
        self.jitters.append(upper)
        return upper * self.fraction

    def advance(self, seconds: float) -> None:
        """Be later by so many seconds."""
        self.skipped += seconds
