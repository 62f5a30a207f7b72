"""Where the key comes from: a value, a function, the environment."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from support.calls import CALLS, CREATE, GET, Call, ClientFor
from support.clock import FakeClock
from support.ports import refused_port
from support.server import ScriptedServer
from support.steps import hold, reply, stall_head

from openrouter_async import (
    APITimeoutError,
    AsyncOpenRouter,
    ConfigurationError,
    OpenRouterError,
    Secret,
)

KEYS = [f"sk-or-v1-{number:064x}" for number in range(10)]


def bearers(server: ScriptedServer) -> list[str | None]:
    """Return the keys that were sent."""
    sent = [request.header("Authorization") or "" for request in server.requests]
    return [value.removeprefix("Bearer ") for value in sent]


async def give_later() -> str:
    """Return the key after a turn of the loop."""
    await asyncio.sleep(0)
    return KEYS[0]


SOURCES: dict[str, Any] = {
    "str": KEYS[0],
    "Secret": Secret(KEYS[0]),
    "function": lambda: KEYS[0],
    "function of a Secret": lambda: Secret(KEYS[0]),
    "async function": give_later,
    "function of a future": lambda: asyncio.ensure_future(give_later()),
}


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("source", SOURCES)
async def test_every_kind(source: str, call: Call, client_for: ClientFor) -> None:
    """The key is sent once, as a bearer, by every operation."""
    async with ScriptedServer(default=call.ok()) as server:
        await call(client_for(server, api_key=SOURCES[source]))
    assert bearers(server) == [KEYS[0]]


def rotating(kind: str) -> tuple[list[str], Callable[[], Any]]:
    """Make a function that gives another key each time, and the list of those it gave."""
    given: list[str] = []

    def give() -> str:
        given.append(KEYS[len(given)])
        return given[-1]

    async def give_async() -> str:
        await asyncio.sleep(0)
        return give()

    return given, give if kind == "sync" else give_async


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_asked_once_per_attempt(kind: str, client_for: ClientFor, clock: FakeClock) -> None:
    """A key that was rotated meanwhile is the one that goes out with the next attempt."""
    given, source = rotating(kind)
    async with ScriptedServer(reply(503), reply(429), GET.ok(), GET.ok()) as server:
        client = client_for(server, api_key=source, clock=clock)
        await GET(client)
        await GET(client)
    assert bearers(server) == given == KEYS[:4]


async def test_not_asked_before_there_is_a_connection(client_for: ClientFor) -> None:
    """The key is asked for when it is needed: after the queue, not before."""
    given, source = rotating("sync")
    go_on = asyncio.Event()
    async with ScriptedServer(hold(go_on, GET.ok()), default=GET.ok()) as server:
        client = client_for(server, api_key=source, max_connections=1)
        calls = [asyncio.create_task(GET(client)) for _ in range(3)]
        await server.arrived(1)
        assert len(given) == 1
        go_on.set()
        await asyncio.gather(*calls)
    assert bearers(server) == given


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
async def test_refused_connections_ask_again(
    call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """An attempt that did not leave is an attempt; each asks for its own key."""
    given, source = rotating("async")
    with refused_port() as port:
        client = client_for(f"http://127.0.0.1:{port}", api_key=source, clock=clock)
        with pytest.raises(OpenRouterError):
            await call(client)
    assert len(given) == 3


async def test_slow_source_counts_into_the_timeout(client_for: ClientFor, clock: FakeClock) -> None:
    """A function that does not come back is a time-out of the attempt, and nothing is sent."""
    asked = []

    async def never() -> str:
        asked.append(1)
        await asyncio.Event().wait()
        return ""

    async with ScriptedServer() as server:
        client = client_for(server, api_key=never, clock=clock, timeout=0.05)
        with pytest.raises(APITimeoutError, match="no connection within the timeout"):
            await CREATE(client)
    assert len(asked) == 3
    assert server.requests == []


async def test_a_source_that_ignores_the_limit(client_for: ClientFor) -> None:
    """Its key comes too late: nothing is sent, and the call has not lost its limits."""

    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return KEYS[0]

    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, api_key=stubborn, timeout=0.05, retries=None)
        with pytest.raises(APITimeoutError, match="no connection within the timeout"):
            await asyncio.wait_for(GET(client), 5)
    assert server.requests == []


async def test_failing_source_goes_to_the_caller(client_for: ClientFor) -> None:
    """What the function raises is the caller's own, is not repeated, and frees the slot."""

    def fail() -> str:
        raise LookupError("the vault is sealed")

    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, api_key=fail, max_connections=1)
        for _ in range(3):
            with pytest.raises(LookupError, match="the vault is sealed"):
                await GET(client)
    assert server.requests == []


async def test_a_source_that_times_out_is_not_our_time_out(client_for: ClientFor) -> None:
    """Its `TimeoutError` is the caller's as any other: no `APITimeoutError`, and no repeat."""
    asked: list[None] = []

    async def fail() -> str:
        asked.append(None)
        raise TimeoutError("the vault does not answer")

    async with ScriptedServer(default=GET.ok()) as server:
        client = client_for(server, api_key=fail, max_connections=1)
        with pytest.raises(TimeoutError, match="the vault does not answer"):
            await GET(client)
    assert len(asked) == 1


WRONG: dict[str, Any] = {
    "None": None,
    "empty": "",
    "bytes": b"sk",
    "number": 7,
    "empty Secret": Secret(""),
}


@pytest.mark.parametrize("case", WRONG)
async def test_source_that_gives_no_key(case: str, client_for: ClientFor) -> None:
    """A function that gives nothing to send is a `ConfigurationError`."""
    async with ScriptedServer() as server:
        client = client_for(server, api_key=lambda: WRONG[case])
        with pytest.raises(ConfigurationError, match="api_key"):
            await GET(client)
    assert server.requests == []


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and base URL come from the environment when they are not given."""
    async with ScriptedServer(default=GET.ok()) as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", KEYS[1])
        monkeypatch.setenv("OPENROUTER_BASE_URL", f"{server.url}/from/env/")
        async with AsyncOpenRouter() as client:
            await GET(client)
            monkeypatch.setenv("OPENROUTER_API_KEY", KEYS[2])
            await GET(client)
        async with AsyncOpenRouter(KEYS[3], server_url=f"{server.url}/given") as client:
            await GET(client)
    assert bearers(server) == [KEYS[1], KEYS[1], KEYS[3]]
    assert [r.target.rpartition("/keys/")[0] for r in server.requests] == [
        "/from/env", "/from/env", "/given",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, ""])
def test_no_key_anywhere(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, the error says what to set."""
    if value is not None:
        monkeypatch.setenv("OPENROUTER_API_KEY", value)
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        AsyncOpenRouter()
    with pytest.raises(ConfigurationError, match="api_key is empty"):
        AsyncOpenRouter(api_key="")
    with pytest.raises(ConfigurationError, match="api_key is empty"):
        AsyncOpenRouter(api_key=Secret(""))


def test_bad_base_url_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL from the environment is held to the same rules."""
    monkeypatch.setenv("OPENROUTER_BASE_URL", "http://service.example")
    with pytest.raises(ConfigurationError, match="plain http"):
        AsyncOpenRouter(KEYS[0])
    AsyncOpenRouter(KEYS[0], allow_insecure_http=True)


def test_the_service_is_the_default() -> None:
    """Without anything set, the client is one of the service."""
    assert repr(AsyncOpenRouter(KEYS[0])) == (
        "AsyncOpenRouter(server_url='https://openrouter.ai/api/v1')"
    )
