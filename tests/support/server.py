"""An HTTP/1.1 server that follows a script, one step per request, and keeps a wire log.

    async with ScriptedServer(reply(503), reply(200, json={"data": []})) as server:
        ...
        assert [request.method for request in server.requests] == ["GET", "GET"]

Steps are built by `support.steps` and `support.bombs`; the log holds `support.wire.Request`s.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Final, Self

from support.listener import Listener
from support.steps import Handler, Step, reply
from support.threads import in_thread
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
        up_after: float | None = 0.0,
    ) -> None:
        """Prepare a server; it opens no port before it is entered.

        The script's steps respond to requests in turn; once they are used up, the step that
        `handler(request)` returns does, or `default` without a handler. `up_after`: seconds for
        which the port first refuses connections; None: until `up()` is called. An error raised by a
        step or a handler ends its connection, and is raised where the server is left.
        """
        self.requests: list[Request] = []
        """The wire log, in the order in which requests were complete."""
        self.handshake_errors: list[str] = []
        """The error of each failed TLS handshake."""
        self.garbage: list[bytes] = []
        """Data received that is not HTTP; the response to it is a bare 400."""
        self._steps = deque(steps)
        self._default = default
        self._handler = handler
        self._tls = tls
        self._listener = Listener(self._serve, up_after)

    @property
    def port(self) -> int:
        """The port, once the server has been entered."""
        return self._listener.port

    @property
    def connections(self) -> int:
        """Connections accepted so far, including those whose TLS handshake failed."""
        return self._listener.accepted

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
        """Start accepting connections if the port has refused them; from any thread."""
        self._listener.up()

    async def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            _, connection = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(sock, number), sock, ssl=self._tls
            )
        except OSError as error:  # ssl.SSLError is one
            self.handshake_errors.append(repr(error))
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
            if request is None:
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
        await self._listener.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._listener.__aexit__(kind, error, trace)

    async def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until a condition holds; raises AssertionError after `within` seconds."""
        deadline = time.monotonic() + within
        while not condition():
            self._check_time(deadline)
            await asyncio.sleep(0.001)

    async def arrived(self, count: int, within: float = 5.0) -> None:
        """Wait for this many complete requests; raises AssertionError after `within` seconds."""
        await self.until(lambda: len(self.requests) >= count, within)


class ThreadedServer(_Server):
    """The server in a separate thread, for the blocking client and for subprocesses."""

    _thread: AbstractContextManager[Listener]

    def __enter__(self) -> Self:
        self._thread = in_thread(self._listener)
        self._thread.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.__exit__(kind, error, trace)

    def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until a condition holds; raises AssertionError after `within` seconds."""
        deadline = time.monotonic() + within
        while not condition():
            self._check_time(deadline)
            time.sleep(0.001)

    def arrived(self, count: int, within: float = 5.0) -> None:
        """Wait for this many complete requests; raises AssertionError after `within` seconds."""
        self.until(lambda: len(self.requests) >= count, within)
