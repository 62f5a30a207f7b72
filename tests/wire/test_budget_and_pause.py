"""What the calls of one client share: a budget of retries, and a pause when the service asks."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, LIST, Call, ClientFor, problem
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Step, hold, reply
from support.wire import Request

from openrouter_async import (
    AsyncOpenRouter,
    InternalServerResponseError,
    OpenRouterDefaultError,
    OpenRouterError,
    RetryConfig,
    TooManyRequestsResponseError,
)

PATIENT: dict[str, Any] = {"total_timeout": 1e6}


async def failures(client: AsyncOpenRouter, calls: int) -> list[OpenRouterError]:
    """Get so many different keys at once, and give what went wrong."""
    keys = [client.api_keys.get(f"{number:064x}") for number in range(calls)]
    results = await asyncio.gather(*keys, return_exceptions=True)
    assert all(isinstance(result, OpenRouterError) for result in results)
    return [result for result in results if isinstance(result, OpenRouterError)]


async def test_dead_server_is_not_hammered(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 10: 50 callers of a dead service: 3 requests each at most, 35 retries in all."""
    async with ScriptedServer(default=reply(503)) as server:
        errors = await failures(client_for(server, clock=clock, **PATIENT), 50)
    assert len(server.requests) == 50 + 35
    assert max(Counter(request.target for request in server.requests).values()) <= 3
    assert {type(error) for error in errors} == {OpenRouterDefaultError}
    assert sum(error.attempts for error in errors) == 85
    refused = [error for error in errors if error.attempts < 3]
    assert refused
    assert all("the client's retry budget is empty" in str(error) for error in refused)
    assert not any("budget" in str(error) for error in errors if error.attempts == 3)


async def test_dead_server_one_after_another(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 10: the budget is the client's, not a moment's; single calls use it up as well."""
    async with ScriptedServer(default=reply(503)) as server:
        client = client_for(server, clock=clock, **PATIENT)
        attempts = []
        for _ in range(20):
            with pytest.raises(OpenRouterDefaultError) as caught:
                await GET(client)
            attempts.append(caught.value.attempts)
    assert attempts == [3] * 17 + [2, 1, 1]
    assert len(server.requests) == 17 * 3 + 2 + 2


async def test_throttling_costs_less(client_for: ClientFor, clock: FakeClock) -> None:
    """A 429 costs 5 of the 500 tokens, so that 100 repeats are paid for."""
    policy = RetryConfig(max_attempts=1000)
    async with ScriptedServer(default=reply(429)) as server:
        with pytest.raises(TooManyRequestsResponseError, match="retry budget is empty") as caught:
            await CREATE(client_for(server, clock=clock, retries=policy, **PATIENT))
    assert caught.value.attempts == len(server.requests) == 101


async def test_successes_fill_the_budget(client_for: ClientFor, clock: FakeClock) -> None:
    """Each clean success earns a token; 14 of them pay for one more retry."""
    async with ScriptedServer(default=reply(503)) as server:
        client = client_for(server, clock=clock, **PATIENT)
        await failures(client, 50)  # 10 tokens are left
        server.script(*[GET.ok()] * 4)
        for _ in range(4):
            await GET(client)
        seen = len(server.requests)
        await failures(client, 2)
    assert len(server.requests) == seen + 3


async def test_a_success_after_a_retry_earns_nothing(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """Only what succeeded at once is a sign of health: the retry's 14 tokens stay spent."""
    async with ScriptedServer(reply(503), GET.ok(), GET.ok()) as server:
        client = client_for(server, clock=clock)
        await GET(client)
        assert client._shared.budget.tokens == 486
        await GET(client)
        assert client._shared.budget.tokens == 487


async def test_twins_share_the_budget(client_for: ClientFor, clock: FakeClock) -> None:
    """`with_options` gives other defaults, not another budget."""
    async with ScriptedServer(default=reply(500)) as server:
        client = client_for(server, clock=clock, **PATIENT)
        await failures(client, 50)
        with pytest.raises(InternalServerResponseError, match="retry budget is empty"):
            await GET(client.with_options(timeout=3))
    assert len(server.requests) == 50 + 35 + 1


THROTTLED = reply(429, headers={"Retry-After": "10"})


async def throttle(client: AsyncOpenRouter) -> None:
    """Have the service ask for a pause."""
    with pytest.raises(TooManyRequestsResponseError):
        await LIST(client, retries=None)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_new_calls_wait_out_the_pause(
    call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """After a 429 the next call, of any operation, waits before it sends anything."""
    async with ScriptedServer(THROTTLED, call.ok()) as server:
        client = client_for(server, clock=clock)
        await throttle(client)
        await call(client)
    assert clock.sleeps == [pytest.approx(10, abs=0.5)]
    assert [r.target for r in server.requests] == ["/api/v1/keys", f"/api/v1{call.target}"]


async def test_pause_beyond_the_deadline_fails_at_once(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """A call that cannot outlast the pause fails with `attempts=0`, and nothing is sent."""
    async with ScriptedServer(THROTTLED) as server:
        client = client_for(server, clock=clock)
        await throttle(client)
        with pytest.raises(TooManyRequestsResponseError) as caught:
            await CREATE(client, total_timeout=5)
    error = caught.value
    assert (error.attempts, error.status_code, error.operation) == (0, 429, "create")
    assert error.retry_after == pytest.approx(10, abs=0.5)
    assert len(server.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize("place", ["call", "with_options"])
async def test_without_retries_nobody_waits(
    place: str, client_for: ClientFor, clock: FakeClock
) -> None:
    """`retries=None` sends at once, pause or not."""
    async with ScriptedServer(THROTTLED, GET.ok()) as server:
        client = client_for(server, clock=clock)
        await throttle(client)
        if place == "call":
            await GET(client, retries=None)
        else:
            await GET(client.with_options(retries=None))
    assert len(server.requests) == 2
    assert clock.sleeps == []


async def test_twins_share_the_pause(client_for: ClientFor, clock: FakeClock) -> None:
    """A pause that one client was asked for holds its twins back."""
    async with ScriptedServer(THROTTLED, GET.ok()) as server:
        client = client_for(server, clock=clock)
        await throttle(client.with_options(timeout=3))
        await GET(client)
    assert len(clock.sleeps) == 1


async def test_pause_is_no_longer_than_a_wait_may_be(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """A day's `Retry-After` pauses for `max_retry_after`, not for a day."""
    day = reply(429, headers={"Retry-After": "86400"})
    async with ScriptedServer(day, GET.ok()) as server:
        client = client_for(server, clock=clock, total_timeout=100)
        with pytest.raises(TooManyRequestsResponseError):
            await LIST(client)
        await GET(client)
    assert clock.sleeps == [pytest.approx(60, abs=0.5)]


NO_PAUSE: list[Step] = [
    reply(429, json=problem(429)),
    reply(503, headers={"Retry-After": "10"}),
    reply(429, headers={"Retry-After": "soon"}),
]


@pytest.mark.parametrize("step", NO_PAUSE, ids=lambda step: step.__name__)
async def test_only_a_429_that_says_how_long_pauses(
    step: Step, client_for: ClientFor, clock: FakeClock
) -> None:
    """What does not ask everybody to wait makes nobody wait."""
    async with ScriptedServer(step, GET.ok()) as server:
        client = client_for(server, clock=clock)
        with pytest.raises(OpenRouterError):
            await LIST(client, retries=None)
        await GET(client)
    assert clock.sleeps == []


async def test_nothing_is_sent_during_the_pause(client_for: ClientFor) -> None:
    """On the real clock: twenty callers wait, and all come through once the pause is over."""
    pause = reply(429, headers={"Retry-After": "0.3"})
    async with ScriptedServer(pause, default=GET.ok()) as server:
        client = client_for(server)
        first = asyncio.create_task(GET(client))
        await server.until(lambda: client._shared.pacer.paused_until > 0)
        await asyncio.gather(first, *(GET(client) for _ in range(20)))
    asked, *others = [request.at for request in server.requests]
    assert len(others) == 21
    assert min(others) >= asked + 0.3


async def test_a_caller_on_its_way_waits_for_the_pause_of_another(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """A call that backs off meanwhile waits as long as the service asked another to."""
    go_on = asyncio.Event()
    steps = {
        "/api/v1/keys": [THROTTLED],
        f"/api/v1{GET.target}": [hold(go_on, reply(503)), GET.ok()],
    }

    def handler(request: Request) -> Step:
        return steps[request.target].pop(0)

    async with ScriptedServer(handler=handler) as server:
        client = client_for(server, clock=clock)
        on_its_way = asyncio.create_task(GET(client))
        await server.arrived(1)
        await throttle(client)
        go_on.set()
        await on_its_way
    assert clock.sleeps == [pytest.approx(10, abs=0.5)]
