"""A clock whose sleeps take no time."""

import asyncio
import time


class FakeClock:
    """Replaces the clock, sleep and jitter of code that backs off.

    Time runs as usual and jumps forward by each sleep. It is shared by all tasks: if two tasks
    sleep at once, it jumps twice.
    """

    def __init__(self, fraction: float = 1.0) -> None:
        self.fraction = fraction
        """The fraction of its upper bound that `jitter` returns, from 0 to 1."""
        self.sleeps: list[float] = []
        """Every requested sleep in seconds, in order."""
        self.jitters: list[float] = []
        """Every upper bound passed to `jitter`, in order."""
        self.skipped = 0.0
        """Seconds skipped so far."""

    def time(self) -> float:
        """Return the running loop's time, or the monotonic one without a loop, plus the skipped.

        The two agree on asyncio's own loops.
        """
        try:
            real = asyncio.get_running_loop().time()
        except RuntimeError:
            real = time.monotonic()
        return real + self.skipped

    async def sleep(self, seconds: float) -> None:
        """Record the sleep, advance the clock by it, and let other tasks run once."""
        self.sleeps.append(seconds)
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    def jitter(self, upper: float) -> float:
        """Return the set fraction of `upper`."""
        self.jitters.append(upper)
        return upper * self.fraction

    def advance(self, seconds: float) -> None:
        """Advance the clock by this many seconds."""
        self.skipped += seconds
