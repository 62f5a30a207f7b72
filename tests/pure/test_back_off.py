"""How long a call waits, and what all calls of a client may spend on retries."""

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ
from support.clock import FakeClock

from openrouter_async import RetryConfig
from openrouter_async._retry import (
    Condition,
    RetryBudget,
    SendError,
    SystemClock,
    back_off,
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
