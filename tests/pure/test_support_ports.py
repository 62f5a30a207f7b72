"""Ports that refuse, stay silent or cannot be reached, and certificates that are wrong."""

import asyncio
import socket
import ssl
import time
import urllib.error
import urllib.request

import aiohttp
import pytest
from support import certificates
from support.leaks import no_leaks, no_leaks_blocking
from support.ports import RefuseThenServe, mute_port, refused_port, unconnectable_port
from support.server import ScriptedServer, ThreadedServer
from support.steps import Ending, reply, stall_body


def test_refused_port_refuses_and_is_kept() -> None:
    """Connecting fails at once, again and again, and nobody else gets the port meanwhile."""
    with no_leaks_blocking(), refused_port() as port:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=1)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_mute_port_takes_everything_and_says_nothing() -> None:
    """A connection is made and bytes go out, yet none comes back."""
    with (
        no_leaks_blocking(),
        mute_port() as port,
        socket.create_connection(("127.0.0.1", port), timeout=1) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_unconnectable_port_neither_takes_nor_refuses() -> None:
    """Connecting is what times out."""
    with no_leaks_blocking(), unconnectable_port() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.1)


async def test_refuse_then_serve_on_call() -> None:
    """The port is known and refuses, and serves once the test says so."""
    async with (
        no_leaks(),
        RefuseThenServe(reply(201, close=True)) as server,
        aiohttp.ClientSession() as session,
    ):
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.post(server.url)
        assert (server.connections, server.requests) == (0, [])
        server.up()
        await asyncio.sleep(0.01)
        answer = await session.post(server.url)
        assert answer.status == 201
    assert len(server.requests) == 1


async def test_refuse_then_serve_after_a_time() -> None:
    """It serves by itself, not before its time."""
    async with RefuseThenServe(reply(close=True), up_after=0.1) as server:
        start = time.monotonic()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)
            else:
                break
        assert 0.09 < time.monotonic() - start < 1
        writer.close()
        await writer.wait_closed()


async def test_refusing_server_can_be_left() -> None:
    """Also where it was never up."""
    async with no_leaks(), RefuseThenServe(), RefuseThenServe(up_after=60):
        pass


def test_threaded_server_can_refuse_first() -> None:
    """`up` is called from the test's own thread."""
    with ThreadedServer(reply(json=1), up_after=None) as server:
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(server.url)
        server.up()
        time.sleep(0.05)
        with urllib.request.urlopen(server.url) as answer:
            assert answer.status == 200


async def complaint(server_side: ssl.SSLContext) -> str | None:
    """Tell what a client that trusts the authority says of a server."""
    async with (
        no_leaks(),
        ScriptedServer(reply(json={}), tls=server_side) as server,
        aiohttp.ClientSession() as session,
    ):
        try:
            answer = await session.get(server.url, ssl=certificates.trusting_client())
            await answer.read()
        except aiohttp.ClientConnectorCertificateError as error:
            assert server.connections == 1
            assert server.requests == []
            await server.until(lambda: len(server.handshake_errors) == 1)
            return str(error.certificate_error)
        return None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_good_certificate_is_accepted(host: str) -> None:
    """Under both names, and only by who trusts the authority."""
    async with ScriptedServer(reply(json=[1]), tls=certificates.good_server()) as server:
        async with aiohttp.ClientSession() as session:
            answer = await session.get(server.url_as(host), ssl=certificates.trusting_client())
            assert await answer.json() == [1]
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(server.url)
        assert server.url.startswith("https://127.0.0.1:")


async def test_each_bad_certificate_is_bad_for_its_own_reason() -> None:
    """Self-signed, expired and for another name: each says so, and nothing else."""
    assert await complaint(certificates.good_server()) is None
    assert "self-signed certificate" in str(await complaint(certificates.self_signed_server()))
    assert "certificate has expired" in str(await complaint(certificates.expired_server()))
    assert "IP address mismatch" in str(await complaint(certificates.wrong_name_server()))


def test_authority_can_be_given_to_others() -> None:
    """Its PEM is what the trusting client holds."""
    context = ssl.create_default_context(cadata=certificates.authority_pem().decode())
    assert context.get_ca_certs() == certificates.trusting_client().get_ca_certs()


async def test_stalled_tls_server_can_be_left() -> None:
    """In the body, and while a client has not even greeted."""
    async with no_leaks(), aiohttp.ClientSession() as session:
        async with ScriptedServer(stall_body(), tls=certificates.good_server()) as server:
            _, silent = await asyncio.open_connection("127.0.0.1", server.port)
            answer = await session.get(server.url, ssl=certificates.trusting_client())
            await server.until(lambda: server.connections == 2)
            assert server.requests[0].outcome == "open"
            start = time.monotonic()
        assert time.monotonic() - start < 1
        with pytest.raises(aiohttp.ClientError):
            await answer.read()
        silent.close()
        await asyncio.gather(silent.wait_closed(), return_exceptions=True)


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_cut_body_over_tls(ending: Ending) -> None:
    """The head and the first bytes arrive before the end, whichever that is."""
    step = reply(body=b"0123456789", truncate=4, ending=ending)
    async with (
        ScriptedServer(step, tls=certificates.good_server()) as server,
        aiohttp.ClientSession() as session,
    ):
        answer = await session.get(server.url, ssl=certificates.trusting_client())
        assert await answer.content.readexactly(4) == b"0123"
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
