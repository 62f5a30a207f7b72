"""What a caller's `retries` adds to the retry table or takes away, and where it is given."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, LIST, REPEATABLE, Call, ClientFor
from support.clock import FakeClock
from support.ports import refused_port
from support.server import ScriptedServer
from support.steps import Step, reply, reset, stall_head

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    AsyncOpenRouter,
    ConflictResponseError,
    OpenRouterDefaultError,
    OpenRouterError,
    RetryConfig,
    TooManyRequestsResponseError,
)

BUSY = reply(429)
ONCE = RetryConfig(max_attempts=1)
FIVE = RetryConfig(max_attempts=5)


@pytest.mark.parametrize("none", [None, RetryConfig(strategy="none"), ONCE], ids=str)
@pytest.mark.parametrize("step", [BUSY, reply(503), reset()], ids=lambda step: step.__name__)
@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_no_retries(
    call: Call, step: Step, none: RetryConfig | None, client_for: ClientFor, clock: FakeClock
) -> None:
    """`retries=None`, the strategy `none` and one attempt are one attempt; aiohttp adds none."""
    async with ScriptedServer(default=step) as server:
        with pytest.raises(OpenRouterError) as caught:
            await call(client_for(server, clock=clock), retries=none)
    assert caught.value.attempts == len(server.requests) == 1
    assert clock.sleeps == []
    ambiguous = call is CREATE and step is not BUSY
    assert isinstance(caught.value, AmbiguousCreateError) == ambiguous


PLACES: dict[str, Callable[[AsyncOpenRouter], tuple[AsyncOpenRouter, dict[str, Any]]]] = {
    "with_options": lambda client: (client.with_options(retries=FIVE), {}),
    "call": lambda client: (client, {"retries": FIVE}),
    "call over with_options": lambda client: (
        client.with_options(retries=None),
        {"retries": FIVE},
    ),
    "with_options twice": lambda client: (
        client.with_options(retries=None).with_options(retries=FIVE),
        {},
    ),
    "inherited": lambda client: (client.with_options(retries=FIVE).with_options(timeout=9), {}),
}


@pytest.mark.parametrize("place", PLACES)
async def test_the_nearest_policy_counts(
    place: str, client_for: ClientFor, clock: FakeClock
) -> None:
    """A call's policy comes before the one of `with_options`, which comes before the client's."""
    async with ScriptedServer(default=reply(503)) as server:
        client, options = PLACES[place](client_for(server, clock=clock, retries=ONCE))
        with pytest.raises(OpenRouterDefaultError):
            await GET(client, **options)
    assert len(server.requests) == 5


async def test_client_without_retries(client_for: ClientFor, clock: FakeClock) -> None:
    """`retries=None` in the constructor is the default of every call and of every twin."""
    async with ScriptedServer(default=reply(503)) as server:
        client = client_for(server, clock=clock, retries=None)
        for each in (client, client.with_options(http_referer="https://example.com")):
            with pytest.raises(OpenRouterDefaultError):
                await GET(each)
    assert len(server.requests) == 2


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
async def test_added_statuses(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """`status_codes` adds to the table, and takes nothing away."""
    script = [reply(409), reply(503), reply(425), call.ok()]
    policy = RetryConfig(max_attempts=4, status_codes=[409, 425])
    async with ScriptedServer(*script) as server:
        await call(client_for(server, clock=clock, retries=policy))
    assert len(server.requests) == 4
    assert clock.sleeps == [0.5, 1.0, 2.0]


async def test_added_statuses_never_for_a_create(client_for: ClientFor, clock: FakeClock) -> None:
    """An added status is no licence to create twice."""
    async with ScriptedServer(default=reply(409)) as server:
        client = client_for(server, clock=clock, retries=RetryConfig(status_codes=[409]))
        with pytest.raises(ConflictResponseError):
            await CREATE(client)
    assert len(server.requests) == 1


@pytest.mark.parametrize("step", [reset(), stall_head()], ids=lambda step: step.__name__)
async def test_no_retry_without_an_answer(
    step: Step, client_for: ClientFor, clock: FakeClock
) -> None:
    """`retry_connection_errors=False` stops every retry where there was no answer."""
    policy = RetryConfig(retry_connection_errors=False)
    async with ScriptedServer(default=step) as server:
        client = client_for(server, clock=clock, retries=policy, timeout=0.4)
        calls = (call(client) for call in CALLS)
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert len(server.requests) == len(CALLS)
    for call, error in zip(CALLS, errors, strict=True):
        assert isinstance(error, AmbiguousCreateError if call is CREATE else APIConnectionError)
        assert error.attempts == 1


@pytest.mark.parametrize("call", [LIST, CREATE], ids=str)
async def test_no_retry_when_refused(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """It stops the retry of refused connections too, and a create that was refused is definite."""
    policy = RetryConfig(retry_connection_errors=False)
    with refused_port() as port:
        client = client_for(f"http://127.0.0.1:{port}", clock=clock, retries=policy)
        with pytest.raises(APIConnectionError) as caught:
            await call(client)
    assert caught.value.attempts == 1
    assert not isinstance(caught.value, AmbiguousCreateError)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_answers_are_still_repeated(
    call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """It changes nothing where there was an answer."""
    policy = RetryConfig(retry_connection_errors=False)
    async with ScriptedServer(BUSY, call.ok()) as server:
        await call(client_for(server, clock=clock, retries=policy))
    assert len(server.requests) == 2


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
async def test_number_of_attempts(attempts: int, client_for: ClientFor, clock: FakeClock) -> None:
    """`max_attempts` counts all of them; a mixture of failures counts together."""
    script = [reset(), reply(500), reply(429), reply(503), reset(), reply(502), reply(520)]
    async with ScriptedServer(*script) as server:
        client = client_for(server, clock=clock, retries=RetryConfig(max_attempts=attempts))
        with pytest.raises(OpenRouterError) as caught:
            await GET(client)
    assert caught.value.attempts == len(server.requests) == attempts


async def test_stops_at_a_definite_failure(client_for: ClientFor, clock: FakeClock) -> None:
    """A failure that no repeat would mend ends the call, whatever came before."""
    async with ScriptedServer(BUSY, reply(503), reply(409)) as server:
        with pytest.raises(ConflictResponseError) as caught:
            await GET(client_for(server, clock=clock, retries=FIVE))
    assert caught.value.attempts == len(server.requests) == 3


async def test_create_throttled_then_lost(client_for: ClientFor, clock: FakeClock) -> None:
    """A create that was refused twice and then lost is ambiguous, and knows its attempts."""
    async with ScriptedServer(BUSY, BUSY, reset()) as server:
        with pytest.raises(AmbiguousCreateError) as caught:
            await CREATE(client_for(server, clock=clock, retries=FIVE))
    assert caught.value.attempts == len(server.requests) == 3


async def test_throttled_for_ever(client_for: ClientFor, clock: FakeClock) -> None:
    """The last 429 is what the caller gets."""
    async with ScriptedServer(default=reply(429, headers={"Retry-After": "2"})) as server:
        with pytest.raises(TooManyRequestsResponseError) as caught:
            await CREATE(client_for(server, clock=clock))
    assert (caught.value.attempts, caught.value.retry_after) == (3, 2.0)
    assert len(server.requests) == 3
    assert clock.sleeps == [2.0, 2.0]
