"""`timeout` and `total_timeout`, on the real clock: who counts what, and that they hold."""

import asyncio
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, LIST, Call, ClientFor, record
from support.clock import FakeClock
from support.ports import mute_port, unconnectable_port
from support.punctual import due_in
from support.server import ScriptedServer
from support.steps import Step, delay, drip, reply, stall_body, stall_head
from support.wire import Connection, Request

from openrouter_async import (
    AmbiguousCreateError,
    APITimeoutError,
    OpenRouterDefaultError,
    OpenRouterError,
    RetryConfig,
)

PAGE = b'{"data": [' + b" " * 400 + b"]}"
SLOW: dict[str, Step] = {
    "no head": stall_head(),
    "half a head": stall_head(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no body": stall_body(PAGE, sent=0),
    "half a body": stall_body(PAGE, sent=100),
    "dripping head": drip(PAGE, every=0.1, with_head=True),
    "dripping body": drip(PAGE, every=0.1),
    "half a 503": stall_body(PAGE, sent=100, status=503),
    "dripping 500": drip(PAGE, every=0.1, status=500),
}


@pytest.mark.parametrize("case", SLOW)
async def test_total_timeout_holds(case: str, client_for: ClientFor) -> None:
    """Fault 15: however the answer trickles, the call ends with its deadline, and hangs up."""
    async with ScriptedServer(default=SLOW[case]) as server:
        client = client_for(server, total_timeout=0.3)
        async with due_in(0.3):
            errors = await asyncio.gather(LIST(client), CREATE(client), return_exceptions=True)
        await server.until(lambda: all(r.client_closed_early for r in server.requests))
    assert len(server.requests) == 2
    assert [type(error) for error in errors] == [APITimeoutError, AmbiguousCreateError]
    assert all("no response within the total_timeout of 0.3 s" in str(error) for error in errors)


@pytest.mark.parametrize("case", ["no head", "half a body", "dripping body"])
async def test_timeout_is_one_attempt(case: str, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 15: `timeout` ends an attempt; the next one has as much time again."""
    async with ScriptedServer(default=SLOW[case]) as server:
        client = client_for(server, clock=clock, timeout=0.2)
        async with due_in(0.6):
            with pytest.raises(APITimeoutError, match=r"within the timeout of 0\.2 s") as caught:
                await GET(client)
    assert len(server.requests) == caught.value.attempts == 3


async def test_total_timeout_cuts_the_last_attempt(client_for: ClientFor) -> None:
    """The last attempt has what the deadline leaves, be it less than `timeout`."""
    quick = RetryConfig(initial_interval=0)
    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, retries=quick, timeout=0.3, total_timeout=0.6)
        async with due_in(0.6):
            with pytest.raises(APITimeoutError, match="total_timeout") as caught:
                await GET(client)
    assert len(server.requests) == caught.value.attempts == 2


async def test_real_waits_count_into_the_total(client_for: ClientFor) -> None:
    """A wait that would cross the deadline is not begun, on the real clock, too."""
    busy = reply(503, headers={"Retry-After": "0.3"})
    async with ScriptedServer(default=busy) as server:
        client = client_for(server, total_timeout=0.55, retries=RetryConfig(initial_interval=0))
        async with due_in(0.3):
            with pytest.raises(OpenRouterDefaultError) as caught:
                await GET(client)
    assert len(server.requests) == caught.value.attempts == 2


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
@pytest.mark.parametrize("port_of", [unconnectable_port, mute_port])
async def test_deadline_while_connecting(port_of: Any, call: Call, client_for: ClientFor) -> None:
    """Nothing was sent: a time-out, and definite for a create."""
    with port_of() as port:
        client = client_for(f"https://127.0.0.1:{port}/api/v1", total_timeout=0.2)
        async with due_in(0.2):
            with pytest.raises(APITimeoutError, match=r"no connection within the total") as caught:
                await call(client)
    assert not isinstance(caught.value, AmbiguousCreateError)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_per_call_time_outs(call: Call, client_for: ClientFor) -> None:
    """Each call may have its own; the nearer of the two ends it."""
    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, timeout=0.1, retries=None).with_options(timeout=9)
        async with due_in(0.15):
            with pytest.raises(OpenRouterError, match=r"within the timeout of 0\.15 s"):
                await call(client, timeout=0.15)


class Floor:
    """Counts how many requests are being answered at the same time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0
        self.most = 0

    async def __call__(self, connection: Connection, request: Request) -> None:
        """Answer after a while."""
        self.now += 1
        self.most = max(self.most, self.now)
        await connection.sleep(self.seconds)
        self.now -= 1
        await GET.ok()(connection, request)


async def test_thousand_tasks_on_a_hundred_connections(client_for: ClientFor) -> None:
    """Fault 24: the queue for a connection takes longer than `timeout`, and nobody times out."""
    floor = Floor(0.4)
    async with ScriptedServer(default=floor) as server:
        client = client_for(server, timeout=4.0, retries=None)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(GET(client) for _ in range(1000)))
        took = asyncio.get_running_loop().time() - began
    assert len(server.requests) == 1000
    assert floor.most == 100
    assert server.connections <= 100
    assert took >= 4.0


async def test_only_the_total_counts_the_queue(client_for: ClientFor) -> None:
    """Fault 24: a call that gets no connection before its deadline was not sent."""
    async with ScriptedServer(delay(0.5, GET.ok()), default=CREATE.ok()) as server:
        client = client_for(server, max_connections=1, timeout=9)
        holder = asyncio.create_task(GET(client))
        await server.arrived(1)
        async with due_in(0.2):
            with pytest.raises(APITimeoutError, match="no connection within the total") as caught:
                await CREATE(client, total_timeout=0.2)
        assert not isinstance(caught.value, AmbiguousCreateError)
        await holder
        await CREATE(client)
    assert [request.method for request in server.requests] == ["GET", "POST"]


async def test_no_slot_is_held_while_waiting(client_for: ClientFor) -> None:
    """A call that backs off leaves its connection to the others."""
    busy = reply(503, headers={"Retry-After": "0.3"})
    async with ScriptedServer(busy, default=GET.ok()) as server:
        client = client_for(server, max_connections=1)
        first = asyncio.create_task(GET(client))
        await server.arrived(1)
        others = [GET(client) for _ in range(5)]
        await asyncio.gather(*others)
        assert not first.done()
        await first
    assert len(server.requests) == 7


async def test_queue_is_served_in_turn(client_for: ClientFor) -> None:
    """Who waits longest for a connection is next."""
    hashes = [f"{number:064x}" for number in range(20)]
    answers = [delay(0.01, reply(json={"data": record(hash=hash)})) for hash in hashes]
    async with ScriptedServer(*answers) as server:
        client = client_for(server, max_connections=1)
        await asyncio.gather(*map(client.api_keys.get, hashes))
    assert [request.target.rpartition("/")[2] for request in server.requests] == hashes
