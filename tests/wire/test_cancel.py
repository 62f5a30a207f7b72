"""Fault 23: a call that is interrupted, wherever it waits, lets go of everything and says so."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from support import certificates
from support.calls import CALLS, CREATE, KEY, REPEATABLE, Call
from support.interrupt import Interruption, When
from support.leaks import no_leaks
from support.secrets import CapturedLogs, capture_logs
from support.server import ScriptedServer
from support.steps import Step, reply, reset

from openrouter_async import AsyncOpenRouter, RetryConfig

MOST_WAITS = 60
QUICK = RetryConfig(initial_interval=0)


async def later() -> str:
    """Return the key after a turn of the loop."""
    await asyncio.sleep(0)
    return KEY


@dataclass(frozen=True)
class Scenario:
    """What happens to the call that is interrupted."""

    steps: tuple[Step, ...] = ()
    """Answers before the one that is fine; those to a create refuse it."""
    options: dict[str, Any] = field(default_factory=dict)
    tls: bool = False

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[tuple[ScriptedServer, AsyncOpenRouter]]:
        """Return a server and a client with one connection slot; check that nothing stays open."""
        context = certificates.good_server() if self.tls else None
        options: dict[str, Any] = {"api_key": KEY, "ssl": certificates.trusting_client()}
        server = ScriptedServer(*self.steps, default=call.ok(), tls=context)
        async with no_leaks(), server:
            options |= {"server_url": server.api_url, "max_connections": 1, **self.options}
            async with AsyncOpenRouter(**options) as client:
                yield server, client


async def interrupt_everywhere(call: Call, when: When, scenario: Scenario) -> list[bool]:
    """Interrupt one call after another, each a wait later; tell which of them carried a note."""
    noted: list[bool] = []
    for at in range(1, MOST_WAITS):
        async with scenario(call) as (server, client):
            interruption = Interruption(at, when)
            with capture_logs() as logs:
                error = await interrupted(interruption(call(client)))
            if interruption.came_too_late:
                assert error is None
                return noted
            assert error is interruption.thrown
            noted.append(bool(notes(error)))
            assert len(warnings_of(logs)) == noted[-1]
            await asyncio.sleep(0.002)  # for what has left to arrive
            if call is CREATE and not noted[-1]:
                assert len(server.requests) <= len(scenario.steps)
            server._steps.clear()
            await asyncio.wait_for(call(client), 2)
    raise AssertionError("the call never ended")


async def interrupted(call: Awaitable[Any]) -> BaseException | None:
    """Await a call, and give what interrupted it; None: nothing."""
    try:
        await call
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        task = asyncio.current_task()
        while task and task.cancelling():
            task.uncancel()
        return error
    return None


def notes(error: BaseException | None) -> list[str]:
    """Return what was noted on an error."""
    return list(getattr(error, "__notes__", []))


def warnings_of(logs: CapturedLogs) -> list[str]:
    """Return the warnings about creates that may have left."""
    return [m for m in logs.messages(logging.WARNING) if "may have made a key" in m]


SCENARIOS = {
    "plain": Scenario(),
    "TLS": Scenario(tls=True),
    "key function": Scenario(options={"api_key": later}),
    "throttled": Scenario((reply(429),), {"retries": QUICK}),
    "throttled twice": Scenario((reply(429),) * 2, {"retries": QUICK, "api_key": later}),
}
WHENS: list[When] = ["at once", "when ready", "by Ctrl-C"]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("when", WHENS)
async def test_at_every_wait(call: Call, when: When, scenario: str) -> None:
    """Fault 23: the same exception, nothing left open, and the only connection slot is free.

    A create carries a note, and one WARNING is logged, exactly while it may have left.
    """
    noted = await interrupt_everywhere(call, when, SCENARIOS[scenario])
    assert len(noted) >= 3
    assert not noted[0]
    if call is CREATE:
        assert noted[-1]
        times_it_left = sum(now and not before for before, now in pairwise(noted))
        assert times_it_left == len(SCENARIOS[scenario].steps) + 1
    else:
        assert not any(noted)


REPEATED = Scenario((reply(503), reset()), {"retries": QUICK})


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
async def test_at_every_wait_of_a_repeated_call(call: Call) -> None:
    """Fault 23: the attempts of tenacity are interrupted as the first one is."""
    noted = await interrupt_everywhere(call, "at once", REPEATED)
    assert len(noted) >= 9
    assert not any(noted)
