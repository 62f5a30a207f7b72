"""The retry table, and the retry budget that all calls of a client share."""

from __future__ import annotations

import asyncio
import enum
import random
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Protocol

from openrouter_async._operations import RetryClass
from openrouter_async._options import RetryConfig
from openrouter_async._responses import Response, is_cut
from openrouter_async.errors import OpenRouterError


class Condition(enum.Enum):
    """How an attempt failed: the rows of the retry table."""

    REFUSED = "never sent"
    UNKNOWN_HOST = "unknown host"
    UNTRUSTED = "rejected by TLS or the proxy"
    NO_RESPONSE = "sent, no response"
    THROTTLED = "429"
    UNAVAILABLE = "408, 502, 503, 504"
    SERVER_ERROR = "500, 520-529 and the 5XX that are not listed"
    DEFINITE = "501, 505, 506, 508, 511 and the 4XX that are not listed"
    TRUNCATED = "2XX, cut short"
    UNREADABLE = "2XX of a wrong shape, not JSON, or too large"
    REDIRECT = "3XX with a Location"
    ODD_REDIRECT = "any other 3XX"
    MALFORMED = "not HTTP"


class Verdict(enum.Enum):
    """What to do after a failed attempt."""

    RETRY = "retry"
    ONCE_MORE = "retry once"
    FAIL = "fail"
    AMBIGUOUS = "fail, and it is unknown whether a key was made"


def _row(others: Verdict, create: Verdict) -> Mapping[RetryClass, Verdict]:
    return dict.fromkeys(RetryClass, others) | {RetryClass.CREATE: create}


_R, _F, _A = Verdict.RETRY, Verdict.FAIL, Verdict.AMBIGUOUS

RETRY_TABLE: Final[Mapping[Condition, Mapping[RetryClass, Verdict]]] = {
    Condition.REFUSED: _row(_R, create=_R),
    Condition.UNKNOWN_HOST: _row(Verdict.ONCE_MORE, create=Verdict.ONCE_MORE),
    Condition.UNTRUSTED: _row(_F, create=_F),
    Condition.NO_RESPONSE: _row(_R, create=_A),
    Condition.THROTTLED: _row(_R, create=_R),
    Condition.UNAVAILABLE: _row(_R, create=_A),
    Condition.SERVER_ERROR: _row(_R, create=_A),
    Condition.DEFINITE: _row(_F, create=_F),
    Condition.TRUNCATED: _row(_R, create=_A),
    Condition.UNREADABLE: _row(_F, create=_A),
    Condition.REDIRECT: _row(_F, create=_F),
    Condition.ODD_REDIRECT: _row(_F, create=_A),
    Condition.MALFORMED: _row(_F, create=_A),
}
"""What is safe to retry. A create is retried only if the service has not run it."""

_WITHOUT_RESPONSE: Final = {Condition.REFUSED, Condition.UNKNOWN_HOST, Condition.NO_RESPONSE}
_MAYBE_DONE: Final = {
    Condition.NO_RESPONSE, Condition.UNAVAILABLE, Condition.SERVER_ERROR, Condition.TRUNCATED,
}  # fmt: skip
_UNAVAILABLE: Final = {408, 502, 503, 504}
_DEFINITE: Final = {501, 505, 506, 508, 511}
_PLAIN_REDIRECTS: Final = {301, 302, 303, 307, 308}


def condition_of(response: Response) -> Condition:
    """Return the row of the table for a response without a result."""
    status = response.status
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Condition.TRUNCATED if is_cut(response) else Condition.UNREADABLE
    if status < HTTPStatus.BAD_REQUEST:
        plain = status in _PLAIN_REDIRECTS and "Location" in response.headers
        return Condition.REDIRECT if plain else Condition.ODD_REDIRECT
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Condition.THROTTLED
    if status in _UNAVAILABLE:
        return Condition.UNAVAILABLE
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or status in _DEFINITE:
        return Condition.DEFINITE
    return Condition.SERVER_ERROR


class SendError(Exception):
    """A request without a readable response; the message contains nothing of the request."""

    def __init__(self, condition: Condition, message: str) -> None:
        super().__init__(message)
        self.condition = condition


class AttemptError(Exception):
    """A failed attempt: the error to raise to the caller, and the row of the table."""

    def __init__(
        self, error: OpenRouterError, condition: Condition, response: Response | None = None
    ) -> None:
        super().__init__()
        self.error = error
        self.condition = condition
        self.response = response
        self.verdict = Verdict.FAIL
        """The table's verdict; set once the attempt is over."""

    @property
    def may_have_arrived(self) -> bool:
        """Whether the service may have carried out the request."""
        return self.condition in _MAYBE_DONE


def verdict(failure: AttemptError, operation: RetryClass, config: RetryConfig) -> Verdict:
    """Look the failure up in the table, and apply the caller's retry policy."""
    found = RETRY_TABLE[failure.condition][operation]
    # Whatever the policy, a create whose outcome is unknown is reported as ambiguous.
    if config.strategy == "none":
        return Verdict.AMBIGUOUS if found is Verdict.AMBIGUOUS else Verdict.FAIL
    if not config.retry_connection_errors and failure.condition in _WITHOUT_RESPONSE:
        return Verdict.FAIL if found in (Verdict.RETRY, Verdict.ONCE_MORE) else found
    if failure.error.status_code in config.status_codes and operation is not RetryClass.CREATE:
        return Verdict.RETRY
    return found


class Clock(Protocol):
    """A source of time and randomness; tests pass their own."""

    def time(self) -> float:
        """Return the time of a monotonic clock, in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        ...

    def jitter(self, upper: float) -> float:
        """Return a random number from 0 to `upper`."""
        ...


class SystemClock:
    """The system clock."""

    time = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jitter(self, upper: float) -> float:
        return random.uniform(0, upper)  # noqa: S311  # no secret depends on it


class RetryBudget:
    """A budget for the retries of all calls of a client, so that they do not worsen an outage.

    Retries take tokens, and clean successes return them.
    """

    CAPACITY: Final = 500
    RETRY_COST: Final = 14
    THROTTLE_COST: Final = 5

    def __init__(self) -> None:
        self.tokens = self.CAPACITY

    def take(self, condition: Condition) -> bool:
        """Pay for a retry; return False if there are not enough tokens."""
        cost = self.THROTTLE_COST if condition is Condition.THROTTLED else self.RETRY_COST
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def give_back(self) -> None:
        """Return a token after a success without retries."""
        self.tokens = min(self.tokens + 1, self.CAPACITY)


def back_off(config: RetryConfig, attempt: int, clock: Clock) -> float:
    """Return the seconds to wait after attempt `attempt`: exponential, with full jitter."""
    try:
        bound = config.initial_interval * config.exponent ** (attempt - 1)
    except OverflowError:
        # The power is beyond the largest float.
        bound = config.max_interval
    return clock.jitter(min(bound, config.max_interval))
