"""Each request goes out with its own client's key, once, and each call gets its own answer."""

import asyncio
import contextvars
import json
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from support.calls import CREATE, GET, KEY, LIST, ClientFor, record
from support.server import ScriptedServer
from support.steps import Step, reply, reset
from support.wire import Connection, Request

from openrouter_async import AmbiguousCreateError, APIConnectionError

OTHER_KEY = "sk-or-v1-" + "0b" * 32


def keys_seen(server: ScriptedServer) -> set[str]:
    """The keys that reached a server."""
    values = {request.header("Authorization") or "" for request in server.requests}
    return {value.removeprefix("Bearer ") for value in values}


async def test_tasks_that_share_a_context(client_for: ClientFor) -> None:
    """Two clients in one context: neither server sees the other's key."""
    shared = contextvars.copy_context()
    async with ScriptedServer(default=LIST.ok()) as one, ScriptedServer(default=LIST.ok()) as two:
        clients = [client_for(one, api_key=KEY), client_for(two, api_key=OTHER_KEY)] * 5
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(loop.create_task(LIST(client), context=shared) for client in clients)  # type: ignore[arg-type]
        )
    assert (keys_seen(one), keys_seen(two)) == ({KEY}, {OTHER_KEY})


async def test_creates_that_share_a_context(client_for: ClientFor) -> None:
    """What broke after it was sent is ambiguous for each of them, and sent once."""
    shared = contextvars.copy_context()
    async with ScriptedServer(default=reset()) as server:
        client = client_for(server)
        loop = asyncio.get_running_loop()
        creates = (
            loop.create_task(client.api_keys.create(f"n{number}"), context=shared)
            for number in range(5)
        )
        outcomes = await asyncio.gather(*creates, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AmbiguousCreateError] * 5
    assert sorted(json.loads(request.body)["name"] for request in server.requests) == [
        f"n{number}" for number in range(5)
    ]


async def test_a_resolver_that_makes_a_call_of_its_own(client_for: ClientFor) -> None:
    """Between composing a request and sending it, anything may happen in its task."""
    async with ScriptedServer(default=GET.ok()) as server, ScriptedServer() as other:

        class Resolver(AbstractResolver):
            async def resolve(
                self, host: str, port: int = 0, family: Any = socket.AF_INET
            ) -> list[ResolveResult]:
                with pytest.raises(APIConnectionError):
                    await GET(client_for("http://127.0.0.1:1", api_key=OTHER_KEY, retries=None))
                return [
                    ResolveResult(
                        hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
                    )
                ]

            async def close(self) -> None:
                pass

        connector = aiohttp.TCPConnector(resolver=Resolver(), use_dns_cache=False)
        url = server.api_url.replace("127.0.0.1", "localhost")
        await GET(client_for(url, connector=connector))
        await connector.close()
    assert keys_seen(server) == {KEY}
    assert other.requests == []


def two_answers(second: bytes) -> Step:
    """Answer, and a moment later once more, which nobody asked for."""

    async def step(connection: Connection, request: Request) -> None:
        await GET.ok()(connection, request)
        await connection.sleep(0.05)
        await connection.write(second)

    step.__name__ = "two_answers"
    return step


async def test_an_answer_that_nobody_asked_for(client_for: ClientFor) -> None:
    """It is no answer to the next call, unless that was sent before it came."""
    names = [f"answer {number}" for number in range(3)]
    answers = [reply(json={"data": record(name=name)}) for name in names]
    stray = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with ScriptedServer(two_answers(stray), *answers) as server:
        client = client_for(server)
        await GET(client)
        await asyncio.sleep(0.15)
        got = [(await GET(client)).data.name for _ in names]
    assert got == names
    assert len(server.requests) == 1 + len(names)


async def test_a_create_after_stray_bytes(client_for: ClientFor) -> None:
    """It has a connection of its own anyway."""
    async with ScriptedServer(two_answers(b"HTTP/1.1 500 Oh\r\n\r\n"), CREATE.ok()) as server:
        client = client_for(server)
        await GET(client)
        await asyncio.sleep(0.1)
        assert (await CREATE(client)).key
