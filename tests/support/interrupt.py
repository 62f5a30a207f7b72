"""Interrupt a coroutine where it waits: at its first `await`, its second, and so on."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, Literal, TypeVar

T = TypeVar("T")
When = Literal["at once", "when ready", "by Ctrl-C"]


class Interruption:
    """Runs a coroutine and interrupts it the nth time that it waits.

    `await Interruption(n, when)(coroutine)` gives what the coroutine gives. `at once`: it is
    cancelled as it begins to wait; `when ready`: what it waited for has come, and is lost;
    `by Ctrl-C`: a KeyboardInterrupt is raised where it waits.
    """

    def __init__(self, at: int, when: When) -> None:
        """Prepare it."""
        self.waits = 0
        """How often the coroutine has waited."""
        self.thrown: BaseException | None = None
        """What was thrown into the coroutine."""
        self._at = at
        self._when = when

    @property
    def came_too_late(self) -> bool:
        """Whether the coroutine waited less often than that, and was not interrupted."""
        return self.waits < self._at

    @types.coroutine
    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Run the coroutine in the current task."""
        step = coroutine.send
        value: Any = None
        while True:
            try:
                waits_for = step(value)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            self.waits += 1
            if self.waits == self._at:
                self._arrange(waits_for)
            step, value = coroutine.send, None
            try:
                if self.waits == self._at and self._when == "by Ctrl-C":
                    raise KeyboardInterrupt  # noqa: TRY301 - as a signal handler would
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                self.thrown = error
                step, value = coroutine.throw, error

    def _arrange(self, waits_for: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._when == "by Ctrl-C":
            return
        if self._when == "at once":
            task.cancel()
        elif waits_for is None:  # a bare turn of the loop
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            waits_for.add_done_callback(lambda _: task.cancel())
