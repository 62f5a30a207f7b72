"""A request that never left may go out again, a create too; or the failure is definite."""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from support.calls import CALLS, CREATE, GET, NEW_KEY, Call, ClientFor
from support.clock import FakeClock
from support.ports import mute_port, refused_port, unconnectable_port
from support.server import ScriptedServer
from support.steps import Step, raw, reply, reset

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    APITimeoutError,
    RetryConfig,
)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_refused_is_repeated(call: Call, client_for: ClientFor, clock: FakeClock) -> None:
    """A refused connection is tried three times, by every operation."""
    with refused_port() as port:
        client = client_for(f"http://127.0.0.1:{port}/api/v1", clock=clock)
        with pytest.raises(APIConnectionError) as caught:
            await call(client)
    error = caught.value
    assert (error.attempts, error.operation, error.status_code) == (3, call.operation, None)
    assert clock.sleeps == [0.5, 1.0]
    assert str(error) == (
        f"{call.operation}: cannot connect to 127.0.0.1:{port}: Connection refused (3 attempts)"
    )


class ClockOfServer(FakeClock):
    """Starts a server while the client waits."""

    def __init__(self, server: ScriptedServer) -> None:
        super().__init__()
        self.server = server

    async def sleep(self, seconds: float) -> None:
        """Skip the wait."""
        self.server.up()
        await super().sleep(seconds)


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_refused_then_up(call: Call, client_for: ClientFor) -> None:
    """Fault 6: what was refused first goes out once when the port is up, and makes one key."""
    async with ScriptedServer(call.ok(), refuses=True) as server:
        clock = ClockOfServer(server)
        result = await call(client_for(server, clock=clock))
    assert len(server.requests) == 1
    assert clock.sleeps == [0.5]
    if call is CREATE:
        assert result.key == NEW_KEY


SILENT: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "no connection": unconnectable_port,
    "no TLS greeting": mute_port,
}


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
@pytest.mark.parametrize("silence", SILENT)
async def test_time_out_before_sending_is_repeated(
    silence: str, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """A connection or a TLS handshake that takes too long was not sent: a create is repeated."""
    with SILENT[silence]() as port:
        scheme = "https" if "TLS" in silence else "http"
        client = client_for(f"{scheme}://127.0.0.1:{port}/api/v1", clock=clock, timeout=0.05)
        with pytest.raises(APITimeoutError, match=r"no connection within the timeout of 0\.05 s"):
            await call(client)
    assert clock.sleeps == [0.5, 1.0]


class NoSuchHost(AbstractResolver):
    """Knows no host."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Fail."""
        self.asked += 1
        raise OSError(None, "Domain name not found")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_unknown_host_is_asked_for_once_more(
    call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """A host that is unknown twice is unknown, however many attempts are allowed."""
    resolver = NoSuchHost()
    async with aiohttp.TCPConnector(resolver=resolver) as connector:
        client = client_for(
            "https://service.example/api/v1",
            connector=connector,
            clock=clock,
            retries=RetryConfig(max_attempts=5),
        )
        with pytest.raises(APIConnectionError, match=r"unknown host service\.example") as caught:
            await call(client)
    assert resolver.asked == caught.value.attempts == 2


PROXY_SAYS_NO: list[tuple[Step, int, str]] = [
    (reply(407), 1, "the proxy refused to connect (status 407)"),
    (reply(403), 1, "the proxy refused to connect (status 403)"),
    (reply(502), 3, "the proxy refused to connect (status 502)"),
    (reset(), 3, "cannot connect to service.example:443: Connection reset by peer"),
    (raw(b""), 3, "cannot connect to service.example:443"),
    (raw(b"nonsense\r\n\r\n"), 1, "the proxy sent a response that is not HTTP"),
]


@pytest.mark.parametrize("call", [GET, CREATE], ids=str)
@pytest.mark.parametrize(("step", "attempts", "words"), PROXY_SAYS_NO)
async def test_failed_tunnel(
    step: Step, attempts: int, words: str, *, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """A proxy that opens no tunnel got nothing of the request, so that no create is ambiguous."""
    async with ScriptedServer(default=step) as proxy:
        client = client_for("https://service.example/api/v1", proxy=proxy.url, clock=clock)
        with pytest.raises(APIConnectionError) as caught:
            await call(client)
    assert not isinstance(caught.value, AmbiguousCreateError)
    assert caught.value.message == words
    assert caught.value.attempts == attempts
    assert [(r.method, r.target) for r in proxy.requests] == [
        ("CONNECT", "service.example:443")
    ] * attempts
    assert [r.header("Authorization") for r in proxy.requests] == [None] * attempts


async def test_proxy_that_is_down(client_for: ClientFor, clock: FakeClock) -> None:
    """A proxy that refuses connections is named as such, without its address."""
    with refused_port() as port:
        proxy = f"http://me:word@127.0.0.1:{port}"
        client = client_for("https://service.example/api/v1", proxy=proxy, clock=clock)
        with pytest.raises(APIConnectionError, match="cannot connect to the proxy") as caught:
            await CREATE(client)
    assert caught.value.attempts == 3
