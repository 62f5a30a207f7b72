"""Bodies that end too early, in every way there is: a read is repeated until it is right."""

import gzip
import json
import zlib

import pytest
from support.calls import GET, LIST, REPEATABLE, Call, ClientFor, record
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import Ending, Step, cut_chunk, drip, raw, reply

from openrouter_async import ResponseValidationError

PAGE = json.dumps({"data": [record(name=f"key {number}") for number in range(100)]}).encode()
SHORT = json.dumps({"data": []}).encode()
CUTS: dict[str, Step] = {
    "closed in the body": reply(body=PAGE, truncate=30_000),
    "closed before the body": reply(body=PAGE, truncate=0),
    "closed one byte early": reply(body=PAGE, truncate=len(PAGE) - 1),
    "reset in the body": reply(body=PAGE, truncate=30_000, ending="reset"),
    "reset before the body": reply(body=PAGE, truncate=0, ending="reset"),
    "length too short": reply(body=PAGE[:-1]),
    "length far too short": reply(body=PAGE[:500]),
    "cut chunk": cut_chunk(PAGE, sent=30_000),
    "reset in a chunk": cut_chunk(PAGE, sent=30_000, ending="reset"),
    "cut gzip": reply(body=gzip.compress(PAGE), truncate=500, headers={"Content-Encoding": "gzip"}),
    "gzip of a cut body": reply(
        body=gzip.compress(PAGE[:500]), headers={"Content-Encoding": "gzip"}
    ),
    "gzip cut at an honest length": reply(
        body=gzip.compress(PAGE)[:500], headers={"Content-Encoding": "gzip"}
    ),
}


@pytest.mark.parametrize("case", CUTS)
async def test_cut_then_right(case: str, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 16: the read is sent again, and the second answer is the result."""
    async with ScriptedServer(CUTS[case], reply(body=PAGE)) as server:
        page = await LIST(client_for(server, clock=clock))
    assert len(page.data) == 100
    assert len(server.requests) == 2
    assert clock.sleeps == [0.5]


@pytest.mark.parametrize("case", CUTS)
async def test_cut_for_ever(case: str, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 16: three cut answers are an error that says so."""
    async with ScriptedServer(default=CUTS[case]) as server:
        with pytest.raises(ResponseValidationError, match="the response ends too early") as caught:
            await LIST(client_for(server, clock=clock))
    assert caught.value.attempts == len(server.requests) == 3
    assert caught.value.status_code == 200


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
@pytest.mark.parametrize("ending", ["reset", "close"])
async def test_connection_lost_in_the_head(
    ending: Ending, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 16: the answer is lost on its way; every operation that may be is repeated."""
    lost = raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Le", ending=ending)
    async with ScriptedServer(lost, call.ok()) as server:
        await call(client_for(server, clock=clock))
    assert len(server.requests) == 2


ENCODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(PAGE)),
    "deflate": ("deflate", zlib.compress(PAGE)),
    "raw deflate": ("deflate", zlib.compress(PAGE)[2:-4]),
    "identity": ("identity", PAGE),
}


@pytest.mark.parametrize("case", ENCODED)
async def test_encodings_that_are_asked_for(case: str, client_for: ClientFor) -> None:
    """What the client says it accepts, it decodes."""
    encoding, body = ENCODED[case]
    step = reply(body=body, headers={"Content-Encoding": encoding})
    async with ScriptedServer(step) as server:
        page = await LIST(client_for(server))
    assert len(page.data) == 100
    assert server.requests[0].header("Accept-Encoding") == "gzip, deflate"


async def test_body_until_the_end_of_the_connection(client_for: ClientFor) -> None:
    """A body without any length ends where the connection does; that is not too early."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    async with ScriptedServer(raw(head + SHORT)) as server:
        assert (await LIST(client_for(server))).data == []
    assert len(server.requests) == 1


async def test_chunks_of_one_byte(client_for: ClientFor) -> None:
    """A body in many small pieces is one body."""
    body = json.dumps({"data": record()}).encode()
    async with ScriptedServer(drip(body, every=0.0)) as server:
        key = await GET(client_for(server))
    assert key.data.name == "acme"
    assert len(server.requests) == 1
