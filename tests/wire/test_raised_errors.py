"""Every error that reaches the caller: of ours alone, complete, and fit to travel."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from support import certificates
from support.calls import CALLS, CREATE, GET, Call, ClientFor, problem
from support.clock import FakeClock
from support.ports import refused_port
from support.server import ScriptedServer
from support.steps import (
    Step,
    cut_chunk,
    huge_body,
    raw,
    redirect,
    reply,
    reset,
    stall_body,
    stall_head,
)

from openrouter_async import (
    AmbiguousCreateError,
    APITimeoutError,
    ClientClosedError,
    InvalidRequestError,
    OpenRouterError,
    TooManyRequestsResponseError,
    WrongLoopError,
)


def is_ours_alone(error: BaseException) -> bool:
    """Return whether nothing hangs on the error, neither shown nor hidden."""
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not isinstance(error, BaseExceptionGroup)
    kinds = [kind.__module__.partition(".")[0] for kind in type(error).__mro__]
    return set(kinds) == {"openrouter_async", "builtins"}


def travels(error: OpenRouterError) -> bool:
    """Return whether copies by pickle and by deepcopy are equal in every respect."""
    for made in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(made) is type(error)
        assert (str(made), repr(made)) == (str(error), repr(error))
        assert vars(made) == vars(error)
        assert made.args == error.args
    return True


PATHS: dict[str, Step] = {
    "400": reply(400, json=problem(400, "no", error_type="bad")),
    "401": reply(401, text="<html>"),
    "403": reply(403),
    "404": reply(404, json=[]),
    "409": reply(409, json={"error": "x"}),
    "418": reply(418),
    "429": reply(429, headers={"Retry-After": "1", "cf-ray": "1-FRA"}),
    "500": reply(500, json=problem(500)),
    "503": reply(503, body=b"\xff"),
    "redirect": redirect(302, "/x"),
    "odd redirect": redirect(302, None),
    "no JSON": reply(text="no"),
    "deep JSON": reply(body=b"[" * 100_000),
    "wrong shape": reply(json=[]),
    "wrong field": reply(json={"data": {"hash": 1}, "deleted": 2, "key": 3}),
    "cut": reply(body=b'{"data":', truncate=3),
    "cut chunk": cut_chunk(b'{"data": 1}', sent=3),
    "too large": huge_body(20),
    "not gzip": reply(text="no", headers={"Content-Encoding": "gzip"}),
    "unknown encoding": reply(text="no", headers={"Content-Encoding": "br"}),
    "malformed": raw(b"HTTP/1.1 OK\r\n\r\n"),
    "bad chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "reset": reset(),
}


@pytest.mark.parametrize("retries", ["default", None])
@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("case", PATHS)
async def test_ours_alone(
    case: str, call: Call, retries: str | None, *, client_for: ClientFor, clock: FakeClock
) -> None:
    """No error of a library hangs on one of ours; each names its operation and its attempts."""
    options: dict[str, Any] = {} if retries else {"retries": None}
    async with ScriptedServer(default=PATHS[case]) as server:
        client = client_for(server, clock=clock, **options)
        with pytest.raises(OpenRouterError) as caught:
            await call(client)
    error = caught.value
    assert is_ours_alone(error)
    assert travels(error)
    assert (error.operation, error.attempts) == (call.operation, len(server.requests))
    if isinstance(error, AmbiguousCreateError):
        assert call is CREATE
        assert error.name == "acme"
        assert error.not_before is not None


@pytest.mark.parametrize("step", [stall_head(), stall_body()], ids=lambda step: step.__name__)
async def test_time_outs(step: Step, client_for: ClientFor) -> None:
    """A time-out is an error of ours like the others; all operations wait at once."""
    async with ScriptedServer(default=step) as server:
        client = client_for(server, timeout=0.4, retries=None)
        calls = (call(client) for call in CALLS)
        errors = await asyncio.gather(*calls, return_exceptions=True)
    for call, error in zip(CALLS, errors, strict=True):
        assert isinstance(error, AmbiguousCreateError if call is CREATE else APITimeoutError)
        assert is_ours_alone(error)
        assert travels(error)
        assert (error.operation, error.attempts) == (call.operation, 1)
    assert len(server.requests) == len(CALLS)


async def test_ours_alone_while_another_is_handled(client_for: ClientFor, clock: FakeClock) -> None:
    """The context is the caller's own error and nothing between."""
    async with ScriptedServer(default=reset()) as server:
        client = client_for(server, clock=clock)
        own = LookupError()
        try:
            raise own
        except LookupError:
            with pytest.raises(OpenRouterError) as caught:
                await GET(client)
    assert caught.value.__context__ is own
    assert own.__context__ is None


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_without_a_connection(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """Refused connections and untrusted ones hide nothing, either."""
    async with ScriptedServer(tls=certificates.self_signed_server()) as server:
        with refused_port() as port:
            for url in (f"http://127.0.0.1:{port}", server.url, "https://127.1"):
                with pytest.raises(OpenRouterError) as caught:
                    await call(client_for(url, clock=clock))
                assert is_ours_alone(caught.value)
                assert travels(caught.value)
                assert caught.value.operation == call.operation
                assert caught.value.attempts > 0


async def test_before_any_io(client_for: ClientFor) -> None:
    """Refusals are complete, too: `attempts` is 0."""
    async with ScriptedServer() as server:
        client = client_for(server)
        refusals: list[Callable[[], Any]] = [
            lambda: client.api_keys.get("x"),
            lambda: client.api_keys.create("a", expires_at="soon"),
            lambda: client.api_keys.create("a", limit=float("inf")),
            lambda: client.api_keys.update(hash="0" * 64),
            lambda: client.api_keys.list(offset="many"),
        ]
        for refused in refusals:
            with pytest.raises(InvalidRequestError) as caught:
                await refused()
            assert is_ours_alone(caught.value)
            assert travels(caught.value)
            assert caught.value.operation is not None
            assert caught.value.attempts == 0
        await client.close()
        with pytest.raises(ClientClosedError) as closed:
            await GET(client)
        assert is_ours_alone(closed.value)
        assert travels(closed.value)
    assert server.connections == 0


async def test_paused_and_wrong_loop(client_for: ClientFor, clock: FakeClock) -> None:
    """The errors of a shared pause and of a second loop are like the others."""
    async with ScriptedServer(reply(429, headers={"Retry-After": "9"})) as server:
        client = client_for(server, clock=clock, total_timeout=5)
        for _ in range(2):
            with pytest.raises(TooManyRequestsResponseError) as caught:
                await GET(client)
            assert is_ours_alone(caught.value)
            assert travels(caught.value)

        def elsewhere() -> WrongLoopError:
            with pytest.raises(WrongLoopError) as wrong:
                asyncio.run(GET(client))
            return wrong.value

        error = await asyncio.to_thread(elsewhere)
    assert is_ours_alone(error)
    assert travels(error)


async def test_traceback_is_short(client_for: ClientFor, clock: FakeClock) -> None:
    """The traceback leads from the method that was called to the call, and no deeper."""
    async with ScriptedServer(default=reply(503)) as server:
        with pytest.raises(OpenRouterError) as caught:
            await GET(client_for(server, clock=clock))
    files = [entry.path.name for entry in caught.traceback]
    assert files[0] == "test_raised_errors.py"
    assert set(files[1:]) == {"api_keys.py", "_call.py"}
