"""Closing a client ends what it does at once, wherever it is, and leaves nothing behind."""

import asyncio
import contextvars
import gc
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from support.calls import CREATE, DELETE, GET, ClientFor
from support.leaks import no_leaks
from support.server import ScriptedServer
from support.steps import close_before_head, reply, stall_head

from openrouter_async import (
    AmbiguousCreateError,
    AsyncOpenRouter,
    ClientClosedError,
    RetryConfig,
    WrongLoopError,
)
from openrouter_async._retry import SystemClock


class Patient(SystemClock):
    """Waits as long as it may."""

    def jitter(self, upper: float) -> float:
        """Return all of it."""
        return upper


async def forever(*_: Any, **__: Any) -> Any:
    """Stand in for what the network never answers."""
    await asyncio.sleep(3600)


class Asleep(threading.Event):
    """What blocks a thread until the test is over."""

    def wait(self, *_: Any, **__: Any) -> Any:
        """Stand in for a resolver that hangs, and then knows nothing."""
        super().wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "woken up")


@pytest.fixture
def asleep() -> Iterator[Asleep]:
    """Hangs until the test is over."""
    asleep = Asleep()
    yield asleep
    asleep.set()


@pytest.fixture
async def connector() -> AsyncIterator[aiohttp.TCPConnector]:
    """A connector of the caller's own."""
    connector = aiohttp.TCPConnector()
    yield connector
    await connector.close()


async def closed_during(client: AsyncOpenRouter, call: Callable[..., Awaitable[Any]]) -> Any:
    """Close the client while it makes a call, and give the call's error."""
    task = asyncio.ensure_future(call(client))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(ClientClosedError) as caught:
        await asyncio.wait_for(task, 2)
    return caught.value


@pytest.mark.parametrize("step", ["getaddrinfo", "sock_connect"])
@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
async def test_while_it_connects(
    step: str, call: Any, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch, asleep: Asleep
) -> None:
    """Nothing was sent, so that nothing is ambiguous, and nobody was cancelled."""
    async with ScriptedServer(default=call.ok()) as server:
        if step == "getaddrinfo":
            monkeypatch.setattr(socket, step, asleep.wait)
        else:
            monkeypatch.setattr(asyncio.get_running_loop(), step, forever)
        client = client_for(server.api_url.replace("127.0.0.1", "localhost"))
        error = await closed_during(client, call)
    assert server.requests == []
    assert (error.operation, error.attempts) == (call.operation, 1)


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
async def test_while_tls_is_set_up(call: Any, client_for: ClientFor) -> None:
    """The kernel took the connection, and nobody says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_for(f"https://127.0.0.1:{listener.getsockname()[1]}/api/v1")
        error = await closed_during(client, call)
    assert error.operation == call.operation


async def test_in_a_group_of_tasks(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch, asleep: Asleep
) -> None:
    """The group fails: a call that seems cancelled would be dropped without a word."""
    monkeypatch.setattr(socket, "getaddrinfo", asleep.wait)
    client = client_for("http://localhost:9/api/v1")

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(GET(client))  # type: ignore[arg-type]
            await asyncio.sleep(0.05)
            await client.close()

    with pytest.raises(ExceptionGroup) as caught:
        await work()
    assert [type(error) for error in caught.value.exceptions] == [ClientClosedError]


async def test_over_a_connector_of_the_callers(
    client_for: ClientFor, connector: aiohttp.TCPConnector
) -> None:
    """It stays open, so that closing it cannot be what ends the call."""
    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, connector=connector)
        get, create = (asyncio.ensure_future(call(client)) for call in (GET, CREATE))
        await server.arrived(2)
        await client.close()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(get, 2)
        with pytest.raises(AmbiguousCreateError):
            await asyncio.wait_for(create, 2)
    assert not connector.closed


async def test_while_such_a_connector_connects(
    client_for: ClientFor, connector: aiohttp.TCPConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends, and the connector is as it was."""
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", forever)
    await closed_during(client_for("http://127.0.0.1:9/api/v1", connector=connector), CREATE)
    assert not connector.closed


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
async def test_while_it_waits_to_try_again(call: Any, client_for: ClientFor) -> None:
    """Or while others are asked to wait: nobody sleeps on."""
    async with ScriptedServer(default=reply(429, headers={"Retry-After": "30"})) as server:
        client = client_for(server)
        first = asyncio.ensure_future(call(client))
        await server.arrived(1)
        await asyncio.sleep(0.05)
        await closed_during(client, call)
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(first, 2)
    assert len(server.requests) == 1


async def test_nothing_is_sent_once_it_has_begun(client_for: ClientFor) -> None:
    """Who is woken from a wait finds no session that is still to be closed."""
    async with ScriptedServer(GET.ok(), CREATE.ok(), reply(503), default=DELETE.ok()) as server:
        client = client_for(server, retries=RetryConfig(initial_interval=30, max_interval=30))
        await GET(client)
        await CREATE(client)
        client._shared.clock = Patient()
        await closed_during(client, DELETE)
        await asyncio.sleep(0.05)
    assert [request.method for request in server.requests] == ["GET", "POST", "DELETE"]


async def test_a_close_that_is_cancelled(client_for: ClientFor) -> None:
    """Everything is closed nevertheless."""
    async with ScriptedServer(GET.ok(), CREATE.ok()) as server, no_leaks():
        client = client_for(server)
        await GET(client)
        await CREATE(client)
        closing = asyncio.ensure_future(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        await client.close()
        assert client._shared.transport._connectors == {}


async def test_from_another_running_loop(client_for: ClientFor) -> None:
    """Its own loop has to do that; the refusal changes nothing."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server)
        await GET(client)
        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(asyncio.run, client.close())
        await GET(client)


async def test_from_within_a_call(client_for: ClientFor) -> None:
    """A function for the key that closes the client does not cancel itself."""
    client: AsyncOpenRouter

    async def close() -> str:
        await client.close()
        return "sk-or-v1-never-sent"

    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, api_key=close)
        with pytest.raises(ClientClosedError):
            await GET(client)
    assert server.requests == []


async def test_no_timer_outlives_the_client(client_for: ClientFor) -> None:
    """However long its limits are."""
    loop: Any = asyncio.get_running_loop()
    async with ScriptedServer(default=GET.ok()) as server, no_leaks():
        client = client_for(server, timeout=86_400, total_timeout=86_400)
        await GET(client)
        timer = client._shared.deadlines._timer
        assert timer is not None
        await client.close()
    assert timer.cancelled()
    assert not [handle for handle in loop._scheduled if not handle.cancelled()]


async def test_no_callers_context_is_kept(client_for: ClientFor) -> None:
    """What the first caller had in its context is free, though the client goes on."""

    class CreateTrace:
        """What a web framework keeps in a context."""

    variable: contextvars.ContextVar[CreateTrace] = contextvars.ContextVar("trace")

    async def first() -> weakref.ref[CreateTrace]:
        trace = CreateTrace()
        variable.set(trace)
        await GET(client)
        return weakref.ref(trace)

    async with ScriptedServer(
        GET.ok(close=True), close_before_head(), default=GET.ok(close=True)
    ) as server:
        client = client_for(server)
        trace = await asyncio.create_task(first())
        await GET(client)
        gc.collect()
        assert trace() is None
