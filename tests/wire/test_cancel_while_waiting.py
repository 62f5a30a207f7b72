"""Fault 23: interruptions where a call waits for something else than its answer."""

import asyncio
import logging
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, Call, ClientFor
from support.interrupt import Interruption, When
from support.leaks import no_leaks
from support.ports import mute_port, unconnectable_port
from support.secrets import capture_logs
from support.server import ScriptedServer
from support.steps import delay, hold, reply, stall_body, stall_head

from openrouter_async import AmbiguousCreateError, APITimeoutError

THROTTLED = reply(429, headers={"Retry-After": "5"})


def notes(error: BaseException) -> list[str]:
    """Return what was noted on an error."""
    return list(getattr(error, "__notes__", []))


async def cancelled(task: asyncio.Task[Any]) -> asyncio.CancelledError:
    """Cancel a task, and give what it ended with."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_in_the_queue(call: Call, client_for: ClientFor) -> None:
    """Fault 23: whoever leaves the queue for a connection sent nothing, and holds nobody up."""
    go_on = asyncio.Event()
    first = hold(go_on, GET.ok())
    async with ScriptedServer(first, default=call.ok()) as server, no_leaks():
        client = client_for(server, max_connections=1)
        holder = asyncio.ensure_future(GET(client))
        await server.arrived(1)
        leaving = [asyncio.ensure_future(call(client)) for _ in range(5)]
        staying = asyncio.ensure_future(call(client))
        await asyncio.sleep(0)
        for task in leaving:
            assert notes(await cancelled(task)) == []
        go_on.set()
        await asyncio.gather(holder, staying)
        await client.close()
    assert len(server.requests) == 2


@pytest.mark.parametrize("when", ["at once", "when ready"])
async def test_as_its_turn_comes(when: When, client_for: ClientFor) -> None:
    """Fault 23: a slot that is given to a call that is cancelled meanwhile goes to the next."""
    async with ScriptedServer(delay(0.02, GET.ok()), default=CREATE.ok()) as server:
        client = client_for(server, max_connections=1)
        holder = asyncio.ensure_future(GET(client))
        await server.arrived(1)
        leaving = asyncio.ensure_future(Interruption(1, when)(CREATE(client)))
        await asyncio.sleep(0)
        staying = asyncio.ensure_future(CREATE(client))
        with pytest.raises(asyncio.CancelledError) as caught:
            await leaving
        await asyncio.wait_for(asyncio.gather(holder, staying), 2)
        await asyncio.wait_for(CREATE(client), 2)
    assert notes(caught.value) == []
    assert len(server.requests) == 3


async def test_during_the_pause(client_for: ClientFor) -> None:
    """Fault 23: whoever waits out a pause of the service sent nothing."""
    async with ScriptedServer(default=THROTTLED) as server, no_leaks():
        client = client_for(server)
        throttled = asyncio.ensure_future(GET(client))
        await server.until(lambda: client._shared.pacer.paused_until > 0)
        waiting = [asyncio.ensure_future(CREATE(client)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in (*waiting, throttled):
            assert notes(await cancelled(task)) == []
        await client.close()
    assert len(server.requests) == 1


async def test_between_attempts(client_for: ClientFor) -> None:
    """Fault 23: a create that was throttled and waits to go out again was not made."""
    async with ScriptedServer(default=THROTTLED) as server, no_leaks():
        client = client_for(server)
        task = asyncio.ensure_future(CREATE(client))
        await server.until(lambda: client._shared.pacer.paused_until > 0)
        assert notes(await cancelled(task)) == []
        await client.close()
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
@pytest.mark.parametrize("port_of", [unconnectable_port, mute_port])
async def test_while_connecting(port_of: Any, call: Call, client_for: ClientFor) -> None:
    """Fault 23: neither a connection nor a TLS handshake that hangs leaves anything behind."""
    with port_of() as port:
        async with no_leaks():
            client = client_for(f"https://127.0.0.1:{port}/api/v1")
            task = asyncio.ensure_future(call(client))
            await asyncio.sleep(0.05)
            assert notes(await cancelled(task)) == []
            await client.close()


@pytest.mark.parametrize("step", [stall_head(), stall_body(status=201)], ids=lambda s: s.__name__)
@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_waiting_for_the_answer(step: Any, call: Call, client_for: ClientFor) -> None:
    """Fault 23: the connection is closed at once; a create says when, and which name."""
    with capture_logs() as logs:
        async with ScriptedServer(step) as server, no_leaks():
            client = client_for(server)
            task = asyncio.ensure_future(call(client))
            await server.arrived(1)
            await asyncio.sleep(0.01)
            error = await cancelled(task)
            await server.until(lambda: server.requests[0].outcome == "client_closed")
            await client.close()
    warned = [m for m in logs.messages(logging.WARNING) if "create" in m]
    if call is CREATE:
        (note,) = notes(error)
        assert "may have made a key named 'acme'" in note
        assert len(warned) == 1
        assert "acme" not in warned[0]
    else:
        assert (notes(error), warned) == ([], [])


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_time_out_of_the_callers(call: Call, client_for: ClientFor) -> None:
    """Fault 23: `asyncio.timeout` around a call is the caller's own, and no time-out of ours."""
    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server)

        async def limited() -> None:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await call(client)

        limits: list[asyncio.Timeout] = []
        task = asyncio.ensure_future(limited())
        await server.arrived(1)
        limits[0].reschedule(0)
        with pytest.raises(TimeoutError) as caught:
            await task
    assert not isinstance(caught.value, (APITimeoutError, AmbiguousCreateError))
    cancellation = caught.value.__context__  # and its cause, in all but the first 3.11
    assert isinstance(cancellation, asyncio.CancelledError)
    assert bool(notes(cancellation)) == (call is CREATE)


async def together(*calls: Any) -> None:
    """Await all of them in one group."""
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call)


async def test_one_of_many(client_for: ClientFor) -> None:
    """Fault 23: the failure of one of a group cancels the others, and frees all connections."""

    async def fail() -> None:
        await server.arrived(10)
        raise LookupError

    async with ScriptedServer(default=stall_head()) as server, no_leaks():
        client = client_for(server, max_connections=10)
        with pytest.raises(ExceptionGroup) as caught:
            await together(*(GET(client) for _ in range(30)), fail())
        assert len(server.requests) == 10
        server.script(default=GET.ok())
        await asyncio.wait_for(asyncio.gather(*(GET(client) for _ in range(20))), 2)
        await client.close()
    assert caught.group_contains(LookupError)
