"""A client's life: closing, loops that come and go, and clients that nobody closed."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import Any

import aiohttp
import pytest
from support.calls import CALLS, CREATE, GET, HASH, KEY, LIST, Call, ClientFor
from support.clock import FakeClock
from support.leaks import no_leaks
from support.programs import complaints
from support.server import ScriptedServer, ThreadedServer
from support.steps import stall_body, stall_head

from openrouter_async import (
    AmbiguousCreateError,
    AsyncOpenRouter,
    ClientClosedError,
    OpenRouterError,
    WrongLoopError,
)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_closed_client(call: Call, client_for: ClientFor) -> None:
    """After `close`, also a second one, and after the `async with`, every call is refused."""
    async with ScriptedServer(default=call.ok()) as server:
        async with client_for(server) as client:
            await call(client)
        await client.close()
        await client.close()
        twin = client.with_options(timeout=3)
        for each in (client, twin):
            with pytest.raises(ClientClosedError, match="the client is closed"):
                await call(each)
        with pytest.raises(ClientClosedError):
            await client.__aenter__()
    assert len(server.requests) == 1


async def test_close_before_anything(client_for: ClientFor) -> None:
    """A client that was never used can be closed; one that was not entered can be used."""
    async with ScriptedServer(default=GET.ok()) as server:
        await client_for(server).close()
        async with client_for(server):
            pass
        await GET(client_for(server))
    assert len(server.requests) == 1


async def test_closing_a_twin_closes_all(client_for: ClientFor) -> None:
    """`with_options` shares the connections, so that closing one closes both."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server)
        twin = client.with_options(timeout=3)
        await GET(client)
        await GET(twin)
        await twin.close()
        with pytest.raises(ClientClosedError):
            await GET(client)
    assert [request.connection for request in server.requests] == [1, 1]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("step", [stall_head(), stall_body()], ids=lambda step: step.__name__)
async def test_closed_during_a_call(
    step: Any, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """A call under way ends at once; a create that was sent is ambiguous, not merely closed."""
    async with ScriptedServer(default=step) as server, no_leaks():
        client = client_for(server, clock=clock)
        task = asyncio.ensure_future(call(client))
        await server.arrived(1)
        await asyncio.sleep(0.01)
        await client.close()
        expected = AmbiguousCreateError if call is CREATE else ClientClosedError
        with pytest.raises(expected) as caught:
            await asyncio.wait_for(task, 2)
    assert len(server.requests) == 1
    assert clock.sleeps == []
    assert isinstance(caught.value, OpenRouterError)
    assert caught.value.operation == call.operation


async def test_closed_while_queueing(client_for: ClientFor) -> None:
    """Who waits for a connection when the client is closed is told so, and sends nothing."""
    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, max_connections=1, retries=None)
        first, second = (asyncio.ensure_future(call(client)) for call in (GET, CREATE))
        await server.arrived(1)
        await client.close()
        with pytest.raises(OpenRouterError):
            await first
        with pytest.raises(ClientClosedError) as caught:
            await second
    assert len(server.requests) == 1
    assert (caught.value.operation, caught.value.attempts) == ("create", 1)


async def test_another_running_loop(client_for: ClientFor) -> None:
    """While its own loop lives, a client refuses another one, and goes on working."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server)
        await GET(client)

        def elsewhere() -> None:
            with pytest.raises(WrongLoopError, match="another event loop"):
                asyncio.run(GET(client))

        await asyncio.to_thread(elsewhere)
        await GET(client)
    assert [request.connection for request in server.requests] == [1, 1]


def test_one_loop_after_another() -> None:
    """A client that outlives its loop opens anew in the next one, with all its settings."""
    with ThreadedServer(default=GET.ok()) as server:
        client = AsyncOpenRouter(KEY, server_url=server.api_url, http_referer="https://a.example")

        async def call_twice() -> None:
            await GET(client)
            await GET(client)

        for _ in range(3):
            asyncio.run(call_twice())
        asyncio.run(client.close())
    assert [request.connection for request in server.requests] == [1, 1, 2, 2, 3, 3]
    assert {r.header("HTTP-Referer") for r in server.requests} == {"https://a.example"}


def test_pause_ends_with_its_loop() -> None:
    """Slots and pause belong to a loop; what was cancelled in one does not block the next."""
    with ThreadedServer(default=stall_head()) as server:
        client = AsyncOpenRouter(KEY, server_url=server.api_url, max_connections=1)

        async def leave_one_hanging() -> None:
            task = asyncio.ensure_future(GET(client))
            await asyncio.to_thread(server.arrived, 1)
            del task

        asyncio.run(leave_one_hanging())
        server.script(default=GET.ok())
        asyncio.run(asyncio.wait_for(GET(client), 2))
        asyncio.run(client.close())
    assert len(server.requests) == 2


@pytest.mark.parametrize("whose", ["ours", "the caller's"])
def test_closed_outside_its_loop(whose: str) -> None:
    """The client is closed without its loop, which is stopped; a caller's connector stays open."""
    loop = asyncio.new_event_loop()

    async def call() -> tuple[AsyncOpenRouter, aiohttp.BaseConnector]:
        given = None if whose == "ours" else aiohttp.TCPConnector()
        client = AsyncOpenRouter(KEY, server_url=server.api_url, connector=given)
        await GET(client)
        [connector] = [given] if given else client._shared.transport._connectors.values()
        return client, connector

    with ThreadedServer(GET.ok()) as server:
        client, connector = loop.run_until_complete(call())
        asyncio.run(asyncio.wait_for(client.close(), 5))
        assert connector.closed == (whose == "ours")
        loop.run_until_complete(connector.close())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_connector_of_another_loop() -> None:
    """A caller's connector lives in one loop; in another the client says what is wrong."""

    async def connect() -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector()

    connector = asyncio.run(connect())
    client = AsyncOpenRouter(KEY, server_url="http://127.0.0.1:9", connector=connector)
    with pytest.raises(WrongLoopError, match="the connector passed to the client"):
        asyncio.run(GET(client))
    asyncio.run(client.close())


async def test_left_open(client_for: ClientFor) -> None:
    """Fault 29: a client that is dropped unclosed warns once, by its own name, and lets go."""
    async with ScriptedServer(default=GET.ok()) as server, no_leaks():
        client = AsyncOpenRouter(KEY, server_url=server.api_url)
        twin = client.with_options(timeout=3)
        await asyncio.gather(*(GET(client) for _ in range(3)))
        await GET(twin)
        del client
        gc.collect()
        with warnings.catch_warnings(record=True, action="always") as warned:
            del twin
            gc.collect()
            await asyncio.sleep(0.01)
            gc.collect()
    assert [str(warning.message) for warning in warned] == [
        f"unclosed client AsyncOpenRouter(server_url='{server.api_url}')"
    ]


async def test_dropped_without_a_reason_to_warn(client_for: ClientFor) -> None:
    """A client that was closed, or opened nothing, is dropped silently."""
    async with ScriptedServer(default=LIST.ok()) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client = AsyncOpenRouter(KEY, server_url=server.api_url)
            del client
            client = AsyncOpenRouter(KEY, server_url=server.api_url)
            await LIST(client)
            await client.close()
            del client
            with pytest.raises(OpenRouterError):
                AsyncOpenRouter(KEY, server_url="nowhere")
            gc.collect()


def in_development_mode(body: str, server: ThreadedServer) -> subprocess.CompletedProcess[str]:
    """Run a program with a client, where every warning is an error."""
    program = f"""
import asyncio, gc, sys
from openrouter_async import AsyncOpenRouter
client = AsyncOpenRouter("{KEY}", server_url=sys.argv[1])
async def calls():
    await asyncio.gather(*(client.api_keys.list() for _ in range(3)))
    await client.api_keys.get("{HASH}")
{textwrap.dedent(body)}
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, server.api_url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def answer_all() -> ThreadedServer:
    """Make a server for `in_development_mode`."""
    return ThreadedServer(
        handler=lambda request: LIST.ok() if request.target.endswith("/keys") else GET.ok()
    )


def test_several_loops_in_development_mode() -> None:
    """A client used in three loops and closed in the last leaves nothing to warn of."""
    with answer_all() as server:
        done = in_development_mode(
            """
            async def close():
                await calls()
                await client.close()
            asyncio.run(calls())
            gc.collect()
            asyncio.run(calls())
            gc.collect()
            asyncio.run(close())
            """,
            server,
        )
    assert (done.returncode, done.stdout, complaints(done.stderr)) == (0, "", "")
    assert len(server.requests) == 12


LEFT_OPEN = {
    "at exit": """
        asyncio.run(calls())
        asyncio.run(calls())
        """,
    "in a live loop": """
        async def drop():
            global client
            await calls()
            del client
            gc.collect()
            await asyncio.sleep(0.05)
        asyncio.run(drop())
        """,
}


@pytest.mark.parametrize("when", LEFT_OPEN)
def test_left_open_in_development_mode(when: str) -> None:
    """Fault 29: left open, there is exactly one warning, ours, and the exit code is 0."""
    with answer_all() as server:
        done = in_development_mode(LEFT_OPEN[when], server)
    assert (done.returncode, done.stdout) == (0, "")
    named = [line for line in done.stderr.splitlines() if "Warning: " in line]
    client = f"AsyncOpenRouter(server_url='{server.api_url}')"
    assert named == [f"ResourceWarning: unclosed client {client}"]


def test_exit_during_a_call_in_development_mode() -> None:
    """A loop that ends while calls are under way leaves no connection behind."""
    with ThreadedServer(default=stall_head()) as server:
        done = in_development_mode(
            """
            async def main():
                hanging = asyncio.ensure_future(calls())
                await asyncio.sleep(0.1)
            asyncio.run(main())
            asyncio.run(client.close())
            """,
            server,
        )
    assert (done.returncode, done.stdout, complaints(done.stderr)) == (0, "", "")


async def test_thousand_openings(client_for: ClientFor) -> None:
    """Clients that are opened and closed leave nothing behind."""
    async with ScriptedServer(default=GET.ok()) as server, no_leaks():
        threads = threading.active_count()
        for _ in range(100):
            async with AsyncOpenRouter(KEY, server_url=server.api_url) as client:
                await GET(client)
        assert threading.active_count() == threads
    assert server.connections == 100
