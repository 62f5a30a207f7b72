"""What one request looked like on the wire, and the connection it came in on."""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Literal, cast

_END_OF_HEAD = b"\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientGoneError(Exception):
    """The client closed its side while something was still to be read from it or sent to it."""


class NotHTTPError(Exception):
    """The client sent something that is not an HTTP/1 request, such as a TLS greeting."""

    def __init__(self, received: bytes) -> None:
        """Keep what was received."""
        super().__init__(received)
        self.received = received


@dataclass(slots=True, eq=False)
class Request:
    """One entry of the wire log: a request as it was received, and what became of its answer."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    """Every header in order, names in the case in which they came."""
    head: bytes
    """The request line and headers, byte for byte."""
    body: bytes = field(default=b"", repr=False)
    """The body, without its chunks where it came in chunks."""
    connection: int = 0
    """Which connection of this server brought it: 1 is the first."""
    number: int = 0
    """Which request of its connection it was: 1 is the first."""
    at: float = 0.0
    """When it had been read to its end, in seconds on the loop's clock."""
    outcome: Literal["open", "done", "client_closed", "stopped"] = "open"
    """`open`: being answered; `done`: the step did all it meant to; `stopped`: the server ended."""

    @property
    def client_closed_early(self) -> bool:
        """Whether the client closed the connection before the answer was complete."""
        return self.outcome == "client_closed"

    def values(self, name: str) -> list[str]:
        """Return every value of a header, its name in any case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the value of a header; None if it was not sent, LookupError if it came twice."""
        values = self.values(name)
        if len(values) > 1:
            message = f"{name} was sent {len(values)} times"
            raise LookupError(message)
        return values[0] if values else None

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def parse_head(head: bytes) -> Request:
    """Read a request line and headers; NotHTTPError if they are anything else."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise NotHTTPError(head)
    headers = []
    for line in filter(None, lines[1:]):
        name, colon, value = line.partition(":")
        if not colon:
            raise NotHTTPError(head)
        headers.append((name, value.strip(" \t")))
    return Request(words[0], words[1], words[2], headers, head)


class Connection(asyncio.Protocol):
    """One accepted connection: reads requests from it, and lets a step do anything to it.

    A client that closes, even only its sending half, makes every method that waits raise
    `ClientGoneError`.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        """Wrap an accepted socket, which is the `number`th of its server."""
        self.number = number
        self.ended = False
        """Set by a step after which no further request is to be read."""
        self.idle_close: float | None = None
        """Set by a step: seconds after which the connection is closed if no request comes."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket = sock
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and have it say when every byte was handed to the system."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._buffer += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everything that waits: the client left, or a step ended the connection."""
        self._news.set()
        self._writable.set()
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Make `write` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `write` return."""
        self._writable.set()

    async def read_request(self) -> Request | None:
        """Read one request to its end; None when the client leaves, or idles for too long."""
        try:
            async with asyncio.timeout(self.idle_close):
                await self._at_least(1)
        except (TimeoutError, ClientGoneError):
            return None
        self.idle_close = None
        request = parse_head(await self._read_head())
        request.body = await self._read_body(request)
        self._requests += 1
        request.connection = self.number
        request.number = self._requests
        request.at = asyncio.get_running_loop().time()
        return request

    async def _at_least(self, size: int) -> None:
        while len(self._buffer) < size:
            if self.lost.done():
                raise ClientGoneError
            self._news.clear()
            await self._news.wait()

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _read_until(self, mark: bytes) -> bytes:
        while (found := self._buffer.find(mark)) < 0:
            await self._at_least(len(self._buffer) + 1)
        return self._take(found + len(mark))

    async def _read_head(self) -> bytes:
        if not 0x41 <= self._buffer[0] <= 0x5A:
            raise NotHTTPError(bytes(self._buffer))
        return await self._read_until(_END_OF_HEAD)

    async def _read_body(self, request: Request) -> bytes:
        if (request.header("Transfer-Encoding") or "").lower() == "chunked":
            return await self._read_chunks()
        size = int(request.header("Content-Length") or 0)
        await self._at_least(size)
        return self._take(size)

    async def _read_chunks(self) -> bytes:
        body = b""
        while size := int((await self._read_until(b"\r\n")).split(b";")[0], 16):
            await self._at_least(size + 2)
            body += self._take(size + 2)[:-2]
        while await self._read_until(b"\r\n") != b"\r\n":
            pass
        return body

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until the system has taken all of them."""
        if not self.lost.done():
            self._transport.write(data)
            await asyncio.sleep(0)
            await self._writable.wait()
        if self.lost.done():
            raise ClientGoneError

    async def sleep(self, seconds: float | None = None) -> None:
        """Do nothing for so many seconds; None: until the client leaves."""
        await asyncio.wait({self.lost}, timeout=seconds)
        if self.lost.done():
            raise ClientGoneError

    def close(self) -> None:
        """End the connection in order (FIN), after what was written."""
        self.ended = True
        self._transport.close()

    def reset(self) -> None:
        """End the connection by a true RST."""
        self.ended = True
        if not self.lost.done():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    async def finish(self) -> None:
        """Drop whatever is still to be sent, and wait until the socket is closed."""
        if not self.lost.done():  # a transport that closed by itself may not bear it
            self._transport.abort()
            await asyncio.wait({self.lost})
