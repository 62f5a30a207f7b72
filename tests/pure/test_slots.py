"""Slots for calls at once: never more than there are, in turn, and none is lost by a cancel."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ

from openrouter_async._slots import Slots

Steps = list[tuple[str, int]]
STEPS: st.SearchStrategy[Steps] = st.lists(
    st.tuples(st.sampled_from(["begin", "end", "cancel", "run"]), st.integers(0, 9)), max_size=40
)


@dataclass(eq=False)
class Caller:
    """One call: it takes a slot, holds it until it may go, and gives it back."""

    slots: Slots
    waited: bool = False
    may_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, holders: list["Caller"]) -> None:
        """Hold a slot as `Call` does."""
        if not self.slots.take_if_free():
            self.waited = True
            await self.slots.take()
        holders.append(self)
        try:
            await self.may_go.wait()
        finally:
            self.slots.give_back()


async def play(count: int, steps: Steps) -> None:
    """Carry out the steps; check the bound, the order, and that all slots are free at the end."""
    slots = Slots(count)
    callers: list[tuple[Caller, asyncio.Task[None]]] = []
    holders: list[Caller] = []
    for what, number in steps:
        if what == "begin":
            caller = Caller(slots)
            callers.append((caller, asyncio.ensure_future(caller.run(holders))))
        elif what == "run":
            await asyncio.sleep(0)
        elif callers:
            caller, task = callers[number % len(callers)]
            caller.may_go.set() if what == "end" else task.cancel()
        running = [caller for caller, task in callers if caller in holders and not task.done()]
        assert len(running) <= count
    for caller, _ in callers:
        caller.may_go.set()
    await asyncio.gather(*(task for _, task in callers), return_exceptions=True)
    turns = deque(caller for caller, _ in callers)
    for holder in holders:
        # Those that waited got their turns in the order in which they asked. One that did not wait
        # may run before another to which a slot has passed already.
        while holder.waited and turns.popleft() is not holder:
            pass
    assert [slots.take_if_free() for _ in range(count + 1)] == [True] * count + [False]


@given(count=st.integers(1, 3), steps=STEPS)
@FUZZ
def test_whatever_happens(count: int, steps: Steps) -> None:
    """Callers that begin, end and are cancelled in any order."""
    asyncio.run(play(count, steps))


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_cancelled_together_with_its_turn(*, cancelled_first: bool) -> None:
    """A slot that passes to a call in the moment of its cancellation passes on to the next."""
    slots = Slots(1)
    assert slots.take_if_free()
    first, second = (asyncio.ensure_future(slots.take()) for _ in range(2))
    await asyncio.sleep(0)
    if cancelled_first:
        first.cancel()
    slots.give_back()
    first.cancel()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()
    assert not slots.take_if_free()


async def test_newcomers_do_not_overtake() -> None:
    """A slot given back belongs to the one that waits, even before it has run."""
    slots = Slots(1)
    assert slots.take_if_free()
    waiting = asyncio.ensure_future(slots.take())
    await asyncio.sleep(0)
    slots.give_back()
    assert not slots.take_if_free()
    await waiting
