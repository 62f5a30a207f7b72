"""The wire: one request out, one answer in, over an aiohttp session of ours.

Nothing of aiohttp leaves this module: a failure is a `SendError` that says what went wrong in the
retry table's words, and whether the request may have reached the service.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import suppress
from ssl import SSLContext, SSLError
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import hdrs
from yarl import URL

from openrouter_async._forks import forget_after_fork
from openrouter_async._operations import Request
from openrouter_async._replies import Reply
from openrouter_async._retry import Condition, SendError
from openrouter_async._settings import checked_proxy
from openrouter_async._version import __version__
from openrouter_async.errors import ConfigurationError, WrongLoopError
from openrouter_async.secret import Secret

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of a decoded 2XX answer that are read at most; a page of keys is about 70 kB."""
MAX_ERROR_BODY: Final = 64 * 1024
"""Bytes of any other answer that are read at most."""
_FIRST_ERROR: Final = 300
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None)
_USER_AGENT: Final = (
    f"openrouter_async/{__version__} "
    f"Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
)
_HEADERS: Final = {
    hdrs.ACCEPT: "application/json",
    hdrs.ACCEPT_ENCODING: "gzip, deflate",
    hdrs.USER_AGENT: _USER_AGENT,
}

_INHERITED: Final[list[object]] = []
"""What a forked child keeps unused, since finalizers would close it."""
_INHERITED_LOOPS: Final[weakref.WeakSet[asyncio.AbstractEventLoop]] = weakref.WeakSet()
"""Loops of the parent process: what is registered with them here is registered there too."""

NO_KEY: Final = Secret("")


class Attempt:
    """One request that may leave once, with the key that it goes out with."""

    __slots__ = ("key", "sent")

    def __init__(self) -> None:
        self.key = NO_KEY
        self.sent = False
        """Whether the request may have reached the service."""

    def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Belong to the request that aiohttp makes of it: this is a client middleware."""
        if isinstance(request, _Request):
            request.attempt = self
        return handler(request)


class _Request(aiohttp.ClientRequest):
    """A request that tells its attempt when it begins to leave.

    It sets the Authorization header only then: `request()` copies the headers that it is given
    into locals, which a traceback with locals would show.
    """

    attempt: Attempt

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if self.attempt.sent:  # a repeat of aiohttp's own
            raise SendError(Condition.NO_ANSWER, f"the connection to {_place(self.url)} broke")
        if conn.protocol is None or conn.protocol.should_close:
            # The next call would take for its answer what nobody had asked for.
            raise SendError(Condition.REFUSED, f"{_place(self.url)} sent what nobody asked for")
        self.attempt.sent = True
        self.headers[hdrs.AUTHORIZATION] = f"Bearer {self.attempt.key.reveal()}"
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """An answer whose repr, which a traceback with locals shows, has none of its headers."""

    def __repr__(self) -> str:
        return f"<answer {self.status}>"


def _explain(error: Exception, url: URL, *, sent: bool) -> SendError:
    """Say what an exception of aiohttp means, in words without anything of the request."""
    place = _place(url)
    if not sent:
        return _explain_not_sent(error, place)
    if isinstance(error, aiohttp.ClientResponseError):
        return SendError(Condition.MALFORMED, f"{place} did not answer in HTTP")
    return SendError(Condition.NO_ANSWER, f"the connection to {place} broke")


def _place(url: URL) -> str:
    return f"{url.host}:{url.port}"


def _explain_not_sent(error: Exception, place: str) -> SendError:  # noqa: PLR0911  # a row a kind
    match error:
        case aiohttp.ClientConnectorDNSError():
            return SendError(Condition.UNKNOWN_HOST, f"unknown host {error.host}")
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch() | SSLError():
            reason = _tls_reason(error)
            return SendError(Condition.UNTRUSTED, f"no trusted TLS connection to {place}{reason}")
        case aiohttp.ClientHttpProxyError():
            trouble = Condition.REFUSED if error.status >= _SERVER_FAILED else Condition.UNTRUSTED
            return SendError(trouble, f"the proxy refused to connect (status {error.status})")
        case aiohttp.ClientResponseError():
            return SendError(Condition.UNTRUSTED, "the proxy did not answer in HTTP")
        case aiohttp.ClientProxyConnectionError():
            return SendError(Condition.REFUSED, "cannot connect to the proxy")
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            reason = os.strerror(number) if number else type(error.os_error).__name__
            return SendError(Condition.REFUSED, f"cannot connect to {place}: {reason}")
        case _:
            return SendError(Condition.REFUSED, f"cannot connect to {place}")


_SERVER_FAILED: Final = 500


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    words = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return f": {words}" if isinstance(words, str) else ""


class Transport:
    """The sessions of one client: opened when first used, bound to the loop they were opened in."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        ssl: SSLContext | None = None,
        trust_env: bool = False,
        connector: aiohttp.BaseConnector | None = None,
    ) -> None:
        if ssl is not None and not isinstance(ssl, SSLContext):
            raise ConfigurationError("ssl must be an ssl.SSLContext")
        self._proxy = proxy
        self._ssl = ssl
        self._trust_env = trust_env
        self._connector = connector
        self.loop: asyncio.AbstractEventLoop | None = None
        """The one that it is bound to."""
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        """Of all connections, also of those that are being made."""
        self._keeper: AsyncGenerator[None, None] | None = None
        self.closed = False
        forget_after_fork(self)

    async def send(
        self,
        request: Request,
        attempt: Attempt,
        *,
        base_url: str,
        headers: Mapping[str, str],
        fresh_connection: bool,
    ) -> Reply:
        """Send the request once and read the answer, bounded in size but not in time.

        `fresh_connection` keeps a stale one from making a create ambiguous. Raises `SendError`.
        """
        if self.closed:
            raise SendError(Condition.REFUSED, "the client is closed")
        session = self._sessions.get(fresh_connection) or await self._open(fresh=fresh_connection)
        url = _join(base_url, request.target)
        proxy = self._proxy
        if proxy is None and self._trust_env:
            proxy = _environment_proxy(url)
        try:
            response = await session.request(
                request.method,
                url,
                headers=headers,
                data=None if request.body is None else _json_payload(request.body),
                allow_redirects=False,
                middlewares=(attempt,),
                proxy=proxy,
            )
            try:
                return await _read(response)
            finally:
                response.release()
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            failure = _explain(error, url, sent=attempt.sent)
        raise failure

    async def _open(self, *, fresh: bool) -> aiohttp.ClientSession:
        if self.loop is None:  # the process was forked during the call
            raise WrongLoopError(_FORKED)
        if self._keeper is None:
            self._keeper = _close_with_the_loop(self._sessions)
            await anext(self._keeper)
        try:
            session = self._sessions[fresh] = self._new_session(fresh=fresh)
        except RuntimeError:
            pass
        else:
            return session
        raise WrongLoopError("the connector that was passed belongs to another event loop")

    def _new_session(self, *, fresh: bool) -> aiohttp.ClientSession:
        connector = self._connector or aiohttp.TCPConnector(
            limit=0, force_close=fresh, ssl=self._ssl or True, socket_factory=self._new_socket
        )
        session = aiohttp.ClientSession(
            connector=connector,
            connector_owner=self._connector is None,
            loop=asyncio.get_running_loop(),  # else it would be the connector's, running or not
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            request_class=_Request,
            response_class=_Response,
            timeout=_NO_TIMEOUT,
        )
        # Otherwise aiohttp repeats a GET or DELETE once when a connection breaks.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return session

    def _new_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        new = socket.socket(family, kind, protocol)
        self._sockets.add(new)
        return new

    def bind(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Belong to `loop` from now on; True if that is news.

        Raises `WrongLoopError` while the loop used so far still runs, and for the parent's loop in
        a forked child.
        """
        if self.loop is loop:
            return False
        if loop in _INHERITED_LOOPS:
            raise WrongLoopError(_FORKED)
        if self.loop is not None and not self.loop.is_closed():
            raise WrongLoopError(
                "the client belongs to another event loop that is not closed: use one client for "
                "each loop, or OpenRouter from threads"
            )
        self.abandon()
        self.loop = loop
        return True

    def abandon(self) -> None:
        """Let go of what is open without a loop: its own is closed, or the client was forgotten."""
        for session in self._sessions.values():
            connector = session.connector
            session.detach()
            if connector is not None and self._connector is None:
                connector._close()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # close() needs a loop
        self._sessions.clear()
        self._keeper = None

    def forget(self) -> None:
        """Start anew in a forked child without touching what it shares with its parent.

        Closing the inherited connections would unregister them from the parent's event loop too,
        so that they are kept, unused, for as long as the child lives. A caller's connector is left
        as it is.
        """
        _cut_off(list(self._sockets))
        self._sockets.clear()
        for session in self._sessions.values():
            connector = session.connector
            session.detach()
            if connector is not None and self._connector is None:
                # Otherwise its finalizer would close it.
                connector._closed = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                _INHERITED.append(connector)
        _INHERITED.append(self._keeper)
        if self.loop is not None:
            _INHERITED_LOOPS.add(self.loop)
        self._sessions.clear()
        self._keeper = self.loop = None

    @property
    def is_open(self) -> bool:
        """Whether something was opened that nobody has closed."""
        return self._keeper is not None

    async def close(self) -> None:
        """Close the sessions; a caller's connector stays open. A second time does nothing."""
        self.closed = True
        keeper, self._keeper = self._keeper, None
        try:
            if keeper is not None and self.loop is asyncio.get_running_loop():
                await keeper.aclose()
        finally:
            self.abandon()  # of what is still open, if its loop is another or this was cancelled


_FORKED: Final = (
    "the event loop was inherited from the parent process, which goes on using what is registered "
    "with it: run a new event loop in the forked child"
)


def _cut_off(connections: list[socket.socket]) -> None:
    """Replace a forked child's copies of its parent's connections by dead ends.

    Were the child to run the inherited event loop, that would read the parent's responses, and
    calls under way would send their requests a second time.
    """
    with suppress(OSError):  # no descriptor is free: the child can do nothing else either
        dead_end, other_end = socket.socketpair()
        other_end.close()
        with dead_end:
            for connection in connections:
                if connection.fileno() >= 0:
                    os.dup2(dead_end.fileno(), connection.fileno(), inheritable=False)


async def _close_with_the_loop(
    sessions: dict[bool, aiohttp.ClientSession],
) -> AsyncGenerator[None, None]:
    """Close the sessions when this is closed, which asyncio does before it closes its loop.

    Connections that outlived their loop could not be closed any more.
    """
    try:
        yield
    finally:
        while sessions:
            await sessions.popitem()[1].close()


def _join(base_url: str, target: str) -> URL:
    """Build the URL from the base, which yarl parses once and remembers.

    The target is encoded already, and goes out as it stands, with its query.
    """
    base = URL(base_url, encoded=True)
    return base.with_path(base.raw_path.rstrip("/") + target, encoded=True)


def _environment_proxy(url: URL) -> str | None:
    """Return the proxy that the environment names for such a URL; None: it goes out directly.

    aiohttp would ignore in silence what it cannot use, and what is for all schemes. Raises
    `ConfigurationError`.
    """
    proxies = getproxies()
    for kind in (url.scheme, "all"):
        if proxies.get(kind):
            bypassed = proxy_bypass(url.raw_host or "")
            return None if bypassed else checked_proxy(f"{kind.upper()}_PROXY", proxies[kind])
    return None


def _json_payload(body: bytes) -> aiohttp.BytesPayload:
    return aiohttp.BytesPayload(body, content_type="application/json")


class _Body:
    """The pieces of a body, kept out of locals, which a traceback may show."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> bool:
        """Take one more piece; False for the empty one at the end."""
        if piece:  # a whole body in one piece is not copied
            self._pieces.append(piece)
            self.size += len(piece)
        return bool(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces)


async def _read(response: aiohttp.ClientResponse) -> Reply:
    bound = MAX_BODY if response.status < _FIRST_ERROR else MAX_ERROR_BODY
    body = _Body()
    truncated = False
    try:
        while body.size <= bound and body.add(await response.content.readany()):
            pass
    except (aiohttp.ClientError, OSError):
        truncated = True
    return Reply(
        status=response.status,
        headers=response.headers,
        body=body.whole()[:bound],
        truncated=truncated,
        too_large=body.size > bound,
        received_at=time.time(),
    )
