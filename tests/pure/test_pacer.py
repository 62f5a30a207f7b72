"""The pace that a client learns from 429, against rate limits that exist only on paper."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from openrouter_async._pacing import Pacer


class TokenBucket:
    """Allows `rate` requests a second, with bursts of `burst`; the wait is in whole seconds."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = burst, 0.0

    def refusal(self, now: float) -> float | None:
        """Take a token, or return the `Retry-After` of a 429."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens >= 1 - 1e-9:
            self.tokens -= 1
            return None
        return math.ceil((1 - self.tokens) / self.rate)

    def ideal(self, requests: int) -> float:
        """Return the least seconds that so many requests take."""
        return max(0.0, (requests - self.burst) / self.rate)


class Window:
    """Allows `most` requests in each window of some seconds, and says when the next begins."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.number, self.used = 0, 0

    def refusal(self, now: float) -> float | None:
        """Count a request, or return the `Retry-After` of a 429."""
        number = int(now // self.seconds)
        if number != self.number:
            self.number, self.used = number, 0
        if self.used < self.most:
            self.used += 1
            return None
        return (number + 1) * self.seconds - now

    def ideal(self, requests: int) -> float:
        """Return the least seconds that so many requests take."""
        return (math.ceil(requests / self.most) - 1) * self.seconds


@dataclass
class Run:
    """What came of a simulated bulk run."""

    seconds: float = 0.0
    refused: list[float] = field(default_factory=list)
    """When a request was answered 429."""
    sent: list[float] = field(default_factory=list)

    def refused_after(self, seconds: float) -> float:
        """Return the share of 429 among the requests sent after so many seconds."""
        late = [at for at in self.sent if at >= seconds]
        return sum(at >= seconds for at in self.refused) / max(1, len(late))


class Simulation:
    """Workers that make requests by the pacer's rules, in simulated time."""

    def __init__(self, limit: TokenBucket | Window, requests: int, latency: float) -> None:
        self.limit, self.left, self.latency = limit, requests, latency
        self.now = 0.0
        self.run = Run()
        self.pacer = Pacer(lambda: self.now)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.gate: deque[int] = deque()
        """Workers that wait for a slot; the first one has the gate."""

    def at(self, when: float, step: Callable[[], None]) -> None:
        """Take a step later."""
        heapq.heappush(self.events, (when, next(self.numbers), step))

    def begin(self, worker: int) -> None:
        """Begin one more request, if there is one."""
        if not self.pacer.active:
            self.send(worker)
            return
        self.gate.append(worker)
        if len(self.gate) == 1:
            self.take_slot()

    def take_slot(self) -> None:
        """Let the worker at the gate wait for a slot."""
        slot = self.pacer.reserve(math.inf)
        assert slot is not None
        self.at(slot, partial(self.wake, slot))

    def wake(self, slot: float) -> None:
        """Send, unless another 429 came meanwhile."""
        if not self.pacer.still_holds(slot):
            self.take_slot()
            return
        self.send(self.gate.popleft())
        if self.gate:
            self.take_slot()

    def send(self, worker: int) -> None:
        """Send a request, if there is one left."""
        if self.left:
            self.left -= 1
            self.run.sent.append(self.now)
            self.at(self.now + self.latency / 2, partial(self.arrive, worker, self.now))

    def arrive(self, worker: int, began: float) -> None:
        """Let the service decide."""
        pause = self.limit.refusal(self.now)
        self.at(self.now + self.latency / 2, partial(self.answer, worker, began, pause))

    def answer(self, worker: int, began: float, pause: float | None) -> None:
        """Take the answer, and go on."""
        self.run.seconds = self.now
        if pause is None:
            self.pacer.accepted(began)
            self.begin(worker)
            return
        self.run.refused.append(began)
        self.left += 1
        self.pacer.throttled(began, pause)
        self.at(max(self.now + pause, self.pacer.paused_until), partial(self.begin, worker))


def simulate(
    limit: TokenBucket | Window, requests: int, *, workers: int = 16, latency: float = 0.02
) -> Run:
    """Make so many requests, and return what came of them."""
    simulation = Simulation(limit, requests, latency)
    for worker in range(workers):
        simulation.at(0.0, partial(simulation.begin, worker))
    while simulation.events:
        simulation.now, _, step = heapq.heappop(simulation.events)
        step()
    return simulation.run


LATENCIES = [0.001, 0.05, 0.2]


@pytest.mark.parametrize("latency", LATENCIES)
@pytest.mark.parametrize("rate", [2, 5, 20, 50])
@pytest.mark.parametrize("requests", [100, 400, 1_000])
def test_a_token_bucket_is_used_well(rate: float, requests: int, latency: float) -> None:
    """At most 1.15 of the time that the rate allows, and 5 % of 429 after the first 2 seconds."""
    limit = TokenBucket(rate, burst=rate)
    run = simulate(limit, requests, latency=latency)
    needed = limit.ideal(requests)
    assert run.seconds <= 1.15 * needed + 2, (run.seconds / needed, len(run.refused))
    assert run.refused_after(2) <= 0.05


@pytest.mark.parametrize(("most", "seconds"), [(10, 10.0), (20, 60.0), (100, 60.0), (5, 1.0)])
def test_a_fixed_window_is_used_well(most: int, seconds: float) -> None:
    """A limit by windows costs a few 429s a window at most."""
    limit = Window(most, seconds)
    run = simulate(limit, 10 * most)
    assert run.seconds <= 1.15 * limit.ideal(10 * most) + 2 * seconds
    assert run.refused_after(seconds) <= 0.15


@pytest.mark.parametrize("burst", [1, 3, 100])
def test_the_burst_need_not_be_a_second(burst: int) -> None:
    """The rate is found whatever the service allows at once."""
    limit = TokenBucket(5, burst=burst)
    run = simulate(limit, 500)
    assert run.seconds <= 1.3 * limit.ideal(500)
    assert run.refused_after(10) <= 0.05
