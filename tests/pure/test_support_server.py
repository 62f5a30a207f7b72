"""The scripted server does to a client what a test says, and logs what the client did."""

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.request

import aiohttp
import pytest
from support.leaks import no_leaks, no_leaks_blocking
from support.rawclient import GET, talk
from support.server import ScriptedServer, ThreadedServer
from support.steps import (
    Step,
    close_before_head,
    delay,
    drip,
    endless_chunks,
    hold,
    html,
    redirect,
    reply,
    stall_body,
    stall_head,
)
from support.wire import Connection, Request

POST = b"POST /keys HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def test_log_keeps_what_was_sent() -> None:
    """Method, raw target, header names in their case, body, and the place on its connection."""
    async with ScriptedServer(default=reply(json={"data": []})) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        before = asyncio.get_running_loop().time()
        writer.write(
            b"GET /a%2Fb?x=%20 HTTP/1.1\r\nHOST: h\r\nx-Two: 1\r\nx-Two:  2 \r\n\r\n" + POST
        )
        await server.arrived(2)
        writer.close()
        await writer.wait_closed()
        _, ending = await talk(server.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert ending == "fin"
    first, second, third = server.requests
    assert (first.method, first.target, first.version) == ("GET", "/a%2Fb?x=%20", "HTTP/1.1")
    assert first.headers == [("HOST", "h"), ("x-Two", "1"), ("x-Two", "2")]
    assert first.header("host") == "h"
    assert first.header("absent") is None
    assert first.values("X-TWO") == ["1", "2"]
    with pytest.raises(LookupError):
        first.header("x-two")
    assert (second.body, second.json()) == (b"{}", {})
    places = [(r.connection, r.number) for r in server.requests]
    assert places == [(1, 1), (1, 2), (2, 1)]
    assert before <= first.at <= second.at <= third.at <= before + 5
    assert server.connections == 2


async def test_chunked_body_is_logged_without_its_chunks() -> None:
    """A body that came in chunks is one body, and the next request is found behind it."""
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = start + b"3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n"
    async with ScriptedServer(reply(), reply(close=True)) as server:
        await talk(server.port, chunks + GET)
    assert [r.body for r in server.requests] == [b"abc0123456789", b""]


async def test_script_then_handler_then_default() -> None:
    """Steps come first, in turn; then the handler's; a default needs no handler."""

    def route(request: Request) -> Step:
        return reply(404, text=request.target)

    async with (
        ScriptedServer(reply(503), handler=route) as server,
        ScriptedServer(default=html(502)) as fallback,
        ScriptedServer() as empty,
        aiohttp.ClientSession() as session,
    ):
        server.script(redirect(307, "/there"))
        seen = []
        for origin in (server.url, server.url, server.url, fallback.url, empty.url):
            async with session.get(f"{origin}/k", allow_redirects=False) as answer:
                seen.append((answer.status, answer.headers.get("Location"), await answer.text()))
    assert [status for status, _, _ in seen] == [503, 307, 404, 502, 418]
    assert seen[1][1] == "/there"
    assert seen[2][2] == "/k"
    assert seen[3][2].startswith("<html>")


async def test_a_client_that_leaves_early_is_noticed() -> None:
    """Whether cancelled before the head, before the delay was over, or in the body."""
    steps = [stall_head(), delay(5, then=reply()), stall_body()]
    async with ScriptedServer(*steps) as server:
        for _ in steps:
            await talk(server.port, within=0.05)
        await server.until(lambda: all(r.client_closed_early for r in server.requests))
        assert len(server.requests) == 3


async def test_stale_connection_shows_the_hidden_repeat() -> None:
    """A GET on a stale connection is repeated by aiohttp itself: two calls, three requests."""
    script = [reply(json={}), close_before_head(), reply(json={})]
    async with ScriptedServer(*script) as server, aiohttp.ClientSession() as session:
        for _ in range(2):
            await (await session.get(server.url)).read()
    places = [(r.connection, r.number) for r in server.requests]
    assert places == [(1, 1), (1, 2), (2, 1)]


async def test_idle_close_is_met_by_a_client_that_did_not_look() -> None:
    """A loop that was busy meanwhile sends into the closed connection, and repeats."""
    with ThreadedServer(reply(json={}, idle_close=0.02), reply(json={})) as server:
        async with aiohttp.ClientSession() as session:
            await (await session.get(server.url)).read()
            await asyncio.sleep(0)
            time.sleep(0.1)  # noqa: ASYNC251 - the loop is to be busy
            await (await session.get(server.url)).read()
    assert [r.connection for r in server.requests] == [1, 2]


@pytest.mark.parametrize(
    "step", [stall_head(), stall_body(), delay(60, then=reply()), endless_chunks(), drip(b"x" * 99)]
)
async def test_leaving_ends_whatever_is_going_on(step: Step) -> None:
    """The server stops at once, and holds nothing, while a client still waits."""
    async with no_leaks():
        server = ScriptedServer(step)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET)
            await server.arrived(1)
            start = time.monotonic()
        assert time.monotonic() - start < 1
        assert server.requests[0].outcome == "stopped"
        await asyncio.gather(reader.read(), return_exceptions=True)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_leaving_ends_connections_without_a_request() -> None:
    """Idle ones, half-sent requests, and ones that were accepted a moment ago."""
    async with no_leaks():
        clients = []
        async with ScriptedServer() as server:
            for sent in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(sent)
                clients.append(writer)
            await server.until(lambda: server.connections == 3)
            _, late = await asyncio.open_connection("127.0.0.1", server.port)
            clients.append(late)
        assert server.requests == []
        for writer in clients:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_what_a_step_raises_is_raised_where_the_server_is_left() -> None:
    """A mistake in a test's own step or handler cannot pass for a fault."""

    async def broken(connection: Connection, request: Request) -> None:
        raise ZeroDivisionError

    def lost(request: Request) -> Step:
        raise KeyError(request.target)

    for server, error in (
        (ScriptedServer(broken), ZeroDivisionError),
        (ScriptedServer(handler=lost), KeyError),
    ):
        with pytest.raises(error):
            async with server:
                assert await talk(server.port) == (b"", "fin")


async def test_a_failure_of_the_test_is_not_hidden() -> None:
    """The test's own error wins over that of a step."""

    async def broken(connection: Connection, request: Request) -> None:
        raise ZeroDivisionError

    with pytest.raises(IndexError):  # noqa: PT012
        async with ScriptedServer(broken) as server:
            await talk(server.port)
            raise IndexError


async def test_waiting_has_an_end() -> None:
    """A condition that never holds is a failure that shows the wire log."""
    async with ScriptedServer(reply(close=True)) as server:
        await talk(server.port)
        with pytest.raises(AssertionError, match="/keys"):
            await server.arrived(2, within=0.01)


async def test_garbage_is_answered_and_kept() -> None:
    """A TLS greeting on a plain port is not a request."""
    hello = b"\x16\x03\x01\x02\x00\x01"
    async with ScriptedServer() as server:
        answer, ending = await talk(server.port, hello)
        assert (answer[:12], ending) == (b"HTTP/1.1 400", "fin")
        assert server.garbage == [hello]
        assert server.requests == []


def test_threaded_server_serves_a_blocking_client() -> None:
    """From another thread: same log, script added to meanwhile, nothing left behind."""
    with no_leaks_blocking():
        with ThreadedServer(reply(json={"n": 1})) as server:
            with urllib.request.urlopen(server.api_url + "/key") as answer:
                assert json.load(answer) == {"n": 1}
            server.script(delay(0.01, then=reply(json={"n": 2})))
            with urllib.request.urlopen(server.url) as answer:
                assert json.load(answer) == {"n": 2}
            server.arrived(2)
        assert [r.target for r in server.requests] == ["/api/v1/key", "/"]


def test_threaded_server_serves_a_subprocess_and_stops_while_stalled() -> None:
    """A stalled child does not keep the server; what it then sees is the end."""
    code = "import sys, urllib.request as u; u.urlopen(sys.argv[1])"
    with ThreadedServer(stall_head()) as server:
        child = subprocess.Popen([sys.executable, "-c", code, server.url], stderr=subprocess.PIPE)
        server.arrived(1)
        start = time.monotonic()
    assert time.monotonic() - start < 1
    _, complaint = child.communicate(timeout=5)
    assert b"RemoteDisconnected" in complaint


def test_threaded_server_raises_what_a_step_raised() -> None:
    """Even though it was raised in another thread."""

    async def broken(connection: Connection, request: Request) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ThreadedServer(broken) as server:  # noqa: PT012
        with pytest.raises(OSError, match="closed"):
            urllib.request.urlopen(server.url)
        with pytest.raises(AssertionError):
            server.arrived(2, within=0.01)


def test_hold_takes_an_event_of_threads() -> None:
    """A blocking test opens the gate from its own thread."""
    gate = threading.Event()
    with ThreadedServer(hold(gate, then=reply(json=1))) as server:
        threading.Timer(0.05, gate.set).start()
        with urllib.request.urlopen(server.url) as answer:
            assert gate.is_set()
            assert answer.read() == b"1"
