"""What every call accepts beside the parameters of its operation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias, TypedDict

import attrs

from openrouter_async import _numbers
from openrouter_async.errors import ConfigurationError


def _plain(value: float) -> float:
    number = _numbers.real(value)
    return value if number is None else number


def _positive(_: RetryConfig, attribute: attrs.Attribute[float], value: float) -> None:
    number = _numbers.real(value)
    if number is None or not 0 <= number <= sys.float_info.max:
        raise ConfigurationError(f"{attribute.name} must be a finite number of at least 0")


def _attempts(value: int) -> int:
    attempts = _numbers.whole(value)
    if attempts is None or attempts < 1:
        raise ConfigurationError("max_attempts must be an integer of at least 1")
    return attempts


def _statuses(value: Iterable[int] | None) -> frozenset[int]:
    if value is None:
        return frozenset()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigurationError("status_codes must be a collection of integers such as {409, 425}")
    statuses = list(map(_numbers.whole, value))
    known = frozenset(status for status in statuses if status and 400 <= status <= 599)
    if not known.issuperset(statuses):
        raise ConfigurationError("status_codes must be integers from 400 to 599")
    return known


@attrs.frozen(kw_only=True)
class RetryConfig:
    """How a call is repeated when the retry table allows it; all times are seconds.

    `None` in place of a `RetryConfig` means: one attempt. Nothing here makes a create repeat
    after it may have been sent. Raises `ConfigurationError` for values out of range.
    """

    strategy: Literal["backoff", "none"] = "backoff"
    """`"none"` is the same as passing `retries=None`."""
    max_attempts: int = attrs.field(default=3, converter=_attempts)
    """All attempts, the first one included."""
    initial_interval: float = attrs.field(default=0.5, converter=_plain, validator=_positive)
    """Upper bound of the first wait, in seconds; waits have full jitter."""
    max_interval: float = attrs.field(default=8.0, converter=_plain, validator=_positive)
    """Upper bound of any wait that the service did not ask for, in seconds."""
    exponent: float = attrs.field(default=2.0, converter=_plain, validator=_positive)
    """Growth of the bound from one wait to the next."""
    max_retry_after: float = attrs.field(default=60.0, converter=_plain, validator=_positive)
    """The longest `Retry-After` to wait out, in seconds; beyond it the call fails at once."""
    retry_connection_errors: bool = True
    """False: no retry at all where there was no answer."""
    status_codes: frozenset[int] = attrs.field(default=None, converter=_statuses)
    """Statuses to repeat beside those of the table, never for a create."""

    def __attrs_post_init__(self) -> None:
        if self.strategy not in ("backoff", "none"):
            raise ConfigurationError('strategy must be "backoff" or "none"')
        if not isinstance(self.retry_connection_errors, bool):
            raise ConfigurationError("retry_connection_errors must be a bool")
        if self.exponent < 1:
            raise ConfigurationError("exponent must be at least 1")


ONCE: Final = RetryConfig(strategy="none", max_attempts=1)
"""What `retries=None` stands for."""


class CallOptions(TypedDict, total=False):
    """Options of one call; what is left out is inherited from the client.

    `timeout` is one attempt and `total_timeout` the whole call with queueing and waits, both in
    seconds; `retries=None` means a single attempt, `None` elsewhere the same as leaving it out.
    """

    http_referer: str | None
    x_open_router_title: str | None
    x_open_router_categories: str | None
    retries: RetryConfig | None
    timeout: float | None
    total_timeout: float | None
    server_url: str | None
    http_headers: Mapping[str, str] | None


@attrs.frozen(kw_only=True)
class Waiting:
    """Why bulk work waits: told to `on_wait` whenever the service slows it down."""

    seconds: float
    """How long nothing is sent; 0 if requests only begin more slowly from now on."""
    rate: float
    """How many requests a second begin after that."""
    reason: str
    """One sentence for a person."""


OnWait: TypeAlias = Callable[[Waiting], object]
"""Told why bulk work waits; an async function is awaited, and what it raises changes nothing."""

MAX_WAIT: Final = 600.0
"""Seconds that a request of bulk work waits for the service's rate limit by default, in all."""
