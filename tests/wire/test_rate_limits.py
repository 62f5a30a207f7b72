"""An ordinary rate limit slows bulk work and audits down, and fails nothing."""

import asyncio
from typing import Any

import pytest
from support.calls import GET, HASH, ClientFor, problem
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Step, reply
from support.wire import Request

from openrouter_async import (
    AsyncOpenRouter,
    InvalidRequestError,
    RetryConfig,
    TooManyRequestsResponseError,
    Waiting,
)
from openrouter_async.audit import AuditProgress
from openrouter_async.bulk import KeyState, Status
from openrouter_async.errors import ConfigurationError
from openrouter_async.sandbox import Sandbox
from openrouter_async.sandbox._seed import EXAMPLE_HASH


def refused(box: Sandbox) -> int:
    """Return how many requests the sandbox has answered with 429."""
    return sum(request.status == 429 for request in box.requests)


async def test_get_many(client_for: ClientFor) -> None:
    """Every key is found at 50 requests a second, and few requests are refused."""
    async with Sandbox(keys=200, requests_per_second=50) as box:
        client = client_for(box.url, api_key=box.management_key)
        outcomes = await client.api_keys.get_many([key.hash for key in box.keys])
        assert {outcome.state for outcome in outcomes} == {KeyState.FOUND}
        assert len(box.requests) - refused(box) == len(outcomes)
        assert refused(box) <= 30  # what was under way at the first one, and once more


async def test_disable_many(client_for: ClientFor) -> None:
    """So it is with changes, each of which is made once."""
    async with Sandbox(keys=60, requests_per_second=20) as box:
        client = client_for(box.url, api_key=box.management_key)
        outcomes = await client.api_keys.disable_many([key.hash for key in box.keys])
        assert {outcome.status for outcome in outcomes} == {Status.OK}
        assert all(key.disabled for key in box.keys)


async def test_audit(client_for: ClientFor) -> None:
    """An audit is complete, and tells its observer that it waits and why."""
    told: list[AuditProgress] = []
    async with Sandbox(keys=1500, requests_per_second=10) as box:
        client = client_for(box.url, api_key=box.management_key)
        report = await client.audit(progress=told.append)
        assert (report.complete, report.errors, len(report.keys)) == (True, [], 1501)
        assert report.requests == len(box.requests)
    waits = [progress.waiting for progress in told if progress.waiting]
    assert waits
    assert "the service asked to wait" in waits[0].reason


async def test_walk(client_for: ClientFor) -> None:
    """The walk of `iter` waits too, though its retries would long be used up."""
    async with Sandbox(keys=900, requests_per_second=2) as box:
        client = client_for(
            box.url, api_key=box.management_key, retries=RetryConfig(max_attempts=1)
        )
        walk = client.api_keys.iter(concurrency=8, include_disabled=True, include_expired=True)
        seen = [key.hash async for key in walk]
        assert refused(box) > 0
        default = next(key.workspace_id for key in box.keys if key.hash == EXAMPLE_HASH)
        assert len(seen) == sum(key.workspace_id == default for key in box.keys)


async def test_single_calls_get_their_turns(client_for: ClientFor) -> None:
    """A call beside bulk work with many waiters comes through within a few slots."""
    async with Sandbox(keys=200, requests_per_second=10) as box:
        client = client_for(box.url, api_key=box.management_key)
        hashes = [key.hash for key in box.keys]
        bulk = asyncio.create_task(client.api_keys.get_many(hashes, concurrency=100))
        while not refused(box):
            await asyncio.sleep(0.01)
        await client.api_keys.get(HASH_OF_EXAMPLE, total_timeout=5)
        assert len(box.requests) < 160  # the bulk work is far from its end
        bulk.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bulk


HASH_OF_EXAMPLE = EXAMPLE_HASH


class Patient:
    """A service that answers 429 so many times, then as it should."""

    def __init__(self, times: int, **headers: str) -> None:
        self.left = times
        self.headers = headers

    def __call__(self, request: Request) -> Step:
        """Answer one request."""
        self.left -= 1
        if self.left >= 0:
            return reply(429, json=problem(429), headers=self.headers)
        return GET.ok()


async def test_429_costs_bulk_work_neither_attempts_nor_budget(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """150 refusals in a row are more than the attempts of a call and the budget of a client."""
    async with ScriptedServer(handler=Patient(150, **{"Retry-After": "1"})) as server:
        client = client_for(server, clock=clock)
        [outcome] = await client.api_keys.get_many([HASH])
        assert outcome.state is KeyState.FOUND
        assert client._shared.budget.tokens == client._shared.budget.CAPACITY
        assert len(server.requests) == 151


async def test_an_honoured_retry_after_costs_a_single_call_no_budget(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """It costs an attempt: a single call is bounded by these."""
    async with ScriptedServer(handler=Patient(2, **{"Retry-After": "1"})) as server:
        client = client_for(server, clock=clock)
        await GET(client)
        assert client._shared.budget.tokens == client._shared.budget.CAPACITY
    async with ScriptedServer(handler=Patient(2, **{"Retry-After": "1"})) as server:
        with pytest.raises(TooManyRequestsResponseError) as caught:
            await GET(client_for(server, clock=clock, retries=RetryConfig(max_attempts=1)))
        assert caught.value.attempts == 1


@pytest.mark.parametrize("headers", [{"Retry-After": "30"}, {}], ids=["honest", "silent"])
async def test_the_wait_is_bounded(
    headers: dict[str, str], client_for: ClientFor, clock: FakeClock
) -> None:
    """A service that never stops refusing fails each key after `max_wait` seconds."""
    async with ScriptedServer(handler=Patient(10_000, **headers)) as server:
        client = client_for(server, clock=clock)
        began = clock.time()
        outcomes = await client.api_keys.get_many([HASH], max_wait=120)
        assert {type(outcome.error) for outcome in outcomes} == {TooManyRequestsResponseError}
        assert clock.time() - began <= 125
        assert len(server.requests) < 40


async def test_a_day_is_not_waited_for(client_for: ClientFor, clock: FakeClock) -> None:
    """What is longer than `max_wait` fails at once, and says how long it would take."""
    async with ScriptedServer(handler=Patient(10_000, **{"Retry-After": "86400"})) as server:
        client = client_for(server, clock=clock)
        [outcome] = await client.api_keys.get_many([HASH])
        assert outcome.error is not None
        assert outcome.error.retry_after == 86400
        assert clock.sleeps == []


async def test_total_timeout_does_not_run_while_bulk_work_waits(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """Waiting is no failure: the time-out is for the requests themselves."""
    async with ScriptedServer(handler=Patient(5, **{"Retry-After": "50"})) as server:
        client = client_for(server, clock=clock, total_timeout=60)
        [outcome] = await client.api_keys.get_many([HASH])
        assert outcome.state is KeyState.FOUND


async def test_observer_of_waits(client_for: ClientFor, clock: FakeClock) -> None:
    """`on_wait` is told once for each time that the service slows the run down."""
    told: list[Waiting] = []
    async with ScriptedServer(handler=Patient(1, **{"Retry-After": "7"})) as server:
        client = client_for(server, clock=clock)
        hashes = [f"{number:064x}" for number in range(5)]
        await client.api_keys.get_many(hashes, concurrency=1, on_wait=told.append)
    assert [round(waiting.seconds) for waiting in told] == [7]
    assert "asked to wait 7 s" in told[0].reason


MANY: dict[str, Any] = {
    "get_many": [HASH],
    "disable_many": [HASH],
    "delete_many": [HASH],
    "update_many": [{"hash": HASH, "limit": 1}],
}


@pytest.mark.parametrize("method", MANY)
async def test_rate_counts_retries(method: str, client_for: ClientFor) -> None:
    """Each request waits for its turn, also one that is made again."""
    async with Sandbox(keys=3) as box:
        client = client_for(box.url, api_key=box.management_key)
        items = MANY[method]
        box.fail("*", status=503, times=2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await getattr(client.api_keys, method)(
            items, rate=10, retries=RetryConfig(initial_interval=0.001)
        )
        assert len(box.requests) == 3
        assert loop.time() - began >= 0.2 - 0.01


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": "5"}, "rate"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"on_wait": 5}, "on_wait"),
        ({"concurrency": 0}, "concurrency"),
    ],
    ids=str,
)
async def test_bad_bounds_are_named(options: dict[str, Any], name: str) -> None:
    """Nothing is sent."""
    async with Sandbox() as box, AsyncOpenRouter(box.management_key, server_url=box.url) as client:
        with pytest.raises((ConfigurationError, InvalidRequestError), match=f"^.*{name} "):
            await client.api_keys.get_many([HASH], **options)
        assert box.requests == []


async def test_a_clock_that_is_set_back_holds_nobody_up(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """A test that freezes the clock in another year leaves no pause of decades behind."""
    async with ScriptedServer(handler=Patient(1, **{"Retry-After": "1"})) as server:
        client = client_for(server, clock=clock)
        clock.advance(1e9)
        with pytest.raises(TooManyRequestsResponseError):
            await GET(client, retries=None)
        clock.advance(-1e9)
        await GET(client)
    assert clock.sleeps == []
