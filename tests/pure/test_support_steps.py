"""Every step sends exactly the bytes it says, and ends the connection as it says."""

import asyncio
import gzip
import time
import zlib

import aiohttp
import pytest
from support.bombs import deflate_bomb, gzip_bomb, gzip_zeros, zlib_zeros
from support.rawclient import GET, talk
from support.server import ScriptedServer
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
    huge_body,
    raw,
    reply,
    reset,
    short_content_length,
    stall_body,
    stall_head,
)


async def outcome(step: Step, *, within: float = 3.0) -> tuple[bytes, str]:
    """Tell what a raw client sees of one step."""
    async with ScriptedServer(step) as server:
        return await talk(server.port, within=within)


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
