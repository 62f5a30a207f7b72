"""How long a call waits, what all calls of a client may spend on retries, and the loop itself."""

import random
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ
from support.clock import FakeClock

from openrouter_async import OpenRouterError, RetryConfig
from openrouter_async._retry import (
    AttemptError,
    Condition,
    RetryBudget,
    SendError,
    SystemClock,
    back_off,
    drive,
)


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({}, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]),
        ({"initial_interval": 1, "exponent": 3, "max_interval": 20}, [1, 3, 9, 20, 20]),
        ({"exponent": 1}, [0.5, 0.5, 0.5]),
        ({"initial_interval": 0}, [0, 0, 0]),
        ({"max_interval": 0}, [0, 0, 0]),
        ({"initial_interval": 10, "max_interval": 2.5}, [2.5, 2.5]),
    ],
    ids=range(6),
)
def test_bounds(given: dict[str, float], bounds: list[float]) -> None:
    """The upper bound grows by the exponent from wait to wait, up to the largest interval."""
    clock = FakeClock()
    config = RetryConfig(**given)  # type: ignore[arg-type]
    waits = [back_off(config, attempt, clock) for attempt in range(1, len(bounds) + 1)]
    assert waits == clock.jitters == bounds


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_full_jitter(fraction: float) -> None:
    """A wait is anything from 0 to its bound."""
    clock = FakeClock(fraction)
    waits = [back_off(RetryConfig(), attempt, clock) for attempt in (1, 2, 3)]
    assert waits == [0.5 * fraction, 1.0 * fraction, 2.0 * fraction]


@pytest.mark.parametrize(
    ("given", "attempt"),
    [
        ({}, 10_000),
        ({"exponent": 10}, 5_000),
        ({"exponent": 1e300}, 3),
        ({"initial_interval": sys.float_info.max}, 2),
        ({"initial_interval": 1, "exponent": 7}, 2_000),
    ],
    ids=range(5),
)
def test_overflow(given: dict[str, float], attempt: int) -> None:
    """Where no float can hold the power, the largest interval is the bound."""
    assert back_off(RetryConfig(**given), attempt, FakeClock()) == 8.0  # type: ignore[arg-type]


AMOUNTS = st.floats(0, 1e300)


@FUZZ
@given(AMOUNTS, AMOUNTS, st.floats(1, 1e300) | st.integers(1, 100), st.integers(1, 1000))
def test_any_policy(first: float, most: float, exponent: float, attempt: int) -> None:
    """Whatever the policy, a bound is within 0 and the largest interval, and never shrinks."""
    config = RetryConfig(initial_interval=first, max_interval=most, exponent=exponent)
    bound = back_off(config, attempt, FakeClock())
    assert 0 <= bound <= most
    assert bound <= back_off(config, attempt + 1, FakeClock())


async def test_the_real_clock() -> None:
    """It is monotonic, sleeps in the running loop, and draws within the bound."""
    clock = SystemClock()
    began = clock.time()
    await clock.sleep(0)
    assert clock.time() >= began
    random.seed(7)
    draws = [clock.jitter(2.0) for _ in range(1000)]
    assert all(0 <= draw <= 2 for draw in draws)
    assert min(draws) < 0.1
    assert max(draws) > 1.9
    assert clock.jitter(0.0) == 0.0


THROTTLED, FAILED = Condition.THROTTLED, Condition.SERVER_ERROR


@pytest.mark.parametrize("condition", Condition)
def test_what_a_retry_costs(condition: Condition) -> None:
    """A retry costs 14 of 500 tokens, one after a 429 only 5."""
    budget = RetryBudget()
    assert budget.tokens == 500
    assert budget.take(condition)
    assert budget.tokens == (495 if condition is THROTTLED else 486)


def test_an_empty_budget() -> None:
    """35 retries or 100 after 429 are paid for; then there are none, and nothing is taken."""
    failing, throttled = RetryBudget(), RetryBudget()
    assert [failing.take(FAILED) for _ in range(37)] == [True] * 35 + [False] * 2
    assert failing.tokens == 10
    assert failing.take(THROTTLED)
    assert [throttled.take(THROTTLED) for _ in range(101)] == [True] * 100 + [False]
    assert throttled.tokens == 0


def test_what_a_success_earns() -> None:
    """A clean success earns one token, and there are never more than 500."""
    budget = RetryBudget()
    budget.give_back()
    assert budget.tokens == 500
    while budget.take(FAILED):
        pass
    for _ in range(4):
        assert not budget.take(FAILED)
        budget.give_back()
    assert budget.take(FAILED)
    assert budget.tokens == 0
    for _ in range(600):
        budget.give_back()
    assert budget.tokens == 500


@FUZZ
@given(st.lists(st.sampled_from([*Condition, None])))
def test_any_history(events: list[Condition | None]) -> None:
    """The balance stays between 0 and 500, whatever happens."""
    budget = RetryBudget()
    for event in events * 20:
        before = budget.tokens
        if event is None:
            budget.give_back()
        elif not budget.take(event):
            assert budget.tokens == before < 14
        assert 0 <= budget.tokens <= 500


def test_a_send_error_names_its_row() -> None:
    """What the wire raises has a condition and a sentence."""
    error = SendError(Condition.REFUSED, "cannot connect")
    assert (error.condition, str(error)) == (Condition.REFUSED, "cannot connect")


class Attempts:
    """Attempts with given outcomes, and a record of what `drive` asked."""

    def __init__(self, *outcomes: AttemptError | str) -> None:
        self.outcomes = list(outcomes)
        self.clock = FakeClock()
        self.asked: list[tuple[str, object, float]] = []

    async def attempt(self) -> str:
        """Succeed or fail as planned."""
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, AttemptError):
            raise outcome
        return outcome

    async def drive(
        self,
        first: AttemptError,
        *,
        most: int = 3,
        may_wait: Callable[[float], bool] = lambda _: True,
    ) -> str:
        """Go on after the first failure; waits are the attempt's number in seconds."""

        def should_retry(failure: AttemptError, attempts: int) -> bool:
            self.asked.append(("retry", failure, attempts))
            return attempts < most

        def wait(failure: AttemptError, attempts: int) -> float:
            self.asked.append(("wait", failure, attempts))
            return float(attempts)

        def may(failure: AttemptError, seconds: float) -> bool:
            self.asked.append(("may", failure, seconds))
            return may_wait(seconds)

        return await drive(
            self.attempt,
            first,
            should_retry=should_retry,
            wait=wait,
            may_wait=may,
            sleep=self.clock.sleep,
        )


def failures(number: int) -> list[AttemptError]:
    """So many failures, each its own."""
    return [AttemptError(OpenRouterError(f"no {i}"), FAILED) for i in range(number)]


async def test_success_after_a_wait() -> None:
    """The first failure counts as an attempt that was made: the next one comes after its wait."""
    (first,) = failures(1)
    attempts = Attempts("done")
    assert await attempts.drive(first) == "done"
    assert attempts.clock.sleeps == [1.0]
    assert ("retry", first, 1) in attempts.asked
    assert ("may", first, 1.0) in attempts.asked


async def test_every_failure_is_asked_about() -> None:
    """Each wait follows the failure before it and the number of attempts so far."""
    first, second, third = failures(3)
    attempts = Attempts(second, third, "done")
    assert await attempts.drive(first, most=4) == "done"
    assert attempts.clock.sleeps == [1.0, 2.0, 3.0]
    assert [a for a in attempts.asked if a[0] == "may"] == [
        ("may", first, 1.0),
        ("may", second, 2.0),
        ("may", third, 3.0),
    ]


async def test_the_last_failure_is_raised() -> None:
    """When attempts are used up it is that failure itself, not one of tenacity's."""
    first, second, third = failures(3)
    attempts = Attempts(second, third, "never reached")
    with pytest.raises(AttemptError) as caught:
        await attempts.drive(first)
    assert caught.value is third
    assert attempts.clock.sleeps == [1.0, 2.0]


async def test_a_wait_that_may_not_be_ends_it() -> None:
    """A wait that is too long is not begun: the failure before it is raised at once."""
    first, second = failures(2)
    attempts = Attempts(second, "never reached")
    with pytest.raises(AttemptError) as caught:
        await attempts.drive(first, may_wait=lambda seconds: seconds < 2)
    assert caught.value is second
    assert attempts.clock.sleeps == [1.0]
    assert attempts.outcomes == ["never reached"]


async def test_no_wait_is_asked_for_without_a_retry() -> None:
    """`may_wait`, which pays from the budget, is only asked when there would be a retry."""
    (first,) = failures(1)
    attempts = Attempts()
    with pytest.raises(AttemptError):
        await attempts.drive(first, most=1)
    assert "may" not in [asked for asked, _, _ in attempts.asked]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError, OpenRouterError])
async def test_nothing_else_is_repeated(error: type[BaseException]) -> None:
    """Interruptions, and errors that are no failed attempt, pass at once."""
    raised = error()

    async def attempt() -> str:
        raise raised

    attempts = Attempts()
    attempts.attempt = attempt  # type: ignore[method-assign]
    (first,) = failures(1)
    with pytest.raises(error) as caught:
        await attempts.drive(first)
    assert caught.value is raised
    assert attempts.clock.sleeps == [1.0]
