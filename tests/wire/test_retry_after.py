"""How long the client waits before it sends again, on an injected clock."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, LIST, NEW_KEY, REPEATABLE, Call, ClientFor
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import OpenRouterDefaultError, RetryConfig, TooManyRequestsResponseError


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_throttled_then_fine(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 5: 429 with `Retry-After: 1`, then an answer: two requests, one key."""
    async with ScriptedServer(reply(429, headers={"Retry-After": "1"}), call.ok()) as server:
        result = await call(client_for(server, clock=clock))
    assert clock.sleeps == [1.0]
    assert [r.body for r in server.requests] == [call.body] * 2
    if call is CREATE:
        assert result.key == NEW_KEY


def http_date(seconds: float, form: str = "%a, %d %b %Y %H:%M:%S GMT") -> str:
    """Write the time so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(form)


BACK_OFF = 0.5
"""What is waited where the service says nothing that makes sense."""
SECONDS: list[tuple[str, float]] = [
    ("1", 1.0),
    ("2.5", 2.5),
    (" 3 ", 3.0),
    ("007", 7.0),
    ("0.75", 0.75),
    ("0.1", BACK_OFF),
    ("0", BACK_OFF),
    ("", BACK_OFF),
    ("-1", BACK_OFF),
    ("inf", BACK_OFF),
    ("nan", BACK_OFF),
    ("1e3", BACK_OFF),
    ("0x10", BACK_OFF),
    ("1_0", BACK_OFF),
    ("٣", BACK_OFF),
    ("soon", BACK_OFF),
    ("1, 2", BACK_OFF),
    ("9" * 5_000, BACK_OFF),
    ("Wed, 21 Oct 2015 07:28:00 GMT", BACK_OFF),
    ("Wednesday, 21-Oct-15 07:28:00 GMT", BACK_OFF),
    ("Fri, 31 Dec 100000 23:59:59 GMT", BACK_OFF),
    ("Wed, 99 Foo 2015 07:28:00 GMT", BACK_OFF),
    ("Mon, 01 Jan 0001 00:00:00 +2359", BACK_OFF),
]
"""Fault 11: a `Retry-After`, and the wait that follows."""


@pytest.mark.parametrize(("value", "seconds"), SECONDS, ids=lambda value: str(value)[:40])
async def test_retry_after_forms(
    value: str, seconds: float, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 11: a sensible `Retry-After` is waited out to the second, any other is passed over."""
    header = value.encode().decode("latin-1")
    async with ScriptedServer(reply(503, headers={"Retry-After": header}), GET.ok()) as server:
        await GET(client_for(server, clock=clock))
    assert clock.sleeps == [seconds]
    assert len(server.requests) == 2


DATES: dict[str, Callable[[], str]] = {
    "RFC 9110": lambda: http_date(30),
    "RFC 850": lambda: http_date(30, "%A, %d-%b-%y %H:%M:%S GMT"),
    "asctime": lambda: http_date(30, "%a %b %d %H:%M:%S %Y"),
    "another zone": lambda: format_datetime(
        datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=30)
    ),
}


@pytest.mark.parametrize("form", DATES)
async def test_retry_after_is_a_date(form: str, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 11: an HTTP date is waited for, but for the fraction that it cannot say."""
    busy = reply(503, headers={"Retry-After": DATES[form]()})
    async with ScriptedServer(busy, GET.ok()) as server:
        await GET(client_for(server, clock=clock))
    assert clock.sleeps == [pytest.approx(29.5, abs=1.0)]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5),
        ({"retry-after-ms": "nan", "Retry-After": "9"}, 9.0),
        ({"retry-after-ms": "-1"}, BACK_OFF),
    ],
    ids=str,
)
async def test_retry_after_ms(
    headers: dict[str, str], seconds: float, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 11: milliseconds are more exact than seconds and win, if they make sense."""
    async with ScriptedServer(reply(429, headers=headers), GET.ok()) as server:
        await GET(client_for(server, clock=clock))
    assert clock.sleeps == [seconds]


TOO_LONG: list[tuple[str, float, dict[str, Any]]] = [
    ("86400", 86400.0, {}),
    ("61", 61.0, {"total_timeout": 1000}),
    ("999999999999", 999999999999.0, {"total_timeout": 1e9}),
    ("60", 60.0, {}),  # which the total_timeout of 60 s does not leave room for
    ("5", 5.0, {"total_timeout": 4}),
    ("5", 5.0, {"retries": RetryConfig(max_retry_after=4.9)}),
]


@pytest.mark.parametrize("call", [LIST, CREATE], ids=str)
@pytest.mark.parametrize(("value", "seconds", "options"), TOO_LONG)
async def test_too_long_to_wait_for(
    value: str,
    seconds: float,
    options: dict[str, Any],
    *,
    call: Call,
    client_for: ClientFor,
    clock: FakeClock,
) -> None:
    """Fault 11: beyond the cap or the deadline the call fails at once and says how long."""
    began = time.monotonic()
    async with ScriptedServer(reply(429, headers={"Retry-After": value})) as server:
        with pytest.raises(TooManyRequestsResponseError) as caught:
            await call(client_for(server, clock=clock, **options))
    assert caught.value.retry_after == seconds
    assert caught.value.attempts == len(server.requests) == 1
    assert clock.sleeps == []
    assert time.monotonic() - began < 15


async def test_a_date_far_away_is_too_long(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 11: the end of the year 9999 fails at once, too."""
    never = {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}
    async with ScriptedServer(reply(503, headers=never)) as server:
        with pytest.raises(OpenRouterDefaultError) as caught:
            await GET(client_for(server, clock=clock))
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 1e11
    assert clock.sleeps == []


async def test_longest_wait_that_is_allowed(client_for: ClientFor, clock: FakeClock) -> None:
    """A minute is waited out where the deadline leaves room, twice if need be."""
    busy = reply(429, headers={"Retry-After": "60"})
    async with ScriptedServer(busy, busy, GET.ok()) as server:
        await GET(client_for(server, clock=clock, total_timeout=121))
    assert clock.sleeps == [60.0, 60.0]


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
async def test_waits_grow_with_full_jitter(call: Call, client_for: ClientFor) -> None:
    """Each wait is a random part of a bound that doubles up to `max_interval`."""
    clock = FakeClock(fraction=0.25)
    async with ScriptedServer(default=reply(503)) as server:
        client = client_for(server, clock=clock, retries=RetryConfig(max_attempts=7))
        with pytest.raises(OpenRouterDefaultError) as caught:
            await call(client)
    assert caught.value.attempts == len(server.requests) == 7
    assert clock.sleeps == [bound / 4 for bound in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)]


async def test_policy_sets_the_bounds(client_for: ClientFor, clock: FakeClock) -> None:
    """Interval, growth and greatest interval are the caller's."""
    policy = RetryConfig(max_attempts=5, initial_interval=0.1, exponent=3, max_interval=1.5)
    async with ScriptedServer(default=reply(503)) as server:
        with pytest.raises(OpenRouterDefaultError):
            await GET(client_for(server, clock=clock, retries=policy))
    assert clock.sleeps == [pytest.approx(bound) for bound in (0.1, 0.3, 0.9, 1.5)]


async def test_what_grows_beyond_all_numbers(client_for: ClientFor, clock: FakeClock) -> None:
    """A bound that no float can hold is the greatest interval."""
    policy = RetryConfig(max_attempts=4, exponent=1e300, max_interval=2)
    async with ScriptedServer(default=reply(503)) as server:
        with pytest.raises(OpenRouterDefaultError):
            await GET(client_for(server, clock=clock, retries=policy))
    assert clock.sleeps == [0.5, 2.0, 2.0]


async def test_wait_is_not_started_across_the_deadline(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """A wait that would end after the deadline is not begun: the last error comes at once."""
    async with ScriptedServer(default=reply(503)) as server:
        with pytest.raises(OpenRouterDefaultError) as caught:
            await GET(client_for(server, clock=clock, total_timeout=1.2))
    assert clock.sleeps == [0.5]
    assert caught.value.attempts == len(server.requests) == 2


async def test_longer_of_back_off_and_retry_after(client_for: ClientFor, clock: FakeClock) -> None:
    """`Retry-After` is the least to wait; a longer back-off stays."""
    soon = reply(503, headers={"Retry-After": "0.7"})
    async with ScriptedServer(soon, soon, GET.ok()) as server:
        await GET(client_for(server, clock=clock))
    assert clock.sleeps == [0.7, 1.0]
