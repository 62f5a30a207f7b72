"""Clients of scripted servers, cut off from this machine's environment and closed at the end."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.calls import KEY
from support.clock import FakeClock
from support.server import ScriptedServer

from openrouter_async import AsyncOpenRouter

OPENROUTER = [name for name in os.environ if name.startswith("OPENROUTER_")]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine has set must not reach a test."""
    proxies = [*PROXIES, *map(str.lower, PROXIES)]
    for name in (*OPENROUTER, "NETRC", *proxies):
        monkeypatch.delenv(name, raising=False)


class Clients:
    """Makes clients; all of them are closed when the test is over."""

    def __init__(self) -> None:
        self.made: list[AsyncOpenRouter] = []

    def __call__(
        self, server: ScriptedServer | str, *, clock: FakeClock | None = None, **options: Any
    ) -> AsyncOpenRouter:
        """Make a client of a server, or of a URL; with a clock, it waits on that one."""
        url = server if isinstance(server, str) else server.api_url
        client = AsyncOpenRouter(**{"api_key": KEY, "server_url": url, **options})
        if clock is not None:
            client._shared.clock = clock
        self.made.append(client)
        return client


@pytest.fixture
async def client_for() -> AsyncIterator[Clients]:
    """Make clients: `client_for(server, clock=..., **options)`."""
    clients = Clients()
    yield clients
    for client in clients.made:
        await client.close()


@pytest.fixture
def clock() -> FakeClock:
    """A clock on which waits take no time; jitter takes the whole bound."""
    return FakeClock()
