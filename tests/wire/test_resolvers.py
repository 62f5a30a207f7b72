"""Connectors and resolvers: whatever they raise, or if they never return."""

import asyncio
import socket
import subprocess
import sys
import textwrap
import time
from typing import Any, NoReturn

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.calls import CREATE, DELETE, GET, KEY, Call, ClientFor
from support.clock import FakeClock
from support.ports import refused_port
from support.programs import complaints
from support.server import ScriptedServer, ThreadedServer

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    AsyncOpenRouter,
    OpenRouter,
    OpenRouterError,
    RetryConfig,
)

NAME = "service.test"
QUICK = RetryConfig(initial_interval=0)


class Resolver(AbstractResolver):
    """Raises what it was given, one after the other, and then knows the address."""

    def __init__(self, *raised: BaseException, addresses: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self.raised = list(raised)
        self.addresses = addresses
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raise, or give the addresses."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.raised:
            raise self.raised.pop(0)
        return [
            ResolveResult(hostname=host, host=host_, port=port, family=family, proto=0, flags=0)
            for host_ in self.addresses
        ]

    async def close(self) -> None:
        """Have nothing to close."""


class Connector(aiohttp.TCPConnector):
    """Raises what it was given when it shall connect, and then connects."""

    def __init__(self, *raised: BaseException, **options: Any) -> None:
        super().__init__(**options)
        self.raised = list(raised)

    async def connect(self, *args: Any, **options: Any) -> Any:
        """Raise, or connect."""
        await asyncio.sleep(0)
        if self.raised:
            raise self.raised.pop(0)
        return await super().connect(*args, **options)


class Breaking(aiohttp.TCPConnector):
    """Raises when the request was sent and its answer is awaited."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__()
        self.raised = raised

    async def connect(self, *args: Any, **options: Any) -> Any:
        """Connect, and break what comes in."""
        connection = await super().connect(*args, **options)

        def data_received(_: bytes) -> NoReturn:
            raise self.raised

        connection.protocol.data_received = data_received
        return connection


BASES = [Exception, OSError, ValueError, RuntimeError, TypeError, LookupError, ArithmeticError,
         AttributeError, EOFError, AssertionError, MemoryError, NotImplementedError, TimeoutError,
         ImportError, StopAsyncIteration, aiohttp.ClientError, UnicodeError]  # fmt: skip
MADE_UP = st.builds(
    lambda name, bases: type(name, bases, {}),
    st.sampled_from(["ProxyError", "SocksError", "Err", "Fehler"]),
    st.sampled_from(
        [(base,) for base in BASES] + [(ValueError, LookupError), (OSError, TypeError)]
    ),
)
ODD = st.one_of(
    st.builds(lambda kind, words: kind(*words), MADE_UP, st.lists(st.just(KEY), max_size=2)),
    st.just(ExceptionGroup("several", [ValueError(KEY)])),
    st.just(aiohttp.ClientConnectorError(None, OSError(KEY))),  # type: ignore[arg-type]
    st.just(aiohttp.ClientConnectorDNSError(None, OSError())),  # type: ignore[arg-type]
)
FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_plain(error: BaseException) -> None:
    """Check that an error is one of ours, chains nothing, and shows nothing of the other."""
    assert isinstance(error, OpenRouterError)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "5e5e" not in str(error)


@FUZZ
@given(raised=ODD, where=st.sampled_from(["connector", "resolver"]))
async def test_whatever_is_raised_before_sending(raised: Exception, where: str) -> None:
    """It is one of ours, repeated since nothing was sent, and definite for a create."""
    async with ScriptedServer(CREATE.ok()) as server:
        url = f"{server.url_as(NAME)}/api/v1"
        resolver = Resolver(raised) if where == "resolver" else Resolver()
        given = [raised] if where == "connector" else []
        async with Connector(*given, resolver=resolver) as connector:
            options: dict[str, Any] = {"server_url": url, "allow_insecure_http": True}
            client = _client(connector, **options)
            answer = await CREATE(client)
            await client.close()
        assert answer.key
        assert len(server.requests) == 1
        async with Connector(*given, resolver=Resolver(raised)) as connector:
            client = _client(connector, **options, retries=None)
            with pytest.raises(APIConnectionError) as caught:
                await CREATE(client)
            await client.close()
        assert not isinstance(caught.value, AmbiguousCreateError)
        assert_plain(caught.value)


def _client(connector: aiohttp.BaseConnector, **options: Any) -> AsyncOpenRouter:
    return AsyncOpenRouter(KEY, connector=connector, **{"retries": QUICK, **options})


@FUZZ
@given(raised=ODD, call=st.sampled_from([CREATE, GET, DELETE]))
async def test_whatever_is_raised_after_sending(raised: Exception, call: Call) -> None:
    """It is a lost answer: ambiguous for a create, repeated for the others."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with ScriptedServer(default=call.ok()) as server, Breaking(raised) as connector:
        client = _client(connector, server_url=server.api_url)
        with pytest.raises(OpenRouterError) as caught:
            await call(client)
        await client.close()
    assert_plain(caught.value)
    assert isinstance(caught.value, AmbiguousCreateError) == (call is CREATE)
    assert len(server.requests) == (1 if call is CREATE else 3)


@pytest.mark.parametrize("where", ["connector", "resolver"])
@pytest.mark.parametrize("kind", BASES)
def test_whatever_is_raised_in_the_blocking_client(where: str, kind: type[Exception]) -> None:
    """The same as in the async one."""

    async def make() -> aiohttp.BaseConnector:
        raised = [kind(KEY), kind(KEY)]
        if where == "connector":
            return Connector(*raised, resolver=Resolver())
        return Connector(resolver=Resolver(*raised))

    with ThreadedServer(CREATE.ok()) as server:
        client = OpenRouter(
            KEY, server_url=f"{server.url_as(NAME)}/api/v1", allow_insecure_http=True,
            retries=None,
        )  # fmt: skip
        with client:
            connector = client._portal.run(make())
            client._client._shared.transport._connector = connector
            with pytest.raises(APIConnectionError) as caught:
                client.api_keys.create(name="acme")
            assert_plain(caught.value)
            assert not isinstance(caught.value, AmbiguousCreateError)
            assert client.api_keys.create(name="acme", retries=QUICK).key
            client._portal.run(_closed(connector))
    assert len(server.requests) == 1


async def _closed(connector: aiohttp.BaseConnector) -> None:
    await connector.close()


TEMPORARY = [
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    socket.gaierror(socket.EAI_SYSTEM, "System error"),
    socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
    OSError(24, "Too many open files"),
]


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
@pytest.mark.parametrize("trouble", TEMPORARY, ids=repr)
async def test_a_resolver_in_trouble(
    trouble: OSError, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """It may get over it: tried as often as a refused connection, and named for what it is."""
    async with ScriptedServer(call.ok()) as server:
        url = f"{server.url_as(NAME)}/api/v1"
        async with aiohttp.TCPConnector(resolver=Resolver(trouble, trouble)) as connector:
            client = client_for(url, clock=clock, connector=connector, allow_insecure_http=True)
            await call(client)
        async with aiohttp.TCPConnector(resolver=Resolver(*[trouble] * 3)) as connector:
            client = client_for(url, clock=clock, connector=connector, allow_insecure_http=True)
            with pytest.raises(APIConnectionError, match=f"cannot look up {NAME}: ") as caught:
                await call(client)
    assert caught.value.attempts == 3
    assert not isinstance(caught.value, AmbiguousCreateError)


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_FAIL])
async def test_a_name_that_does_not_exist(
    code: int, client_for: ClientFor, clock: FakeClock
) -> None:
    """It is tried once more only."""
    resolver = Resolver(*[socket.gaierror(code, "no")] * 9)
    async with aiohttp.TCPConnector(resolver=resolver) as connector:
        client = client_for(f"https://{NAME}/api/v1", clock=clock, connector=connector)
        with pytest.raises(APIConnectionError, match=f"unknown host {NAME}"):
            await GET(client)
    assert resolver.asked == 2


@pytest.mark.parametrize("addresses", [("127.0.0.1", "::1"), ("127.0.0.1", "ff02::1")])
async def test_several_addresses_that_fail(
    addresses: tuple[str, ...], client_for: ClientFor, clock: FakeClock
) -> None:
    """Every reason is named once, and no class of Python's."""
    async with aiohttp.TCPConnector(resolver=Resolver(addresses=addresses)) as connector:
        with refused_port() as port:
            url = f"http://{NAME}:{port}/api/v1"
            client = client_for(url, clock=clock, connector=connector, allow_insecure_http=True)
            with pytest.raises(APIConnectionError, match="Connection refused") as caught:
                await GET(client)
    assert "Error" not in caught.value.message
    assert caught.value.message.count("refused") == 1


HANGING = """
    import asyncio, socket, sys, time
    from openrouter_async import AsyncOpenRouter, OpenRouter, APITimeoutError

    socket.getaddrinfo = lambda *_, **__: time.sleep(60)
    options = dict(server_url="https://service.test/api/v1", total_timeout=1, trust_env=True)

    async def main():
        async with AsyncOpenRouter("sk-or-v1-none", **options) as client:
            try:
                await client.api_keys.list()
            except APITimeoutError as error:
                print(error.message)

    if sys.argv[1] == "async":
        asyncio.run(main())
    else:
        with OpenRouter("sk-or-v1-none", **options) as client:
            try:
                client.api_keys.list()
            except APITimeoutError as error:
                print(error.message)
    print(time.time())
"""


@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_a_resolver_that_hangs_does_not_hold_the_exit_back(kind: str) -> None:
    """The call ends with its deadline, and the program with the call."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(HANGING), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    ended = time.time()
    message, finished = done.stdout.splitlines()
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    assert message == "no connection within the total_timeout of 1 s"
    assert ended - float(finished) < 2
