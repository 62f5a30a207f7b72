"""The scripted server does to a client what a test says, and logs what the client did."""

import asyncio
import gzip
import json
import subprocess
import sys
import threading
import time
import urllib.request
import zlib

import aiohttp
import pytest
from support.bombs import deflate_bomb, gzip_bomb, gzip_zeros, zlib_zeros
from support.leaks import no_leaks, no_leaks_blocking
from support.server import ScriptedServer, ThreadedServer
from support.steps import (
    Step,
    close_before_head,
    cut_chunk,
    delay,
    drip,
    echo,
    endless_chunks,
    endless_head,
    hold,
    html,
    huge_body,
    raw,
    redirect,
    reply,
    reset,
    short_content_length,
    stall_body,
    stall_head,
)
from support.wire import Connection, Request

GET = b"GET /keys?offset=100 HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /keys HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def talk(port: int, request: bytes = GET, *, within: float = 3.0) -> tuple[bytes, str]:
    """Send a request and read all that comes; tell whether FIN, RST or nothing ended it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    ending = "fin"
    try:
        writer.write(request)
        async with asyncio.timeout(within):
            while data := await reader.read(65536):
                received += data
    except ConnectionResetError:
        ending = "reset"
    except TimeoutError:
        ending = "silence"
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return received, ending


async def outcome(step: Step, *, within: float = 3.0) -> tuple[bytes, str]:
    """Tell what a raw client sees of one step."""
    async with ScriptedServer(step) as server:
        return await talk(server.port, within=within)


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
        await talk(server.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
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


async def test_reply_says_what_it_was_given() -> None:
    """Headers, reason and JSON go out once each; a 204 has no body and no length."""
    answer, _ = await outcome(
        reply(429, json=None, headers={"Retry-After": "1"}, reason="Slow down", close=True)
    )
    assert answer == (
        b"HTTP/1.1 429 Slow down\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: 4\r\n\r\nnull"
    )
    answer, _ = await outcome(reply(204, close=True))
    assert answer == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


async def test_echo_gives_the_request_back() -> None:
    """What the server understood is in the answer."""
    async with ScriptedServer(echo()) as server, aiohttp.ClientSession() as session:
        answer = await session.post(server.url_as("localhost") + "/e?q=1", data=b"abc")
        said = await answer.json()
    assert (said["method"], said["target"], said["body"]) == ("POST", "/e?q=1", "abc")
    assert ["Content-Length", "3"] in said["headers"]


@pytest.mark.parametrize(
    ("step", "received", "ending"),
    [
        (reset(), b"", "reset"),
        (close_before_head(), b"", "fin"),
        (stall_head(), b"", "silence"),
        (stall_head(b"HTTP/1.1 2"), b"HTTP/1.1 2", "silence"),
        (raw(b"\x00nonsense"), b"\x00nonsense", "fin"),
        (reply(body=b"0123456789", truncate=4), b"Content-Length: 10\r\n\r\n0123", "fin"),
        (
            reply(body=b"0123456789", truncate=4, ending="reset"),
            b"Content-Length: 10\r\n\r\n0123",
            "reset",
        ),
        (stall_body(b"0123456789", sent=4), b"Content-Length: 10\r\n\r\n0123", "silence"),
        (short_content_length(b"0123", by=1), b"Content-Length: 3\r\n\r\n0123", "silence"),
        (cut_chunk(b"0123456789", sent=4), b"\r\n\r\na\r\n0123", "fin"),
        (cut_chunk(b"0123456789", sent=4, ending="reset"), b"\r\n\r\na\r\n0123", "reset"),
    ],
)
async def test_broken_answers_end_as_they_say(step: Step, received: bytes, ending: str) -> None:
    """The bytes before the end are exactly these, and RST, FIN and silence are told apart."""
    answer, ended = await outcome(step, within=0.1)
    assert ended == ending
    assert answer.endswith(received)
    assert bool(answer) == bool(received)


async def test_drip_takes_its_time() -> None:
    """A body of four bytes, two at a time, takes two pauses and arrives in pieces."""
    async with ScriptedServer(drip(b"0123", every=0.05, size=2)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        start = time.monotonic()
        assert await reader.read(100) == b"01"
        assert await reader.read(100) == b"23"
        assert 0.09 < time.monotonic() - start < 1
        writer.close()
        await writer.wait_closed()


async def test_drip_can_take_its_time_over_the_head() -> None:
    """With the head, the first byte alone comes first."""
    async with ScriptedServer(drip(b"{}", every=0.01, with_head=True)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        assert await reader.read(100) == b"H"
        writer.close()
        await writer.wait_closed()
        await server.until(lambda: server.requests[0].client_closed_early)


@pytest.mark.parametrize(
    ("step", "marker"),
    [
        (endless_chunks(), b"10000\r\n\x00"),
        (endless_head(), b"X-More:"),
        (huge_body(), b"314572800"),
    ],
)
async def test_endless_answers_go_on_until_the_client_leaves(step: Step, marker: bytes) -> None:
    """Many MiB come, and the log says that the client went."""
    async with ScriptedServer(step) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        start = await reader.readexactly(1024)
        await reader.readexactly(8 * 1024 * 1024)
        assert marker in start
        assert server.requests[0].outcome == "open"
        writer.transport.abort()
        await server.until(lambda: server.requests[0].client_closed_early)


def test_bombs_are_what_they_say() -> None:
    """By the standard library's own reading, checksums included; and they are small."""
    assert gzip.decompress(gzip_zeros(3)) == bytes(3 * 2**20)
    assert zlib.decompress(zlib_zeros(3)) == bytes(3 * 2**20)
    assert len(gzip_zeros(300)) < 2**20


@pytest.mark.parametrize("bomb", [gzip_bomb, deflate_bomb])
async def test_bomb_goes_off_in_a_client(bomb: object) -> None:
    """A client that reads all of it holds all of it."""
    assert callable(bomb)
    async with ScriptedServer(bomb(mib=2)) as server, aiohttp.ClientSession() as session:
        answer = await session.get(server.url)
        assert len(await answer.read()) == 2 * 2**20


async def test_delay_and_hold_wait_before_a_step() -> None:
    """A delay is seconds; a hold ends when the test says so, and the request is in the log."""
    gate = asyncio.Event()
    async with ScriptedServer(hold(gate, then=delay(0.05, then=reply(204, close=True)))) as server:
        asking = asyncio.create_task(talk(server.port))
        await server.arrived(1)
        assert server.requests[0].outcome == "open"
        await asyncio.sleep(0.02)
        assert not asking.done()
        start = time.monotonic()
        gate.set()
        answer, _ = await asking
        assert time.monotonic() - start > 0.045
        assert answer.startswith(b"HTTP/1.1 204")
        await server.until(lambda: server.requests[0].outcome == "done")


async def test_a_client_that_leaves_early_is_noticed() -> None:
    """Whether cancelled before the head, before the delay was over, or in the body."""
    steps = [stall_head(), delay(5, then=reply()), stall_body()]
    async with ScriptedServer(*steps) as server:
        for _ in steps:
            await talk(server.port, within=0.05)
        await server.until(lambda: all(r.client_closed_early for r in server.requests))
        assert len(server.requests) == 3


async def test_idle_connection_is_closed() -> None:
    """Without a next request in time the connection ends; with one it is kept."""
    async with ScriptedServer(reply(idle_close=0.1), reply(idle_close=0.1)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.06)
        start = time.monotonic()
        assert await reader.read() == b""
        assert time.monotonic() - start < 1
        assert [r.connection for r in server.requests] == [1, 1]
        writer.close()
        await writer.wait_closed()


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
        assert time.monotonic() - start < 0.2
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
    assert time.monotonic() - start < 0.5
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
