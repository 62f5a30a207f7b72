"""The scripted server does to a client what a test says, byte for byte, and logs what it did."""

import asyncio
import json
import socket
import urllib.error
import urllib.request

import aiohttp
import pytest
from support import certificates
from support.leaks import no_leaks, no_leaks_blocking
from support.ports import mute_port, refused_port, unconnectable_port
from support.rawclient import GET, talk
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
    stall_body,
    stall_head,
)
from support.wire import Connection, Request

POST = b"POST /keys HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def test_log_keeps_what_was_sent() -> None:
    """Method, raw target, header names in their case, body, and the place on its connection."""
    two = b"GET /a%2Fb?x=%20 HTTP/1.1\r\nHOST: h\r\nx-Two: 1\r\nx-Two:  2 \r\n\r\n" + POST
    hello = b"\x16\x03\x01\x02\x00\x01"  # of TLS
    async with ScriptedServer(reply(), reply(close=True), default=reply()) as server:
        assert (await talk(server.port, two))[1] == "fin"
        await talk(server.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer, ending = await talk(server.port, hello)
    assert (answer[:12], ending, server.garbage) == (b"HTTP/1.1 400", "fin", [hello])
    first, second, third = server.requests
    assert (first.method, first.target, first.version) == ("GET", "/a%2Fb?x=%20", "HTTP/1.1")
    assert first.headers == [("HOST", "h"), ("x-Two", "1"), ("x-Two", "2")]
    assert (first.header("host"), first.header("absent")) == ("h", None)
    with pytest.raises(LookupError):
        first.header("x-two")
    assert (second.body, second.json()) == (b"{}", {})
    assert [(r.connection, r.number) for r in server.requests] == [(1, 1), (1, 2), (2, 1)]
    assert first.at <= second.at <= third.at
    assert server.connections == 3


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
    assert (seen[1][1], seen[2][2], seen[3][2][:6]) == ("/there", "/k", "<html>")


async def test_reply_says_what_it_was_given() -> None:
    """Headers, reason and JSON go out once each; a 204 has no body and no length."""
    slow_down = reply(429, json=None, headers={"Retry-After": "1"}, reason="Slow down", close=True)
    async with ScriptedServer(slow_down, reply(204, close=True)) as server:
        assert (await talk(server.port))[0] == (
            b"HTTP/1.1 429 Slow down\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: 4\r\n\r\nnull"
        )
        assert (await talk(server.port))[0] == (
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        )


@pytest.mark.parametrize(
    ("step", "received", "ending"),
    [
        (reset(), b"", "reset"),
        (close_before_head(), b"", "fin"),
        (stall_head(), b"", "silence"),
        (stall_head(b"HTTP/1.1 2"), b"HTTP/1.1 2", "silence"),
        (raw(b"\x00nonsense"), b"\x00nonsense", "fin"),
        (reply(body=b"0123456789", truncate=4), b"Length: 10\r\n\r\n0123", "fin"),
        (reply(body=b"0123", truncate=2, ending="reset"), b"Length: 4\r\n\r\n01", "reset"),
        (stall_body(b"0123456789", sent=4), b"Length: 10\r\n\r\n0123", "silence"),
        (drip(b"0123", every=0.001, size=2), b"Length: 4\r\n\r\n0123", "silence"),
        (drip(b"0", every=0.0, with_head=True), b"Length: 1\r\n\r\n0", "silence"),
        (echo(), b'[["Host", "x"]], "body": ""}', "silence"),
        (cut_chunk(b"0123456789", sent=4), b"\r\n\r\na\r\n0123", "fin"),
        (cut_chunk(b"0123456789", sent=4, ending="reset"), b"\r\n\r\na\r\n0123", "reset"),
    ],
)
async def test_broken_answers_end_as_they_say(step: Step, received: bytes, ending: str) -> None:
    """The bytes before the end are exactly these, and RST, FIN and silence are told apart."""
    async with ScriptedServer(step) as server:
        answer, ended = await talk(server.port, within=0.2)
    assert ended == ending
    assert answer.endswith(received)
    assert bool(answer) == bool(received)


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
        assert marker in await reader.readexactly(1024)
        await reader.readexactly(4 * 1024 * 1024)
        assert server.requests[0].outcome == "open"
        writer.transport.abort()
        await server.until(lambda: server.requests[0].client_closed_early)


async def test_hold_and_delay_wait_before_a_step() -> None:
    """A hold ends when the test says so, a delay by itself, and the request is in the log."""
    gate = asyncio.Event()
    async with ScriptedServer(hold(gate, then=delay(0.01, then=reply(204, close=True)))) as server:
        asking = asyncio.create_task(talk(server.port))
        await server.arrived(1)
        await asyncio.sleep(0.02)
        assert (server.requests[0].outcome, asking.done()) == ("open", False)
        gate.set()
        assert (await asking)[0].startswith(b"HTTP/1.1 204")
    assert server.requests[0].outcome == "done"


async def test_a_client_that_leaves_early_is_noticed() -> None:
    """Whether before the head, before a delay was over, or in the body."""
    steps = [stall_head(), delay(5, then=reply()), stall_body(), drip(b"x" * 99)]
    async with ScriptedServer(*steps) as server:
        for _ in steps:
            await talk(server.port, within=0.05)
        await server.until(lambda: all(r.client_closed_early for r in server.requests))
        assert len(server.requests) == 4
        with pytest.raises(AssertionError, match="/keys"):
            await server.arrived(5, within=0.01)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_leaving_ends_whatever_is_going_on(scheme: str) -> None:
    """Stalls, delays, endless answers, half a request, and a connection without one."""
    steps = [stall_head(), stall_body(), delay(60, then=reply()), endless_chunks()]
    sent = [GET] * len(steps) + [b"GET / HT", POST[:-1], b""]
    context = certificates.good_server() if scheme == "https" else None
    trust = certificates.trusting_client() if scheme == "https" else None
    async with no_leaks():
        writers = []
        async with asyncio.timeout(10), ScriptedServer(*steps, tls=context) as server:
            for request in sent:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust)
                writer.write(request)
                writers.append(writer)
            await server.arrived(len(steps))
            _, silent = await asyncio.open_connection("127.0.0.1", server.port)
            writers.append(silent)
        assert {request.outcome for request in server.requests} == {"stopped"}
        for writer in writers:
            writer.transport.abort()


async def broken(connection: Connection, request: Request) -> None:
    """A step with a mistake."""
    raise ZeroDivisionError


async def test_what_a_step_raises_is_raised_where_the_server_is_left() -> None:
    """A mistake in a test's own step or handler cannot pass for a fault, nor hide a failure."""

    def lost(request: Request) -> Step:
        raise KeyError(request.target)

    for server, error in (
        (ScriptedServer(broken), ZeroDivisionError),
        (ScriptedServer(handler=lost), KeyError),
    ):
        with pytest.raises(error):
            async with server:
                assert await talk(server.port) == (b"", "fin")
    with pytest.raises(IndexError):  # noqa: PT012
        async with ScriptedServer(broken) as server:
            await talk(server.port)
            raise IndexError


def test_threaded_server_serves_a_blocking_client() -> None:
    """From another thread: same log, script added to meanwhile, and it stops while it stalls."""
    with no_leaks_blocking():
        with ThreadedServer(reply(json={"n": 1})) as server:
            with urllib.request.urlopen(server.api_url + "/key") as answer:
                assert json.load(answer) == {"n": 1}
            server.script(stall_head())
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(GET)
                server.arrived(2)
        assert [r.target for r in server.requests] == ["/api/v1/key", "/keys?offset=100"]
    with pytest.raises(ZeroDivisionError), ThreadedServer(broken) as server:  # noqa: PT012
        with pytest.raises(OSError, match="closed"):
            urllib.request.urlopen(server.url)
        with pytest.raises(AssertionError):
            server.arrived(2, within=0.01)


async def test_refuses_until_it_is_up() -> None:
    """The port is known and refuses, and serves once the test says so."""
    async with no_leaks(), ScriptedServer(refuses=True):
        pass
    async with no_leaks(), ScriptedServer(reply(201, close=True), refuses=True) as server:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await talk(server.port)
        server.up()
        assert (await talk(server.port))[0].startswith(b"HTTP/1.1 201")
    assert (server.connections, len(server.requests)) == (1, 1)


def test_ports_refuse_are_mute_or_cannot_be_connected_to() -> None:
    """Each as it says, and nobody else gets a refused port meanwhile."""
    with no_leaks_blocking(), refused_port() as port:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=1)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    with (
        no_leaks_blocking(),
        mute_port() as port,
        socket.create_connection(("127.0.0.1", port), timeout=1) as client,
    ):
        client.sendall(GET)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    with no_leaks_blocking(), unconnectable_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.1)


async def test_each_certificate_is_bad_for_its_own_reason() -> None:
    """Self-signed, expired and for another name: each says so; the good one is good."""
    for context, reason in (
        (certificates.good_server(), None),
        (certificates.self_signed_server(), "self-signed certificate"),
        (certificates.expired_server(), "certificate has expired"),
        (certificates.wrong_name_server(), "IP address mismatch"),
    ):
        async with (
            no_leaks(),
            ScriptedServer(reply(json={}), tls=context) as server,
            aiohttp.ClientSession() as session,
        ):
            asking = session.get(server.url, ssl=certificates.trusting_client())
            if reason is None:
                assert await (await asking).json() == {}
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await session.get(server.url)
            else:
                with pytest.raises(aiohttp.ClientConnectorCertificateError, match=reason):
                    await asking
                assert (server.connections, server.requests) == (1, [])
