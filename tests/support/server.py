"""An HTTP/1.1 server that follows a script, one step per request, and keeps a wire log.

    async with ScriptedServer(reply(503), reply(200, json={"data": []})) as server:
        ...
        assert [request.method for request in server.requests] == ["GET", "GET"]

Steps are built by `support.steps`; the log holds `support.wire.Request`s.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from support.steps import Handler, Step, reply
from support.wire import ClientGoneError, Connection, NotHTTPError, Request

NO_STEP_LEFT: Final = reply(418, text="no step left in the script")
"""The response to a request beyond the script; no client retries a 418."""


class _Server:
    """The server itself; the two classes below differ in how a test enters it and waits for it."""

    def __init__(
        self,
        *steps: Step,
        default: Step = NO_STEP_LEFT,
        handler: Handler | None = None,
        tls: ssl.SSLContext | None = None,
        refuses: bool = False,
    ) -> None:
        """Prepare a server; it opens no port before it is entered.

        The script's steps respond to requests in turn; once they are used up, the step that
        `handler(request)` returns does, or `default` without a handler. `refuses`: the port
        refuses connections until `up()` is called. An error raised by a step or a handler ends its
        connection, and is raised where the server is left, unless the block has failed already.
        """
        self.requests: list[Request] = []
        """The wire log, in the order in which requests were complete."""
        self.garbage: list[bytes] = []
        """Data received that is not HTTP; the response to it is a bare 400."""
        self.connections = 0
        """Connections accepted so far, including those whose TLS handshake failed."""
        self.port = 0
        """The port, once the server has been entered."""
        self._steps = deque(steps)
        self._default = default
        self._handler = handler
        self._tls = tls
        self._refuses = refuses
        self._live: dict[asyncio.Task[None], socket.socket] = {}
        self._errors: list[BaseException] = []

    def script(self, *steps: Step, default: Step | None = None) -> None:
        """Append steps to the script, and replace the default if one is passed."""
        self._steps.extend(steps)
        self._default = default or self._default

    @property
    def url(self) -> str:
        """The origin, without a trailing slash."""
        return self.url_as("127.0.0.1")

    @property
    def api_url(self) -> str:
        """The origin and the service's path, `/api/v1`."""
        return f"{self.url}/api/v1"

    def url_as(self, host: str) -> str:
        """Return the origin under another name of the loopback address, such as `localhost`."""
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

    def up(self) -> None:
        """Start accepting connections if the port has refused them."""
        self._socket.listen(1024)
        self._loop.add_reader(self._socket, self._accept)

    async def _enter(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.settimeout(0)
        self._socket.bind(("127.0.0.1", 0))  # refuses connections until it listens
        self.port = self._socket.getsockname()[1]
        if not self._refuses:
            self.up()

    async def _leave(self) -> None:
        """Cancel running tasks and close every socket."""
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

    def _raise_errors(self) -> None:
        if self._errors:
            raise self._errors[0]

    def _accept(self) -> None:
        # A task that waits in sock_accept() could be cancelled with a socket that nobody closes.
        with suppress(BlockingIOError, ConnectionError):
            sock, _ = self._socket.accept()
            sock.settimeout(0)
            # Without it the last bytes before a reset may never be sent.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            task = self._loop.create_task(self._serve(sock, self.connections))
            self._live[task] = sock
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._live[task]
        if not task.cancelled() and (error := task.exception()):
            self._errors.append(error)

    async def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            _, connection = await self._loop.connect_accepted_socket(
                lambda: Connection(sock, number), sock, ssl=self._tls
            )
        except OSError:  # the TLS handshake failed
            return
        try:
            with suppress(ClientGoneError):
                await self._converse(connection)
            connection.close()
            await asyncio.wait({connection.lost})
        finally:
            await connection.finish()

    async def _converse(self, connection: Connection) -> None:
        while not connection.ended:
            try:
                request = await connection.read_request()
            except NotHTTPError as error:
                self.garbage.append(error.received)
                await connection.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            self.requests.append(request)
            await self._answer(connection, request)

    async def _answer(self, connection: Connection, request: Request) -> None:
        try:
            await self._step_for(request)(connection, request)
        except ClientGoneError:
            request.outcome = "client_closed"
            connection.ended = True
        except asyncio.CancelledError:
            request.outcome = "stopped"
            raise
        else:
            request.outcome = "done"
            connection.ended |= (request.header("Connection") or "").lower() == "close"

    def _step_for(self, request: Request) -> Step:
        if self._steps:
            return self._steps.popleft()
        return self._default if self._handler is None else self._handler(request)

    def _check_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            seen = [(r.method, r.target, r.outcome) for r in self.requests]
            raise AssertionError(f"waited in vain; the wire log has {seen}")


class ScriptedServer(_Server):
    """The server on the running loop, as an async context manager."""

    async def __aenter__(self) -> Self:
        await self._enter()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._leave()
        if kind is None:
            self._raise_errors()

    async def until(self, condition: Callable[[], bool], within: float = 30.0) -> None:
        """Wait until a condition holds; raises AssertionError after `within` seconds."""
        deadline = time.monotonic() + within
        while not condition():
            self._check_time(deadline)
            await asyncio.sleep(0.001)

    async def arrived(self, count: int, within: float = 30.0) -> None:
        """Wait for this many complete requests; raises AssertionError after `within` seconds."""
        await self.until(lambda: len(self.requests) >= count, within)


class ThreadedServer(_Server):
    """The server in a separate thread, for the blocking client and for subprocesses."""

    def __enter__(self) -> Self:
        entered = threading.Event()

        async def live() -> None:
            await self._enter()
            self._left = asyncio.Event()
            entered.set()
            await self._left.wait()
            await self._leave()

        self._thread = threading.Thread(target=asyncio.run, args=(live(),))
        self._thread.start()
        assert entered.wait(5)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._left.set)
        self._thread.join()
        if kind is None:
            self._raise_errors()

    def until(self, condition: Callable[[], bool], within: float = 30.0) -> None:
        """Wait until a condition holds; raises AssertionError after `within` seconds."""
        deadline = time.monotonic() + within
        while not condition():
            self._check_time(deadline)
            time.sleep(0.001)

    def arrived(self, count: int, within: float = 30.0) -> None:
        """Wait for this many complete requests; raises AssertionError after `within` seconds."""
        self.until(lambda: len(self.requests) >= count, within)
