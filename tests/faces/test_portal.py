"""The blocking client's thread: what raises in it, what ends it, and who waits for it."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from support.calls import GET, HASH, KEY
from support.server import ThreadedServer
from support.steps import Step, hold, reply
from support.wire import Request

from openrouter_async import (
    ClientClosedError,
    NotFoundResponseError,
    OpenRouter,
    OpenRouterError,
    SinkError,
    WrongLoopError,
)
from openrouter_async.provisioning import CallableSink
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox

T = TypeVar("T")
WITHIN = 10.0


class Meltdown(BaseException):
    """Nobody's, and no `Exception`."""


def begin(work: Callable[[], T]) -> Future[T]:
    """Do work in a daemon thread, so that a call that hangs fails its test and holds no exit."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is the test's to judge
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


class Bomb:
    """A callback that raises until it is defused."""

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error

    def __call__(self, *_: object) -> Any:
        """Raise, or give a key."""
        if self.error is not None:
            raise self.error
        return KEY

    async def later(self, *_: object) -> Any:
        """Do the same, after a turn of the loop."""
        await asyncio.sleep(0)
        return self()


Use = Callable[[Sandbox, Bomb], tuple[OpenRouter, Callable[[OpenRouter], object]]]


def client_of(box: Sandbox, **options: Any) -> OpenRouter:
    """A client of the sandbox."""
    return OpenRouter(**{"api_key": box.management_key, "server_url": box.url, **options})


def hashes(box: Sandbox) -> list[str]:
    """Its keys."""
    return [key.hash for key in box.keys]


USES: dict[str, Use] = {
    "on_attempt": lambda box, bomb: (
        client_of(box, on_attempt=bomb),
        lambda client: client.api_keys.get(EXAMPLE_HASH),
    ),
    "on_attempt of a prefetched page": lambda box, bomb: (
        client_of(box, on_attempt=bomb),
        lambda client: list(client.api_keys.iter(concurrency=4)),
    ),
    "on_attempt of an audit": lambda box, bomb: (
        client_of(box, on_attempt=bomb),
        lambda client: client.audit(),
    ),
    "key function": lambda box, bomb: (
        client_of(box, api_key=bomb),
        lambda client: client.api_keys.get(EXAMPLE_HASH),
    ),
    "async key function": lambda box, bomb: (
        client_of(box, api_key=bomb.later),
        lambda client: client.api_keys.get_many(hashes(box)),
    ),
    "progress of get_many": lambda box, bomb: (
        client_of(box),
        lambda client: client.api_keys.get_many(hashes(box), progress=bomb),
    ),
    "progress of disable_many": lambda box, bomb: (
        client_of(box),
        lambda client: client.api_keys.disable_many(hashes(box), progress=bomb),
    ),
    "progress of an audit": lambda box, bomb: (
        client_of(box),
        lambda client: client.audit(progress=bomb),
    ),
    "sink factory": lambda box, bomb: (
        client_of(box),
        lambda client: client.api_keys.create_many([{"name": "a"}, {"name": "b"}], sink=bomb),
    ),
    "sink": lambda box, bomb: (
        client_of(box),
        lambda client: client.api_keys.provision("a", sink=CallableSink(bomb)),
    ),
    "async sink": lambda box, bomb: (
        client_of(box),
        lambda client: client.api_keys.provision("a", sink=CallableSink(bomb.later)),
    ),
    "sink of one of many": lambda box, bomb: (
        client_of(box),
        lambda client: client.api_keys.create_many(
            [{"name": "a"}, {"name": "b"}], sink=lambda _: CallableSink(bomb.later)
        ),
    ),
}


@pytest.fixture
def box(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox with some keys, and journals in a folder of the test's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Sandbox(keys=5) as sandbox:
        yield sandbox


@pytest.mark.parametrize("error", [SystemExit("mine"), KeyboardInterrupt(), Meltdown()], ids=repr)
@pytest.mark.parametrize("use", USES)
def test_what_a_callback_raises_is_the_callers(
    use: str, error: BaseException, box: Sandbox
) -> None:
    """`sys.exit()` in a callback ends the call that it belongs to, and the client goes on."""
    bomb = Bomb(error)
    client, call = USES[use](box, bomb)
    with client:
        assert begin(lambda: call(client)).exception(WITHIN) is error
        bomb.error = None
        again = begin(client.with_options().api_keys.list)
        failed = again.exception(WITHIN)
        assert failed is None or isinstance(failed, OpenRouterError)  # the bomb's key is nobody's


@pytest.mark.parametrize("error", [asyncio.CancelledError("mine"), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("use", ["on_attempt", "key function", "async sink"])
def test_even_what_asyncio_raises_itself(use: str, error: BaseException, box: Sandbox) -> None:
    """A `CancelledError` of the caller's own code does not pass for a closed client."""
    bomb = Bomb(error)
    client, call = USES[use](box, bomb)
    with client:
        assert begin(lambda: call(client)).exception(WITHIN) is error


@pytest.mark.parametrize(
    "sink", [lambda *_: next(iter(())), lambda *_: {}["x"]], ids=["StopIteration", "KeyError"]
)
def test_a_sink_that_raises_what_asyncio_cannot_carry(
    sink: Callable[..., object], box: Sandbox
) -> None:
    """A `StopIteration` cannot be set on a future; it is an error like any other."""
    with client_of(box) as client:
        call = begin(lambda: client.api_keys.provision("a", sink=CallableSink(sink)))
        assert isinstance(call.exception(WITHIN), SinkError)


@pytest.mark.parametrize("error", [SystemExit(), Meltdown()], ids=repr)
def test_other_calls_go_on(error: BaseException) -> None:
    """An exit in one thread's callback ends no call of another thread."""
    held = threading.Event()
    waits = threading.Event()

    def on_attempt(_: str, __: int, outcome: object, ___: float) -> None:
        if outcome == 404:
            raise error

    def handler(request: Request) -> Step:
        if request.target.endswith(HASH):
            waits.set()
            return hold(held, GET.ok())
        return reply(404, json={"error": {"code": 404, "message": "no"}})

    with (
        ThreadedServer(handler=handler) as server,
        OpenRouter(KEY, server_url=server.api_url, on_attempt=on_attempt) as client,
    ):
        other = begin(lambda: client.api_keys.get(HASH))
        assert waits.wait(WITHIN)
        assert begin(lambda: client.api_keys.get("x" * 12)).exception(WITHIN) is error
        held.set()
        assert other.result(WITHIN).data.hash == HASH


async def leave() -> None:
    """Exit."""
    raise SystemExit


@pytest.mark.parametrize(
    "disturb",
    [
        lambda loop: loop.create_task(leave()),
        lambda loop: loop.call_soon(sys.exit),
        lambda loop: loop.stop(),
    ],
    ids=["a task that exits", "a callback that exits", "stop"],
)
def test_a_loop_that_somebody_ends_goes_on(
    disturb: Callable[[asyncio.AbstractEventLoop], object], box: Sandbox
) -> None:
    """What nobody awaits may raise what it wants: neither this call nor the next one hangs."""

    def on_attempt(*_: object) -> None:
        disturb(asyncio.get_running_loop())

    with client_of(box, on_attempt=on_attempt) as client:
        for _ in range(3):
            answer = begin(lambda: client.api_keys.get(EXAMPLE_HASH)).result(WITHIN)
            assert answer.data.hash == EXAMPLE_HASH
    gc.collect()


def test_calls_that_race_with_close(box: Sandbox) -> None:
    """A call that meets `close()` is answered or refused, wherever the two meet."""
    for _ in range(30):
        client = client_of(box)
        client.api_keys.get(EXAMPLE_HASH)

        def call_on(client: OpenRouter = client) -> None:
            while True:
                client.api_keys.get(EXAMPLE_HASH)

        callers = [begin(call_on) for _ in range(4)]
        client.close()
        for caller in callers:
            assert isinstance(caller.exception(WITHIN), ClientClosedError)


def test_closing_from_a_callback(box: Sandbox) -> None:
    """`close()` in the client's own thread ends it once the callback has returned."""
    closed: list[bool] = []

    def on_attempt(*_: object) -> None:
        client.close()
        closed.append(True)

    client = client_of(box, on_attempt=on_attempt)
    assert begin(lambda: client.api_keys.get(EXAMPLE_HASH)).exception(WITHIN) is None
    assert closed == [True]
    with pytest.raises(ClientClosedError):
        client.api_keys.get(EXAMPLE_HASH)


def test_a_call_in_its_own_thread_is_refused_and_the_outer_one_answered(box: Sandbox) -> None:
    """It would wait for itself."""
    seen: list[BaseException | None] = []

    def on_attempt(*_: object) -> None:
        try:
            client.api_keys.list()
        except WrongLoopError as error:
            seen.append(error)

    with client_of(box, on_attempt=on_attempt) as client:
        assert begin(lambda: client.api_keys.get(EXAMPLE_HASH)).result(WITHIN)
    assert len(seen) == 1


def test_a_failed_call_leaves_nothing_for_the_collector(box: Sandbox) -> None:
    """The portal adds no cycle to what the exception of a failed call keeps alive."""

    class Token:
        """Something a coroutine holds."""

    async def fail(token: Token) -> None:
        await asyncio.sleep(0)
        raise NotFoundResponseError("no")

    with client_of(box) as client:
        token = Token()
        seen = weakref.ref(token)
        gc.collect()
        gc.disable()
        try:
            with suppress(NotFoundResponseError):
                client._portal.run(fail(token))
            client._portal.run(asyncio.sleep(0))
            del token
            assert seen() is None
        finally:
            gc.enable()
