"""The wire: sends one request and reads one response, over our own aiohttp session.

Nothing of aiohttp leaves this module: a failure is a `SendError` with the row of the retry table
that it belongs to, which depends on whether the request may have reached the service.
"""

from __future__ import annotations

import asyncio
import base64
import os
import platform
import re
import socket
import sys
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import suppress
from functools import partial
from ssl import SSLContext, SSLError
from typing import Any, Final, NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from openrouter_async._circles import drop_tracebacks
from openrouter_async._codings import unpack
from openrouter_async._forks import forget_after_fork
from openrouter_async._operations import Request
from openrouter_async._options import checked_proxy
from openrouter_async._responses import Response
from openrouter_async._retry import Condition, SendError
from openrouter_async._threads import run_in_daemon_thread
from openrouter_async._version import __version__
from openrouter_async.errors import ConfigurationError, WrongLoopError
from openrouter_async.secret import Secret

MAX_BODY: Final = 8 * 1024 * 1024
"""The most bytes to read of a decoded 2XX response; a page of keys is about 70 kB."""
MAX_ERROR_BODY: Final = 64 * 1024
"""The most bytes to read of any other response."""
_MAX_FIELD: Final = 16 * 1024
"""The most bytes in a response header, name and value, or status line; twice aiohttp's default."""
_MAX_FIELDS: Final = 256
"""The most headers in a response; twice aiohttp's default."""
_FIRST_ERROR: Final = 300
# Deadlines of our own limit attempts and calls; aiohttp's timers would only add to the cost.
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
"""Objects that a forked child keeps but never uses, because their finalizers would close them."""
_INHERITED_LOOPS: Final[weakref.WeakSet[asyncio.AbstractEventLoop]] = weakref.WeakSet()
"""Loops of the parent process: what the child registers with them, it registers there too."""

NO_KEY: Final = Secret("")


class Attempt:
    """State of one attempt: its credentials, and whether it has been sent."""

    __slots__ = ("key", "proxy_login", "sent")

    def __init__(self) -> None:
        self.key = NO_KEY
        self.proxy_login = NO_KEY
        """The value of `Proxy-Authorization`; empty if there is none."""
        self.sent = False
        """Whether the request may have reached the service."""

    def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Attach itself to the request that aiohttp has built, as a client middleware."""
        if isinstance(request, _Request):
            request.attempt = self
            if request.proxy is not None and request.is_ssl() and self.proxy_login.reveal():
                login = {hdrs.PROXY_AUTHORIZATION: self.proxy_login.reveal()}
                request.proxy_headers = CIMultiDict(login)  # for CONNECT
        return handler(request)


class _Request(aiohttp.ClientRequest):
    """A request that marks its attempt as sent just before it sends the first byte.

    Only then does it set the headers with credentials: `request()` copies the headers passed to it
    into locals, which a traceback with locals would show.
    """

    attempt: Attempt

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if self.attempt.sent:  # aiohttp's own retry
            raise SendError(Condition.NO_RESPONSE, f"the connection to {_place(self.url)} was lost")
        if conn.protocol is None or conn.protocol.should_close:
            # This call would take the unrequested data for its own response.
            unrequested = f"{_place(self.url)} sent data before any request was made"
            raise SendError(Condition.REFUSED, unrequested)
        self.attempt.sent = True
        self.headers[hdrs.AUTHORIZATION] = f"Bearer {self.attempt.key.reveal()}"
        if self.proxy is not None and not self.is_ssl() and self.attempt.proxy_login.reveal():
            self.headers[hdrs.PROXY_AUTHORIZATION] = self.attempt.proxy_login.reveal()
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """A response without headers in its repr, which a traceback with locals shows."""

    def __repr__(self) -> str:
        return f"<response {self.status}>"


def _explain(error: Exception, url: URL, *, sent: bool) -> SendError:
    """Convert an exception of aiohttp; the message contains nothing of the request.

    A caller's connector or resolver may raise anything; for unknown errors only the class is named.
    """
    place = _place(url)
    if not sent:
        return _explain_not_sent(error, url, place)
    if not isinstance(error, aiohttp.ClientResponseError):
        return SendError(Condition.NO_RESPONSE, f"the connection to {place} was lost")
    if error.message.startswith(_HEAD_TOO_LARGE):
        bounds = f"{_MAX_FIELDS} headers of {_MAX_FIELD // 1024} KiB each"
        return SendError(Condition.MALFORMED, f"{place} sent more than {bounds}")
    return SendError(Condition.MALFORMED, f"{place} sent a response that is not HTTP")


_HEAD_TOO_LARGE: Final = ("Got more than", "400, message:\n  Too many headers", "Too many headers")
"""How aiohttp's messages about headers beyond the bounds begin."""


def _place(url: URL) -> str:
    return f"{url.host}:{url.port}"


def _explain_not_sent(error: Exception, url: URL, place: str) -> SendError:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return _explain_lookup(error, getattr(error, "host", url.host))
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch() | SSLError():
            reason = _tls_reason(error)
            return SendError(Condition.UNTRUSTED, f"no trusted TLS connection to {place}{reason}")
        case aiohttp.ClientHttpProxyError():
            # A proxy's 5XX may be temporary; a 403 or 407 stays.
            trouble = Condition.REFUSED if error.status >= _SERVER_FAILED else Condition.UNTRUSTED
            return SendError(trouble, f"the proxy refused to connect (status {error.status})")
        case aiohttp.ClientResponseError():
            return SendError(Condition.UNTRUSTED, "the proxy sent a response that is not HTTP")
        case aiohttp.ClientProxyConnectionError():
            return SendError(Condition.REFUSED, "cannot connect to the proxy")
        case _:
            reason = _reason(getattr(error, "os_error", error))
            return SendError(Condition.REFUSED, f"cannot connect to {place}{reason}")


_SERVER_FAILED: Final = 500


def _explain_lookup(error: aiohttp.ClientConnectorDNSError, host: object) -> SendError:
    """Distinguish a name that does not exist from a temporary failure of the resolver."""
    cause = getattr(error, "os_error", None)
    number = getattr(cause, "errno", None)
    unknown = number in _NO_SUCH_HOST if isinstance(cause, socket.gaierror) else number is None
    if unknown:
        return SendError(Condition.UNKNOWN_HOST, f"unknown host {host}")
    return SendError(Condition.REFUSED, f"cannot look up {host}{_reason(cause)}")


_NO_SUCH_HOST: Final = frozenset(
    getattr(socket, name, None)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY", "EAI_FAMILY", "EAI_FAIL")
)


def _reason(error: object) -> str:
    """Return the operating system's reason; for a foreign exception, only the name of its class."""
    if isinstance(error, socket.gaierror):
        return ": the resolver failed temporarily"
    number = error.errno if isinstance(error, OSError) else None
    numbers = [number] if isinstance(number, int) and 0 < number < _NO_ERRNO else []
    # With several addresses, asyncio raises one error whose text lists those of all of them.
    if type(error) is OSError and not numbers:
        numbers = [int(number) for number in _ERRNO.findall(str(error))]
    reasons = list(dict.fromkeys(os.strerror(number) for number in numbers))
    if not reasons and not isinstance(error, aiohttp.ClientError):
        reasons = [type(error).__name__]
    return f": {', '.join(reasons)}" if reasons else ""


_NO_ERRNO: Final = 100_000
_ERRNO: Final = re.compile(r"\[Errno ([0-9]{1,5})\]")


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    words = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return f": {words}" if isinstance(words, str) else ""


class _Resolver(AbstractResolver):
    """A resolver in daemon threads, so that a hanging lookup does not delay the program's exit.

    aiohttp's own resolver uses asyncio's executor, whose threads Python waits for at exit.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raise `OSError` if there are none."""
        work = partial(_look_up, host, port, family)
        return await run_in_daemon_thread(work, name="openrouter-resolver")

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    # With AI_ADDRCONFIG, Windows without a network does not resolve localhost.
    offline = sys.platform == "win32" and host.rstrip(".").casefold() == "localhost"
    flags = 0 if offline else socket.AI_ADDRCONFIG
    return [
        ResolveResult(
            hostname=host,
            # The numeric address, with its scope if it is link-local.
            host=socket.getnameinfo(address, _NUMERIC)[0] if scope else str(address[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=_NUMERIC,
        )
        for kind, _, protocol, _, address in socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=flags
        )
        for scope in [address[3] if len(address) > 3 else 0]
    ]


_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class _Proxy(NamedTuple):
    """A proxy's URL and our login, which no repr shows."""

    url: URL | None = None
    login: Secret = NO_KEY
    """The value of `Proxy-Authorization`; empty if there is none."""


def _proxy_at(address: str) -> _Proxy:
    """Split a proxy's checked URL into the plain URL and the login."""
    url = URL(address)
    del address  # a traceback with locals would show it
    if url.user is None and url.password is None:
        return _Proxy(url)
    login = base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode())
    return _Proxy(url.with_user(None), Secret(f"Basic {login.decode()}"))


def _environment_proxy(url: URL) -> _Proxy:
    """Return the proxy that the environment names for a URL; raise `ConfigurationError`.

    aiohttp silently ignores proxies that it cannot use, and `ALL_PROXY`.
    """
    proxies = getproxies()
    for kind in (url.scheme, "all"):
        if proxies.get(kind):
            if proxy_bypass(url.raw_host or ""):
                break
            return _proxy_at(checked_proxy(f"{kind.upper()}_PROXY", proxies[kind]))
    return _Proxy()


class Transport:
    """The sessions of one client: opened on first use, and bound to the running loop."""

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
        self._proxy = _Proxy() if proxy is None else _proxy_at(checked_proxy("proxy", proxy))
        self._ssl = ssl
        self._trust_env = trust_env
        self._connector = connector
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop that it is bound to."""
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """One session that keeps connections alive (False), and one that does not (True)."""
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        """The sockets of all connections, those still being made included."""
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
    ) -> Response:
        """Send the request once and read the response, up to a size but without a time limit.

        `fresh_connection` prevents a stale connection from making a create ambiguous. Raises
        `SendError`.
        """
        if self.closed:
            raise SendError(Condition.REFUSED, "the client is closed")
        session = self._sessions.get(fresh_connection) or await self._open(fresh=fresh_connection)
        url = _join(base_url, request.target)
        proxy = self._proxy
        if proxy.url is None and self._trust_env:
            proxy = _environment_proxy(url)
        if proxy.url is not None:
            attempt.proxy_login = proxy.login
        try:
            response = await session.request(
                request.method,
                url,
                headers=headers,
                data=None if request.body is None else _json_payload(request.body),
                allow_redirects=False,
                middlewares=(attempt,),
                proxy=proxy.url,
            )
            try:
                return await _read(response)
            finally:
                response.release()
        except SendError:
            raise
        except Exception as error:  # noqa: BLE001  # a caller's connector may raise anything
            failure = _explain(error, url, sent=attempt.sent)
            drop_tracebacks(error)
        # Raised outside the except block, so that the exception of aiohttp is not chained.
        raise failure

    async def _open(self, *, fresh: bool) -> aiohttp.ClientSession:
        if self.loop is None:  # the process was forked during the call
            raise WrongLoopError(_FORKED)
        if self._keeper is None:
            self._keeper = _close_with_the_loop(self._sessions)
            # A loop registers an async generator, to close it, only when it is first iterated.
            await anext(self._keeper)
        try:
            session = self._sessions[fresh] = self._new_session(fresh=fresh)
        except RuntimeError:
            pass
        else:
            return session
        raise WrongLoopError("the connector passed to the client belongs to another event loop")

    def _new_session(self, *, fresh: bool) -> aiohttp.ClientSession:
        # The connector needs no limit: the slots that all calls share are the limit.
        connector = self._connector or aiohttp.TCPConnector(
            limit=0,
            force_close=fresh,
            ssl=self._ssl or True,
            socket_factory=self._new_socket,
            resolver=_Resolver(),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            connector_owner=self._connector is None,
            loop=asyncio.get_running_loop(),  # by default it is the connector's, running or not
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            request_class=_Request,
            response_class=_Response,
            timeout=_NO_TIMEOUT,
            auto_decompress=False,  # aiohttp reports a wrong Content-Encoding as a lost connection
            max_line_size=_MAX_FIELD,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
        )
        # Otherwise aiohttp retries a GET or DELETE once when a connection breaks.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return session

    def _new_socket(self, address: tuple[Any, ...]) -> socket.socket:
        new = socket.socket(*address[:3])  # family, type, protocol
        self._sockets.add(new)
        return new

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bind the transport to another loop than before.

        Raises `WrongLoopError` while the loop used so far is still open, and for the parent's loop
        in a forked child.
        """
        if loop in _INHERITED_LOOPS:
            raise WrongLoopError(_FORKED)
        if self.loop is not None and not self.loop.is_closed():
            raise WrongLoopError(
                "the client belongs to another event loop that is still open: use one client for "
                "each loop, or OpenRouter from threads"
            )
        self.abandon()
        self.loop = loop

    def abandon(self) -> None:
        """Close what is open without a loop: its own is closed, or the client was never closed."""
        for session in self._sessions.values():
            connector = session.connector
            session.detach()
            if connector is not None and self._connector is None:
                connector._close()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # close() needs a loop
        self._sessions.clear()
        self._keeper = None

    def forget(self) -> None:
        """Start afresh in a forked child without touching what it shares with its parent.

        Closing the inherited connections would unregister them from the parent's event loop too,
        so they are kept, unused, until the child exits. A caller's connector is left as it is.
        """
        _cut_off(list(self._sockets))
        self._sockets.clear()
        for session in self._sessions.values():
            connector = session.connector
            session.detach()
            if connector is not None and self._connector is None:
                # Otherwise its finalizer would close the connections.
                connector._closed = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                _INHERITED.append(connector)
        _INHERITED.append(self._keeper)
        if self.loop is not None:
            _INHERITED_LOOPS.add(self.loop)
        self._sessions.clear()
        self._keeper = self.loop = None

    @property
    def is_open(self) -> bool:
        """Whether sessions have been opened and not closed yet."""
        return self._keeper is not None

    async def close(self) -> None:
        """Close the sessions; a caller's connector stays open. A second time does nothing."""
        self.closed = True
        keeper, self._keeper = self._keeper, None
        try:
            if keeper is not None and self.loop is asyncio.get_running_loop():
                await keeper.aclose()
        finally:
            self.abandon()  # some are still open if their loop is another or this was cancelled


_FORKED: Final = (
    "the event loop was inherited from the parent process, which still uses what is registered "
    "with it: run a new event loop in the forked child"
)


def _cut_off(connections: list[socket.socket]) -> None:
    """Replace a forked child's copies of its parent's connections with closed sockets.

    Otherwise, if the child ran the inherited event loop, it would read the parent's responses, and
    calls in flight would send their requests a second time.
    """
    with suppress(OSError):  # no descriptor is free, so the child cannot do anything else either
        dead_end, other_end = socket.socketpair()
        other_end.close()
        with dead_end:
            for connection in connections:
                if connection.fileno() >= 0:
                    os.dup2(dead_end.fileno(), connection.fileno(), inheritable=False)


async def _close_with_the_loop(
    sessions: dict[bool, aiohttp.ClientSession],
) -> AsyncGenerator[None, None]:
    """Close the sessions when this generator is closed, by asyncio at the latest.

    `asyncio.run()` closes async generators before the loop; after that, connections could no longer
    be closed properly.
    """
    try:
        yield
    finally:
        while sessions:
            await sessions.popitem()[1].close()


def _join(base_url: str, target: str) -> URL:
    """Append a target to the base URL, which yarl parses once and caches.

    The target is already encoded, and is sent as it is, with its query.
    """
    base = URL(base_url, encoded=True)
    return base.with_path(base.raw_path.rstrip("/") + target, encoded=True)


def _json_payload(body: bytes) -> aiohttp.BytesPayload:
    return aiohttp.BytesPayload(body, content_type="application/json")


class _Body:
    """The pieces of a body, kept out of locals, which a traceback with locals would show."""

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> bool:
        """Add a piece; return False for the empty one at the end."""
        if piece:  # join() does not copy a body that came in one piece
            self.pieces.append(piece)
            self.size += len(piece)
        return bool(piece)


async def _read(incoming: aiohttp.ClientResponse) -> Response:
    """Read a response up to the bound on its size."""
    bound = MAX_BODY if incoming.status < _FIRST_ERROR else MAX_ERROR_BODY
    body = _Body()
    truncated = False
    try:
        while body.size <= bound and body.add(await incoming.content.readany()):
            pass
    except Exception as error:  # noqa: BLE001  # whatever broke off, the part that arrived counts
        truncated = True
        drop_tracebacks(error)
    response = Response(
        incoming.status, incoming.headers, b"".join(body.pieces)[:bound], time.time(), truncated
    )
    response.too_large = body.size > bound
    if not response.body.startswith(b"{") and not response.too_large:
        _unpack(response, incoming.headers.get(hdrs.CONTENT_ENCODING, ""), bound)
    return response


def _unpack(response: Response, claimed: str, bound: int) -> None:
    """Decode the body from the content coding that its header claims."""
    unpacked = unpack(response.body, claimed, bound)
    response.body = unpacked.body[:bound]
    response.too_large = len(unpacked.body) > bound
    response.truncated = response.truncated or unpacked.cut
    response.miscoded = claimed if unpacked.wrong and not response.truncated else None
