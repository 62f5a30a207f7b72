"""`RetryConfig` has the documented defaults, takes what makes sense, and names what does not."""

import math
import sys
from typing import Any

import attrs
import pytest

from openrouter_async import ConfigurationError, RetryConfig

SECONDS = ["initial_interval", "max_interval", "max_retry_after"]
NUMBERS = [*SECONDS, "exponent"]
BAD_NUMBERS = [
    -1, -0.001, math.nan, math.inf, -math.inf, 10**400, -(10**400), True, False, None, "1", "",
    b"1", [1], {}, 1j,
]  # fmt: skip


def test_defaults() -> None:
    """Three attempts, half a second at first, eight at most, a minute for what the service asks."""
    assert attrs.asdict(RetryConfig()) == {
        "strategy": "backoff",
        "max_attempts": 3,
        "initial_interval": 0.5,
        "max_interval": 8.0,
        "exponent": 2.0,
        "max_retry_after": 60.0,
        "retry_connection_errors": True,
        "status_codes": frozenset(),
    }


def test_is_frozen_and_by_keyword() -> None:
    """A policy is a value: it cannot be changed, compares by content, and takes no positions."""
    config = RetryConfig(status_codes=[409])
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.max_attempts = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        RetryConfig("none")  # type: ignore[misc]
    assert config == RetryConfig(status_codes={409})
    assert len({config, RetryConfig(status_codes={409}), RetryConfig()}) == 2


def refused(**given: Any) -> str:
    """The message for values that are refused."""
    with pytest.raises(ConfigurationError) as caught:
        RetryConfig(**given)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value.message


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=range(len(BAD_NUMBERS)))
def test_bad_numbers(name: str, value: Any) -> None:
    """Negative, infinite, no number at all: refused by name."""
    assert refused(**{name: value}) == f"{name} must be a finite number of at least 0"


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0, 1, 0.25, 8.0, sys.float_info.max])
def test_good_seconds(name: str, value: float) -> None:
    """Any finite number from 0 is fine, 0 included."""
    assert getattr(RetryConfig(**{name: value}), name) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 0.5, 0.999])
def test_waits_do_not_shrink(value: float) -> None:
    """An exponent below 1 would make waits shorter and shorter."""
    assert refused(exponent=value) == "exponent must be at least 1"
    assert RetryConfig(exponent=1).exponent == 1


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, True, "3", None, math.inf], ids=range(8))
def test_bad_attempts(value: Any) -> None:
    """Attempts are counted in whole numbers from 1."""
    assert refused(max_attempts=value) == "max_attempts must be an integer of at least 1"
    assert RetryConfig(max_attempts=1).max_attempts == 1


@pytest.mark.parametrize("value", ["", "Backoff", "linear", None, True, 7, ["none"]], ids=range(7))
def test_bad_strategies(value: Any) -> None:
    """There are two strategies."""
    assert refused(strategy=value) == 'strategy must be "backoff" or "none"'
    assert RetryConfig(strategy="none").strategy == "none"


@pytest.mark.parametrize("value", [0, 1, "no", "false", None, []], ids=range(6))
def test_retry_connection_errors_is_a_bool(value: Any) -> None:
    """`"no"` would be taken for yes."""
    assert refused(retry_connection_errors=value) == "retry_connection_errors must be a bool"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, set()),
        ([], set()),
        ({409}, {409}),
        ([400, 599, 400], {400, 599}),
        ((425,), {425}),
        (frozenset({429, 500}), {429, 500}),
        (range(520, 530), set(range(520, 530))),
        ((status for status in (418, 451)), {418, 451}),
    ],
    ids=range(8),
)
def test_status_codes(given: Any, kept: set[int]) -> None:
    """Any collection of statuses of failure becomes a frozen set; None is none."""
    assert RetryConfig(status_codes=given).status_codes == frozenset(kept)
    assert type(RetryConfig(status_codes=given).status_codes) is frozenset


@pytest.mark.parametrize(
    "given",
    ["409", b"409", 409, 409.0, True, object()],
    ids=range(6),
)
def test_no_collection(given: Any) -> None:
    """A single status or a text is refused, with how to write it."""
    assert refused(status_codes=given).startswith("status_codes must be a collection of integers")


@pytest.mark.parametrize(
    "status",
    [399, 600, 200, 301, 0, -400, True, 409.0, "409", None, [409], {409: 1}],
    ids=range(12),
)
def test_bad_statuses(status: Any) -> None:
    """Only failures can be repeated: integers from 400 to 599."""
    assert refused(status_codes=[429, status]) == "status_codes must be integers from 400 to 599"
