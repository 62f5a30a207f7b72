"""The chaos proxy does what its weather says, at the byte where it says so, and counts it."""

import asyncio
import io
import time
import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import pytest
from support.chaos import (
    CLEAN,
    ChaosProxy,
    Fault,
    Turn,
    bandwidth,
    by_connection,
    by_turn,
    drip,
    latency,
    mixed,
    reset,
    stall,
    truncate,
)
from support.leaks import no_leaks
from support.ports import refused_port
from support.server import ScriptedServer
from support.steps import head, raw, reply
from support.threads import in_thread

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = head(200, length=10) + b"0123456789"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """Answer every request with the same bytes, and check that nothing is left open."""
    async with no_leaks(), ScriptedServer(default=reply(body=b"0123456789")) as upstream:
        yield upstream


async def talk(port: int, turns: int = 1, *, within: float = 3.0) -> tuple[bytes, str]:
    """Ask so many times on one connection; give all that came, and how it ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    ending = "open"
    try:
        async with asyncio.timeout(within):
            for turn in range(turns):
                writer.write(REQUEST)
                while len(received) < (turn + 1) * len(ANSWER) and ending == "open":
                    data = await reader.read(65536)
                    received += data
                    ending = ending if data else "fin"
    except ConnectionResetError:
        ending = "reset"
    except TimeoutError:
        ending = "silence"
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return received, ending


async def test_plain_proxy_passes_everything(server: ScriptedServer) -> None:
    """In both directions, turn after turn, and it counts bytes and turns."""
    async with ChaosProxy("127.0.0.1", server.port) as proxy:
        assert await talk(proxy.port, turns=3) == (ANSWER * 3, "open")
        assert await talk(proxy.port) == (ANSWER, "open")
    assert proxy.did == {"connections": 2, "clean": 4}
    assert proxy.passed == {"up": 4 * len(REQUEST), "down": 4 * len(ANSWER)}
    assert [r.connection for r in server.requests] == [1, 1, 1, 2]


async def test_large_bodies_go_through(server: ScriptedServer) -> None:
    """Eight MiB each way, unharmed."""
    body = bytes(range(256)) * 4096 * 8
    server.script(reply(body=body))
    async with ChaosProxy("127.0.0.1", server.port) as proxy, aiohttp.ClientSession() as session:
        answer = await session.post(proxy.url, data=io.BytesIO(body))
        assert await answer.read() == body
    assert server.requests[0].body == body


@pytest.mark.parametrize(
    ("fault", "received", "ending", "requests"),
    [
        (reset(), b"", "reset", 1),
        (reset(after=20), ANSWER[:20], "reset", 1),
        (reset(direction="up"), b"", "reset", 0),
        (reset(after=5, direction="up"), b"", "reset", 0),
        (reset(after=len(REQUEST), direction="up"), b"", "reset", None),
        (truncate(after=20), ANSWER[:20], "fin", 1),
        (truncate(after=5, direction="up"), b"", "fin", 0),
        (stall(after=20), ANSWER[:20], "silence", 1),
        (stall(after=5, direction="up"), b"", "silence", 0),
    ],
    ids=str,
)
async def test_cuts(
    server: ScriptedServer, fault: Fault, received: bytes, ending: str, requests: int | None
) -> None:
    """The client gets exactly the bytes before the cut; upwards, the server gets no request."""
    async with ChaosProxy("127.0.0.1", server.port, by_turn(fault)) as proxy:
        assert await talk(proxy.port, within=0.1) == (received, ending)
        assert await talk(proxy.port) == (ANSWER, "open")
        assert proxy.did == {"connections": 2, fault.cut: 1, "clean": 1}
    if requests is not None:
        assert len(server.requests) == requests + 1


async def test_a_later_turn_of_a_connection_can_be_cut(server: ScriptedServer) -> None:
    """Bytes count from the beginning of the turn."""
    async with ChaosProxy("127.0.0.1", server.port, by_turn(CLEAN, CLEAN, reset(3))) as proxy:
        assert await talk(proxy.port, turns=3) == (ANSWER * 2 + ANSWER[:3], "reset")
    assert proxy.drawn[2] == (Turn(connection=1, number=3, overall=3), reset(3))


async def test_an_answer_cut_at_its_last_byte_is_whole(server: ScriptedServer) -> None:
    """With `after` beyond the answer nothing happens, and nothing is counted."""
    weather = by_turn(reset(len(ANSWER)), reset(len(ANSWER) + 1))
    async with ChaosProxy("127.0.0.1", server.port, weather) as proxy:
        assert (await talk(proxy.port))[0] == ANSWER
        assert await talk(proxy.port) == (ANSWER, "open")
        assert proxy.did == {"connections": 2, "reset": 1}


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (latency(0.05), 0.1),  # up and down
        (drip(every=0.001, size=1), 0.05),
        (bandwidth(1000), (len(REQUEST) + len(ANSWER)) / 1000),
    ],
    ids=str,
)
async def test_slowness(server: ScriptedServer, fault: Fault, seconds: float) -> None:
    """It takes as long as it should, and nothing is lost."""
    async with ChaosProxy("127.0.0.1", server.port, by_turn(then=fault)) as proxy:
        start = time.monotonic()
        assert await talk(proxy.port) == (ANSWER, "open")
        assert 0.8 * seconds < time.monotonic() - start < seconds + 1
        assert proxy.did[fault.name] == 1


async def test_weather_by_connection(server: ScriptedServer) -> None:
    """Every turn of the first connection, none of the second."""
    weather = by_connection(latency(0.001), then=CLEAN)
    async with ChaosProxy("127.0.0.1", server.port, weather) as proxy:
        await talk(proxy.port, turns=2)
        await talk(proxy.port, turns=3)
        assert proxy.did == {"connections": 2, "latency": 2, "clean": 3}


def test_mixed_weather_depends_on_the_seed_alone() -> None:
    """Asked in any order, it says the same; its share is what was asked for."""
    turns = [Turn(c, n, 1) for c in range(1, 101) for n in range(1, 101)]
    weather = mixed(7, (0.02, reset()), (0.01, stall()))
    drawn = [weather(turn) for turn in turns]
    again = mixed(7, (0.02, reset()), (0.01, stall()))
    assert [again(turn) for turn in reversed(turns)] == drawn[::-1]
    assert [mixed(8, (0.02, reset()), (0.01, stall()))(turn) for turn in turns] != drawn
    assert 150 < drawn.count(reset()) < 250
    assert 60 < drawn.count(stall()) < 140
    assert drawn.count(CLEAN) == len(turns) - drawn.count(reset()) - drawn.count(stall())


async def test_mixed_weather_over_many_callers(server: ScriptedServer) -> None:
    """Two runs of the same callers suffer the same, and every count adds up."""
    counts = []
    for _ in range(2):
        weather = mixed(3, (0.2, reset()), (0.2, truncate(30)), (0.1, latency(0.001)))
        async with ChaosProxy("127.0.0.1", server.port, weather) as proxy:
            outcomes = await asyncio.gather(*(talk(proxy.port) for _ in range(50)))
            assert sum(ending == "reset" for _, ending in outcomes) == proxy.did["reset"]
            assert sum(ending == "fin" for _, ending in outcomes) == proxy.did["truncate"]
            counts.append(proxy.did)
    assert counts[0] == counts[1]
    assert counts[0]["reset"] > 2 < counts[0]["truncate"]


async def test_upstream_that_refuses_is_a_reset() -> None:
    """The client was connected, and is told at once."""
    with refused_port() as port:
        async with no_leaks(), ChaosProxy("127.0.0.1", port) as proxy:
            assert (await talk(proxy.port))[1] == "reset"


async def test_end_of_either_side_is_passed_on(server: ScriptedServer) -> None:
    """The server's FIN reaches the client, the client's leaving reaches the server."""
    server.script(raw(b"short"), reply(body=b"0123456789", truncate=1, ending="stall"))
    async with ChaosProxy("127.0.0.1", server.port) as proxy:
        assert await talk(proxy.port) == (b"short", "fin")
        assert (await talk(proxy.port, within=0.05))[1] == "silence"
        await server.until(lambda: server.requests[1].client_closed_early)


async def test_leaving_ends_stalls_and_waits(server: ScriptedServer) -> None:
    """The proxy stops at once while clients wait on it."""
    async with ChaosProxy("127.0.0.1", server.port, by_turn(stall(), latency(60))) as proxy:
        waiting = [asyncio.create_task(talk(proxy.port)) for _ in range(3)]
        await server.until(lambda: len(proxy.drawn) == 3)
        start = time.monotonic()
    assert time.monotonic() - start < 1
    await asyncio.gather(*waiting)


def test_proxy_in_a_thread() -> None:
    """For a blocking client, with the server in a thread too."""
    with (
        in_thread(ScriptedServer(reply(json=1))) as upstream,
        in_thread(ChaosProxy("127.0.0.1", upstream.port, by_turn(latency(0.01)))) as proxy,
    ):
        with urllib.request.urlopen(proxy.url) as answer:
            assert answer.read() == b"1"
        assert proxy.did == {"connections": 1, "latency": 1}


def test_in_thread_raises_what_entering_raises() -> None:
    """Nothing waits for a manager that could not be entered."""

    class Broken:
        async def __aenter__(self) -> None:
            raise ZeroDivisionError

        async def __aexit__(self, *_: object) -> None: ...

    with pytest.raises(ZeroDivisionError), in_thread(Broken()):
        pass
