"""A TCP proxy that damages connections, reproducibly for the same seed.

    async with ChaosProxy("127.0.0.1", server.port, by_turn(reset(after=10))) as proxy:
        ...                                  # talk to proxy.url instead of server.url
        assert proxy.did["reset"] == 1

It knows bytes, not HTTP. A turn begins when the client sends after it has received something, so
it is one request and its response as long as requests are not pipelined; each turn has one `Fault`.
For a blocking test: `with in_thread(ChaosProxy(...)) as proxy` from `support.threads`.
"""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

from support.listener import Listener

Direction = Literal["up", "down"]
Cut = Literal["reset", "truncate", "stall"]

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_READ: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one turn; the functions below build the usual ones."""

    name: str = "clean"
    """The name under which it is counted in `ChaosProxy.did`."""
    wait: float = 0.0
    """Seconds before each piece is forwarded, in both directions."""
    piece: int | None = None
    """Bytes forwarded at once; None: as they arrive."""
    cut: Cut | None = None
    """What happens after `after` bytes of the turn have been forwarded in `direction`; with 0, none
    of the turn's bytes in that direction are forwarded."""
    after: int = 0
    direction: Direction = "down"
    """`up`: from client to server; `down`: from server to client."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The position of a turn; every number starts at 1."""

    connection: int
    number: int
    """Within its connection."""
    overall: int
    """Within the proxy."""


Weather = Callable[[Turn], Fault]
CLEAN: Final = Fault()


def latency(seconds: float) -> Fault:
    """Delay every piece by this many seconds, in both directions."""
    return Fault(name="latency", wait=seconds)


def drip(every: float = 0.01, size: int = 1) -> Fault:
    """Forward `size` bytes every `every` seconds."""
    return Fault(name="drip", wait=every, piece=size)


def bandwidth(bytes_per_second: float) -> Fault:
    """Forward this many bytes a second, in twenty pieces of equal size."""
    piece = max(1, round(bytes_per_second / 20))
    return Fault(name="bandwidth", wait=piece / bytes_per_second, piece=piece)


def reset(after: int = 0, direction: Direction = "down") -> Fault:
    """Reset both sides (RST) after this many bytes."""
    return Fault(name="reset", cut="reset", after=after, direction=direction)


def truncate(after: int = 0, direction: Direction = "down") -> Fault:
    """Close both sides gracefully (FIN) after this many bytes."""
    return Fault(name="truncate", cut="truncate", after=after, direction=direction)


def stall(after: int = 0, direction: Direction = "down") -> Fault:
    """Forward nothing after this many bytes, until one side closes."""
    return Fault(name="stall", cut="stall", after=after, direction=direction)


def by_connection(*faults: Fault, then: Fault = CLEAN) -> Weather:
    """Apply the first fault to every turn of the first connection, and so on."""
    return lambda turn: faults[turn.connection - 1] if turn.connection <= len(faults) else then


def by_turn(*faults: Fault, then: Fault = CLEAN) -> Weather:
    """Apply the first fault to the first turn of the proxy, and so on."""
    return lambda turn: faults[turn.overall - 1] if turn.overall <= len(faults) else then


def mixed(seed: int, *chances: tuple[float, Fault]) -> Weather:
    """Draw a fault for each turn by its probability (0 to 1); none with the remaining probability.

    What the nth turn of the mth connection draws depends only on the seed, not on timing.
    """
    weights = [chance for chance, _ in chances]
    faults = [*(fault for _, fault in chances), CLEAN]

    def weather(turn: Turn) -> Fault:
        dice = random.Random(f"{seed}/{turn.connection}/{turn.number}")
        return dice.choices(faults, [*weights, 1.0 - sum(weights)])[0]

    return weather


def _clear(_: Turn) -> Fault:
    return CLEAN


class _CutError(Exception):
    """The connection must end now, in the given way."""

    def __init__(self, how: Cut) -> None:
        super().__init__(how)
        self.how = how


@dataclass(slots=True)
class _Link:
    """Both sides of a connection, and the state of its current turn."""

    number: int
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    fault: Fault = CLEAN
    turns: int = 0
    heading: Direction = "down"
    passed: Counter[Direction] = field(default_factory=Counter)
    stalled: bool = False


class ChaosProxy:
    """A proxy on loopback that forwards everything to one upstream address."""

    def __init__(self, host: str, port: int, weather: Weather = _clear) -> None:
        """Prepare the proxy; without `weather`, which may be set later, it causes no faults."""
        self.weather = weather
        self.did: Counter[str] = Counter()
        """The number of faults that have happened by name, and of `connections`."""
        self.passed: Counter[Direction] = Counter()
        """Bytes forwarded by direction."""
        self.drawn: list[tuple[Turn, Fault]] = []
        """All turns in the order of their start, each with its fault."""
        self._upstream = (host, port)
        self._listener = Listener(self._serve)

    @property
    def port(self) -> int:
        """The proxy's own port, once it has been entered."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The proxy's own origin, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._listener.__aexit__(kind, error, trace)

    async def _serve(self, sock: socket.socket, number: int) -> None:
        self.did["connections"] += 1
        reader, writer = await asyncio.open_connection(sock=sock)
        writers = [writer]
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
            writers.append(up_writer)
            link = _Link(number, writer, up_writer)
            await self._pass_both_ways(link, reader, up_reader)
        except _CutError as cut:
            end = _reset if cut.how == "reset" else asyncio.StreamWriter.close
            for each in writers:
                end(each)
        except OSError:  # a failure on one side is passed on to the other
            for each in writers:
                _reset(each)
        finally:
            for each in writers:
                _abort(each)
            for each in writers:
                with suppress(OSError):
                    await each.wait_closed()

    async def _pass_both_ways(
        self, link: _Link, reader: asyncio.StreamReader, up_reader: asyncio.StreamReader
    ) -> None:
        for writer in (link.client, link.server):  # so that drain waits until the system has all
            writer.transport.set_write_buffer_limits(high=0)
        pumps = [
            asyncio.create_task(self._pump(link, "up", reader, link.server)),
            asyncio.create_task(self._pump(link, "down", up_reader, link.client)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        link: _Link,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(_READ):
            if not link.stalled:
                self._turn(link, direction)
                await self._pass(link, direction, data, writer)
        if link.stalled:
            raise _CutError("truncate")
        writer.write_eof()

    def _turn(self, link: _Link, direction: Direction) -> None:
        if direction == "up" and link.heading == "down":
            link.turns += 1
            turn = Turn(link.number, link.turns, len(self.drawn) + 1)
            link.fault = self.weather(turn)
            link.passed.clear()
            self.drawn.append((turn, link.fault))
            if link.fault.cut is None:
                self.did[link.fault.name] += 1
        link.heading = direction

    async def _pass(
        self, link: _Link, direction: Direction, data: bytes, writer: asyncio.StreamWriter
    ) -> None:
        fault = link.fault
        cuts = fault.cut is not None and fault.direction == direction
        room = fault.after - link.passed[direction] if cuts else len(data) + 1
        size = fault.piece or len(data)
        allowed = data[: max(0, room)]
        for start in range(0, len(allowed), size):
            piece = allowed[start : start + size]
            await asyncio.sleep(fault.wait)
            writer.write(piece)
            await writer.drain()
            link.passed[direction] += len(piece)
            self.passed[direction] += len(piece)
        if fault.cut is not None and len(data) >= room:
            self.did[fault.name] += 1
            if fault.cut != "stall":
                raise _CutError(fault.cut)
            link.stalled = True


def _abort(writer: asyncio.StreamWriter) -> None:
    if writer.get_extra_info("socket").fileno() >= 0:  # aborting a closed transport may fail
        writer.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    _abort(writer)
