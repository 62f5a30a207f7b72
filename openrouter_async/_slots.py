"""Slots for a number of calls at once: like `asyncio.Semaphore`, at a tenth of its cost."""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class Slots:
    """A number of slots; calls that wait for one get it in turn."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        """Always 0 while somebody waits, since a slot given back passes on to them."""
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    def take_if_free(self) -> bool:
        """Take a slot if there is one; return whether there was."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def take(self) -> None:
        """Wait for a slot that someone gives back."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await turn
        except BaseException:
            self._waiting.pop(turn, None)
            if turn.done() and not turn.cancelled():  # cancelled only after it got the slot
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give a slot back: to the one that has waited longest, if any."""
        while self._waiting:
            turn, _ = self._waiting.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
