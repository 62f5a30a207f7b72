"""Answers without end: what is read is bounded, and so is the memory it takes."""

import gc
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.calls import CREATE, GET, LIST, REPEATABLE, Call, ClientFor
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Step, endless_chunks, endless_head, huge_body, reply

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    InternalServerResponseError,
    OpenRouterError,
    ResponseTooLargeError,
)

MIB = 1024 * 1024
LARGEST = 8 * MIB  # bytes of a decoded answer that the client reads


@contextmanager
def within(bound: int) -> Iterator[None]:
    """Fail if the block ever holds so many bytes more than before it."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most - before <= bound, f"{(most - before) / MIB:.1f} MiB"


def bomb(encoding: str, mib: int = 300, *, status: int = 200) -> Step:
    """Respond with about 1 kB per MiB of zeros, without the stream's end."""
    # A full flush leaves no state between blocks, so one compressed MiB can be repeated.
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    first, second = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in "12")
    return reply(status, body=first + second * (mib - 1), headers={"Content-Encoding": encoding})


ENDLESS: dict[str, Step] = {
    "300 MiB": huge_body(300),
    "endless chunks": endless_chunks(),
    "gzip bomb": bomb("gzip"),
    "deflate bomb": bomb("deflate"),
}


@pytest.mark.parametrize("call", [LIST, GET, CREATE], ids=str)
@pytest.mark.parametrize("case", ENDLESS)
async def test_answer_without_end(
    case: str, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 17: one request, `ResponseTooLargeError`, 32 MiB at most; a create is ambiguous."""
    async with ScriptedServer(default=ENDLESS[case]) as server:
        client = client_for(server, clock=clock)
        with within(32 * MIB), pytest.raises(ResponseTooLargeError) as caught:
            await call(client)
    assert len(server.requests) == caught.value.attempts == 1
    assert isinstance(caught.value, AmbiguousCreateError) == (call is CREATE)
    assert len(caught.value.body or "") <= 2048


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
async def test_every_operation_is_bounded(call: Call, client_for: ClientFor) -> None:
    """Fault 17: there is no operation that would read on."""
    async with ScriptedServer(default=bomb("gzip", 20)) as server:
        with pytest.raises(ResponseTooLargeError):
            await call(client_for(server))
    assert len(server.requests) == 1


ERRORS: dict[str, Step] = {
    "4 MiB": reply(500, body=bytes(4 * MIB)),
    "gzip bomb": bomb("gzip", status=500),
    "deflate bomb": bomb("deflate", status=500),
}


@pytest.mark.parametrize("case", ERRORS)
async def test_error_without_end(case: str, client_for: ClientFor) -> None:
    """Fault 17: an error's body is cut at 64 KiB, and the class still follows the status."""
    async with ScriptedServer(default=ERRORS[case]) as server:
        client = client_for(server, retries=None)
        with within(32 * MIB), pytest.raises(InternalServerResponseError) as caught:
            await GET(client)
    assert len(server.requests) == 1
    assert len(caught.value.body or "") <= 2048


async def test_head_without_end(client_for: ClientFor) -> None:
    """Fault 17: headers are bounded, too."""
    async with ScriptedServer(default=endless_head()) as server:
        client = client_for(server)
        with within(32 * MIB), pytest.raises(APIConnectionError):
            await GET(client)
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1])
async def test_exactly_the_largest(size: int, client_for: ClientFor) -> None:
    """8 MiB are read; one byte more is too much."""
    body = b'{"data": []' + b" " * (size - 12) + b"}"
    async with ScriptedServer(reply(body=body)) as server:
        client = client_for(server)
        if size > LARGEST:
            with pytest.raises(ResponseTooLargeError):
                await LIST(client)
        else:
            assert (await LIST(client)).data == []


async def test_connection_of_a_bomb_is_closed(client_for: ClientFor) -> None:
    """What was not read to its end is not used again, and the next call is fine."""
    async with ScriptedServer(huge_body(300), GET.ok()) as server:
        client = client_for(server)
        with pytest.raises(OpenRouterError):
            await GET(client)
        await GET(client)
    assert [request.connection for request in server.requests] == [1, 2]
    assert server.requests[0].client_closed_early
