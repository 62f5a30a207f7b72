"""The base of every server here: a port, a task per connection, and a prompt shutdown."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

Serve = Callable[[socket.socket, int], Coroutine[Any, Any, None]]


class Listener:
    """Accepts connections on loopback and runs `serve(socket, number)` for each.

    Leaving it cancels running tasks and closes every socket. An error raised by a connection's task
    is raised there, unless the block has failed already.
    """

    def __init__(self, serve: Serve, up_after: float | None = 0.0) -> None:
        """Prepare it; the port refuses connections for `up_after` seconds; None: until `up()`."""
        self.port = 0
        self.accepted = 0
        self.errors: list[BaseException] = []
        self._serve = serve
        self._up_after = up_after

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._live: dict[asyncio.Task[None], socket.socket] = {}
        self._socket = socket.socket()
        self._socket.settimeout(0)
        self._socket.bind(("127.0.0.1", 0))  # refuses connections until it listens
        self.port = self._socket.getsockname()[1]
        if self._up_after == 0:
            self._listen()
        elif self._up_after is not None:
            self._loop.call_later(self._up_after, self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for _tick in range(3):  # a TLS transport needs some iterations before it can be aborted
            await asyncio.sleep(0)
        live = dict(self._live)
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)
        for sock in live.values():
            sock.close()
        if kind is None and self.errors:
            raise self.errors[0]

    def up(self) -> None:
        """Start listening; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._listen)

    def _listen(self) -> None:
        if self._socket.fileno() >= 0:
            self._socket.listen(1024)
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        # A task that waits in sock_accept() could be cancelled with a socket that nobody closes.
        with suppress(BlockingIOError, ConnectionError):
            sock, _ = self._socket.accept()
            sock.settimeout(0)
            # Without it the last bytes before a reset may never be sent.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            task = self._loop.create_task(self._serve(sock, self.accepted))
            self._live[task] = sock
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._live[task]
        if not task.cancelled() and (error := task.exception()):
            self.errors.append(error)
