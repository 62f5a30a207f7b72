"""What a call costs, counted and not timed: the same on every machine."""

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType

import pytest
from support.calls import GET, LIST, ClientFor, record
from support.server import ScriptedServer
from support.steps import reply

MOST_FUNCTIONS = 40
"""Functions of ours that a `get` or a page runs through, from the client's method to the socket.

Each costs 0.1 to 0.3 µs. Raise it for something that users gain by, and only as far as needed.
"""


async def functions_of(call: Callable[[], Awaitable[object]]) -> Counter[str]:
    """Count what a call runs of ours, by function; one that waits and goes on counts once."""
    frames: dict[int, FrameType] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        ours = frame.f_globals.get("__name__", "").startswith("openrouter_async")
        if event == "call" and ours:
            frames[id(frame)] = frame  # kept, so that no other gets its id

    gc.collect()
    gc.disable()  # else it would close clients of other tests, and that would count
    sys.setprofile(note)
    try:
        await call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return Counter(frame.f_code.co_qualname for frame in frames.values())


async def test_a_get_runs_few_functions(client_for: ClientFor) -> None:
    """The second one, over a connection that is open."""
    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server)
        await GET(client)
        ran = await functions_of(partial(GET, client))
    assert ran.total() <= MOST_FUNCTIONS, ran


async def test_a_page_costs_the_same_whatever_its_length(client_for: ClientFor) -> None:
    """No function of ours runs for each record."""
    totals: list[int] = []
    for records in (1, 100):
        page = reply(json={"data": [record()] * records})
        async with ScriptedServer(default=page) as server:
            client = client_for(server)
            await LIST(client)
            ran = await functions_of(partial(LIST, client))
        pieces = ran.pop("_Body.add")  # as many as the kernel made of it
        assert pieces >= 1
        totals.append(ran.total())
        assert ran.total() <= MOST_FUNCTIONS, ran
    assert totals[0] == totals[1]


async def test_a_call_sets_no_timer(client_for: ClientFor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of time share one: a timer for each call costs a tenth of the call."""
    loop = asyncio.get_running_loop()
    timers: list[object] = []
    original = loop.call_at

    def call_at(when: float, callback: Callable[..., object], *rest: object) -> object:
        timers.append(callback)
        return original(when, callback, *rest)

    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server)
        await GET(client)
        monkeypatch.setattr(loop, "call_at", call_at)
        for _ in range(50):
            await GET(client)
    assert not timers
