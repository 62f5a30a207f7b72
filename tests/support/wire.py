"""Requests as they arrived on the wire, and the connections that carried them."""

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Literal, cast

_END_OF_HEAD = b"\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientGoneError(Exception):
    """The client closed its side while data was still to be read from it or sent to it."""


class NotHTTPError(Exception):
    """The client sent something that is not an HTTP/1 request, such as a TLS greeting."""

    def __init__(self, received: bytes) -> None:
        """Keep what was received."""
        super().__init__(received)
        self.received = received


@dataclass(slots=True, eq=False)
class Request:
    """One entry of the wire log: a request as received, and the outcome of its response."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    """All headers in order, with names in their original case."""
    head: bytes
    """The request line and headers, byte for byte."""
    body: bytes = field(default=b"", repr=False)
    connection: int = 0
    """The number of its connection to this server, from 1."""
    number: int = 0
    """Its number on that connection, from 1."""
    at: float = 0.0
    """When it was complete, in seconds on the loop's clock."""
    outcome: Literal["open", "done", "client_closed", "stopped"] = "open"
    """`open`: in progress; `done`: the step has finished; `stopped`: the server was stopped."""

    @property
    def client_closed_early(self) -> bool:
        """Whether the client closed the connection before the response was complete."""
        return self.outcome == "client_closed"

    def values(self, name: str) -> list[str]:
        """Return every value of a header, ignoring the case of its name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the value of a header; None if absent; raises LookupError if it was repeated."""
        values = self.values(name)
        if len(values) > 1:
            message = f"{name} was sent {len(values)} times"
            raise LookupError(message)
        return values[0] if values else None

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def parse_head(head: bytes) -> Request:
    """Parse a request line and headers; raises NotHTTPError if they are anything else."""
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
    """An accepted connection, from which requests are read and which a step may use freely.

    If the client closes, even only its sending half, every method that waits raises
    `ClientGoneError`.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        """Wrap an accepted socket, the `number`th of its server."""
        self.number = number
        self.ended = False
        """Set by a step after which no further request is read."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket = sock
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; its write buffer reports when the system has taken every byte."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        """Buffer the data."""
        self._buffer += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake every waiter: the client has disconnected, or a step has ended the connection."""
        self._news.set()
        self._writable.set()
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Make `write` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Allow `write` to return."""
        self._writable.set()

    async def read_request(self) -> Request:
        """Read one whole request; raises ClientGoneError if the client disconnects before."""
        await self._at_least(1)
        if not 0x41 <= self._buffer[0] <= 0x5A:
            raise NotHTTPError(bytes(self._buffer))
        while (end := self._buffer.find(_END_OF_HEAD)) < 0:
            await self._at_least(len(self._buffer) + 1)
        request = parse_head(self._take(end + len(_END_OF_HEAD)))
        size = int(request.header("Content-Length") or 0)
        await self._at_least(size)
        request.body = self._take(size)
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

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until the system has taken all of them."""
        if not self.lost.done():
            self._transport.write(data)
            await asyncio.sleep(0)
            await self._writable.wait()
        if self.lost.done():
            raise ClientGoneError

    async def sleep(self, seconds: float | None = None) -> None:
        """Do nothing for this many seconds; None: until the client disconnects."""
        await asyncio.wait({self.lost}, timeout=seconds)
        if self.lost.done():
            raise ClientGoneError

    def close(self) -> None:
        """Close the connection gracefully (FIN), after all data written."""
        self.ended = True
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection (RST)."""
        self.ended = True
        if not self.lost.done():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    async def finish(self) -> None:
        """Discard unsent data, and wait until the socket is closed."""
        if not self.lost.done():  # aborting a transport that has closed itself may fail
            self._transport.abort()
            await asyncio.wait({self.lost})
