"""Interrupt a coroutine at its nth wait."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, Literal, TypeVar

T = TypeVar("T")
When = Literal["at once", "when ready", "by Ctrl-C"]


class Interruption:
    """Runs a coroutine and interrupts it the nth time that it waits.

    `await Interruption(n, when)(coroutine)` returns the coroutine's result. `at once`: it is
    cancelled as it starts to wait; `when ready`: it is cancelled when the result that it waits for
    is there, which is lost; `by Ctrl-C`: a KeyboardInterrupt is raised where it waits.
    """

    def __init__(self, at: int, when: When) -> None:
        """Prepare to interrupt the wait number `at`, counted from 1."""
        self.waits = 0
        """How many times the coroutine has waited."""
        self.thrown: BaseException | None = None
        """The exception thrown into the coroutine."""
        self._at = at
        self._when = when

    @property
    def came_too_late(self) -> bool:
        """Whether the coroutine ended before that wait, and so was not interrupted."""
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
            except BaseException as error:  # noqa: BLE001 - the coroutine handles it
                self.thrown = error
                step, value = coroutine.throw, error

    def _arrange(self, waits_for: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._when == "by Ctrl-C":
            return
        if self._when == "at once":
            task.cancel()
        elif waits_for is None:  # sleep(0): nothing to wait for but the loop's next iteration
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            waits_for.add_done_callback(lambda _: task.cancel())
