"""Time limits behave as `asyncio.timeout` does, and all of them share one timer."""

import asyncio
from collections.abc import Callable

import pytest

from openrouter_async._deadlines import Deadline, Deadlines


@pytest.fixture
async def deadlines() -> Deadlines:
    """Those of the running loop."""
    return Deadlines(asyncio.get_running_loop())


@pytest.mark.parametrize("seconds", [-1, 0, 0.01])
async def test_what_takes_too_long_is_ended(deadlines: Deadlines, seconds: float) -> None:
    """A limit in the past ends it too, at its first wait; the task goes on as if uncancelled."""
    with pytest.raises(TimeoutError), Deadline(deadlines, seconds):
        await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.02)


async def test_what_ends_in_time_is_left_alone(deadlines: Deadlines) -> None:
    """Also when the limit passes later, in the same task."""
    with Deadline(deadlines, 0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)


async def test_an_error_of_the_block_is_not_replaced(deadlines: Deadlines) -> None:
    """Nor is it when the limit had passed already."""

    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Deadline(deadlines, 0):
        await fail()


async def test_each_task_has_its_own(deadlines: Deadlines) -> None:
    """They expire in the order of their limits, whatever the order in which they began."""
    ended: list[float] = []

    async def work(seconds: float) -> None:
        try:
            with Deadline(deadlines, seconds):
                await asyncio.sleep(60)
        except TimeoutError:
            ended.append(seconds)

    limits = [0.05, 0.01, 0.07, 0.03]
    await asyncio.gather(*map(work, limits))
    assert ended == sorted(limits)


async def test_a_shortened_limit(deadlines: Deadlines) -> None:
    """It counts from then on; a longer one changes nothing."""

    async def work() -> str:
        try:
            with Deadline(deadlines, 60) as deadline:
                deadline.shorten(0.02)
                deadline.shorten(30)
                await asyncio.sleep(60)
        except TimeoutError:
            return "expired"
        return "slept"

    assert await asyncio.wait_for(work(), 20) == "expired"


async def test_one_limit_inside_another(deadlines: Deadlines) -> None:
    """The outer one ends both, and the inner one does not claim it."""
    inner: list[type[BaseException]] = []

    async def work() -> None:
        try:
            with Deadline(deadlines, 30):
                await asyncio.sleep(60)
        except BaseException as error:
            inner.append(type(error))
            raise

    with pytest.raises(TimeoutError), Deadline(deadlines, 0.01):
        await work()
    assert inner == [asyncio.CancelledError]


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_cancellation_from_outside_has_the_last_word(
    deadlines: Deadlines, *, cancel_first: bool
) -> None:
    """Though the limit passes in the same turn of the loop."""
    entered = asyncio.Event()

    async def work() -> None:
        with Deadline(deadlines, 60) as deadline:
            actions: list[Callable[[], object]] = [task.cancel, deadline.expire]
            for action in actions if cancel_first else reversed(actions):
                asyncio.get_running_loop().call_soon(action)
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_was_cancelled_before_can_still_time_out(deadlines: Deadlines) -> None:
    """An earlier cancellation that was caught is none of the block's."""
    caught = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            caught.set()
        with pytest.raises(TimeoutError), Deadline(deadlines, 0.01):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert caught.is_set()


async def test_a_thousand_limits_need_one_timer(
    deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is set only when the first has fired, for what is under way by then."""
    loop = asyncio.get_running_loop()
    set_for: list[float] = []
    original = loop.call_at

    def call_at(when: float, *rest: object, **named: object) -> asyncio.TimerHandle:
        if rest[0] == deadlines._expire_the_due:
            set_for.append(when)
        return original(when, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", call_at)

    async def work() -> None:
        for _ in range(10):
            with Deadline(deadlines, 0.05):
                await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(100)))
    assert len(set_for) == 1
    with pytest.raises(TimeoutError), Deadline(deadlines, 0.1):
        await asyncio.sleep(60)
    assert len(set_for) == 2


def test_there_must_be_a_task() -> None:
    """As for `asyncio.timeout`: outside of one there is nothing to cancel."""
    loop = asyncio.new_event_loop()
    try:
        deadlines = Deadlines(loop)
        errors: list[BaseException] = []

        def callback() -> None:
            try:
                with Deadline(deadlines, 1):
                    pass
            except RuntimeError as error:
                errors.append(error)
            loop.stop()

        loop.call_soon(callback)
        loop.run_forever()
    finally:
        loop.close()
    assert [str(error) for error in errors] == ["a call must be awaited in a task"]
