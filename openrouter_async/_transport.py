"""The wire: sends one request and reads one response, over a connection of aiohttp's connector.

aiohttp makes and keeps the connections, also through proxies, and parses the responses. Its session
would cost three quarters of a call, for redirects, cookies and repeats that we do not want.

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
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from functools import partial
from ssl import SSLContext, SSLError
from typing import Any, Final, NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
import attrs
from aiohttp import StreamReader, hdrs
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
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
_KEEP_ALIVE: Final = 75.0
"""Seconds for which an idle connection is kept, as long as nginx keeps it by default."""
# Deadlines of our own limit attempts and calls; aiohttp's timers would only add to the cost.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout()
_HEADERS: Final = {
    hdrs.ACCEPT: "application/json",
    hdrs.ACCEPT_ENCODING: "gzip, deflate",
    hdrs.USER_AGENT: (
        f"openrouter_async/{__version__} "
        f"Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
    ),
}

_INHERITED: Final[list[object]] = []
"""Objects that a forked child keeps but never uses, because their finalizers would close them."""
_INHERITED_LOOPS: Final[weakref.WeakSet[asyncio.AbstractEventLoop]] = weakref.WeakSet()
"""Loops of the parent process: what the child registers with them, it registers there too."""

NO_KEY: Final = Secret("")


@attrs.define(eq=False)
class Attempt:
    """State of one attempt: its key, and whether it has been sent."""

    key: Secret = NO_KEY
    sent: bool = False
    """Whether the request may have reached the service."""


def _explain(error: Exception, place: str, *, sent: bool) -> SendError:
    """Convert an exception of aiohttp; the message contains nothing of the request.

    A caller's connector or resolver may raise anything; for unknown errors only the class is named.
    """
    if isinstance(error, SendError):
        return error
    if not sent:
        return _explain_not_sent(error, place)
    if not isinstance(error, HttpProcessingError):
        return SendError(Condition.NO_RESPONSE, f"the connection to {place} was lost")
    problem = "a response that is not HTTP"
    if error.message.startswith(_HEAD_TOO_LARGE):
        problem = f"more than {_MAX_FIELDS} headers of {_MAX_FIELD // 1024} KiB each"
    return SendError(Condition.MALFORMED, f"{place} sent {problem}")


_HEAD_TOO_LARGE: Final = ("Got more than", "400, message:\n  Too many headers", "Too many headers")
"""How aiohttp's messages about headers beyond the bounds begin."""


def _explain_not_sent(error: Exception, place: str) -> SendError:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return _explain_lookup(error, getattr(error, "host", place))
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


class _Route:
    """The way to a base URL: the connection that it needs, and what all heads there have."""

    def __init__(
        self,
        connector: aiohttp.BaseConnector,
        base_url: str,
        headers: Mapping[str, str],
        proxy: _Proxy,
    ) -> None:
        self.serves = (base_url, headers, proxy)
        url = URL(base_url, encoded=True)
        self.place = f"{url.host}:{url.port}"
        fields = CIMultiDict(_HEADERS)
        fields.update(headers)  # which replaces the same name in any other case
        if connector.force_close:
            fields[hdrs.CONNECTION] = "close"
        self.request = aiohttp.ClientRequest(
            hdrs.METH_GET, url, headers=fields, proxy=proxy.url, loop=asyncio.get_running_loop()
        )
        """Tells a connector where to connect to; it is never sent."""
        self._path = url.raw_path.rstrip("/")
        if proxy.url is not None:
            if self.request.is_ssl():
                # With Host, which aiohttp would add later, or the tunnel would not be found again.
                to_proxy = CIMultiDict({hdrs.HOST: self.request.headers[hdrs.HOST]})
                self.request.proxy_headers = to_proxy
            else:
                to_proxy = self.request.headers
                self._path = f"{url.origin()}{self._path}"
            if proxy.login.reveal():
                to_proxy[hdrs.PROXY_AUTHORIZATION] = proxy.login.reveal()
        self._fields = "".join(f"{n}: {v}\r\n" for n, v in self.request.headers.items())

    def send(self, connection: Connection, request: Request, attempt: Attempt) -> ResponseHandler:
        """Send a request on a connection; return the protocol, which receives the response."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or protocol.should_close:
            # This call would take the unrequested data for its own response.
            unrequested = f"{self.place} sent data before any request was made"
            raise SendError(Condition.REFUSED, unrequested)
        _expect_response(protocol)
        attempt.sent = True
        transport.write(self._written(request, attempt.key))
        return protocol

    def _written(self, request: Request, key: Secret) -> bytes:
        """Return the bytes to send; every part has been checked, so that none has a line break."""
        fields = self._fields
        if request.body is not None:
            fields += f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n"
        elif request.method != hdrs.METH_GET:
            fields += "Content-Length: 0\r\n"
        return (
            f"{request.method} {self._path}{request.target} HTTP/1.1\r\n{fields}"
            f"Authorization: Bearer {key.reveal()}\r\n\r\n"
        ).encode("ascii") + (request.body or b"")


class Transport:
    """The connections of one client: opened on first use, and bound to the running loop."""

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
        self._connectors: dict[bool, aiohttp.TCPConnector] = {}
        """Our own: one that keeps connections alive (False), and one that does not (True)."""
        self._routes: dict[bool, _Route] = {}
        """The latest, by the same."""
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
        fresh: bool,
    ) -> Response:
        """Send the request once and read the response, up to a size but without a time limit.

        `fresh` asks for a new connection, since a stale one could make a create ambiguous. Raises
        `SendError`.
        """
        if self.closed:
            raise SendError(Condition.REFUSED, "the client is closed")
        connector = self._connectors.get(fresh) or await self._open(fresh=fresh)
        proxy = self._proxy
        if self._trust_env and proxy.url is None:
            proxy = _environment_proxy(URL(base_url, encoded=True))
        route = self._routes.get(fresh)
        if route is None or route.serves != (base_url, headers, proxy):
            route = self._routes[fresh] = _Route(connector, base_url, headers, proxy)
        try:
            connection = await connector.connect(route.request, [], _NO_TIMEOUT)
            try:
                response = await _receive(route.send(connection, request, attempt))
            except BaseException:
                connection.close()
                raise
            connection.release()
        except Exception as error:  # noqa: BLE001  # a caller's connector may raise anything
            failure = _explain(error, route.place, sent=attempt.sent)
            drop_tracebacks(error)
        else:
            return response
        # Raised outside the except block, so that the exception of aiohttp is not chained.
        raise failure

    async def _open(self, *, fresh: bool) -> aiohttp.BaseConnector:
        if self.loop is None:  # the process was forked during the call
            raise WrongLoopError(_FORKED)
        if self._keeper is None:
            await _check_aiohttp(self.loop)
            self._keeper = _close_with_the_loop(self._connectors)
            # A loop registers an async generator, to close it, only when it is first iterated.
            await anext(self._keeper)
        if self._connector is None:
            # It needs no limit: the slots that all calls share are the limit.
            self._connectors[fresh] = aiohttp.TCPConnector(
                limit=0,
                force_close=fresh,
                keepalive_timeout=None if fresh else _KEEP_ALIVE,
                ssl=self._ssl or True,
                socket_factory=self._new_socket,
                resolver=_Resolver(),
            )
        elif self._connector._loop is not self.loop:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # aiohttp does not check it
            raise WrongLoopError("the connector passed to the client belongs to another event loop")
        return self._connector or self._connectors[fresh]

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
        for connector in self._connectors.values():
            connector._close()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # close() needs a loop
        self._connectors.clear()
        self._routes.clear()
        self._keeper = None

    def forget(self) -> None:
        """Start afresh in a forked child without touching what it shares with its parent.

        Closing the inherited connections would unregister them from the parent's event loop too,
        so they are kept, unused, until the child exits. A caller's connector is left as it is.
        """
        _cut_off(list(self._sockets))
        self._sockets.clear()
        for connector in self._connectors.values():
            # Otherwise its finalizer would close the connections.
            connector._closed = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            _INHERITED.append(connector)
        _INHERITED.append(self._keeper)
        if self.loop is not None:
            _INHERITED_LOOPS.add(self.loop)
        self._connectors.clear()
        self._routes.clear()
        self._keeper = self.loop = None

    @property
    def is_open(self) -> bool:
        """Whether connectors have been opened and not closed yet."""
        return self._keeper is not None

    async def close(self) -> None:
        """Close the connections; a caller's connector stays open. A second time does nothing."""
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
    connectors: dict[bool, aiohttp.TCPConnector],
) -> AsyncGenerator[None, None]:
    """Close the connectors when this generator is closed, by asyncio at the latest.

    `asyncio.run()` closes async generators before the loop; after that, connections could no longer
    be closed properly.
    """
    try:
        yield
    finally:
        while connectors:
            await connectors.popitem()[1].close()


def _expect_response(protocol: ResponseHandler) -> None:
    """Create a new parser for the next response on a connection."""
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,  # aiohttp reports a wrong Content-Encoding as a lost connection
        max_line_size=_MAX_FIELD,
        max_field_size=_MAX_FIELD,
        max_headers=_MAX_FIELDS,
    )


async def _check_aiohttp(loop: asyncio.AbstractEventLoop) -> None:
    """Try what aiohttp does not document; raises `ConfigurationError` if it has changed."""
    with suppress(Exception):
        protocol = ResponseHandler(loop)
        _expect_response(protocol)
        protocol.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: 1\r\n\r\n{}")
        response = await _receive(protocol)
        if (response.headers["a"], response.body, protocol.should_close) == ("1", b"{}", False):
            return
    raise ConfigurationError(
        f"aiohttp {aiohttp.__version__} does not work with this version of openrouter_async: "
        "install a newer openrouter_async, or an older aiohttp"
    )


async def _receive(protocol: ResponseHandler) -> Response:
    """Read the response to the request that was sent last."""
    response, content = _head_of(*await protocol.read())
    while response.status in _INTERIM:
        response, content = _head_of(*await protocol.read())
    await _read_body(response, content)
    return response


_INTERIM: Final = frozenset({*range(100, 200)} - {101})
"""Statuses that precede the response; 101 is the response itself."""


def _head_of(message: RawResponseMessage, content: StreamReader) -> tuple[Response, StreamReader]:
    """Return a response without its body; the repr of aiohttp's message would show its headers."""
    return Response(message.code, message.headers, b"", time.time()), content


@attrs.define(eq=False, weakref_slot=False)
class _Body:
    """The pieces of a body, kept out of locals, which a traceback with locals would show."""

    pieces: list[bytes] = attrs.field(factory=list, repr=False)
    size: int = 0

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.size += len(piece)


async def _read_body(response: Response, content: StreamReader) -> None:
    """Read a response's body up to the bound on its size."""
    bound = MAX_BODY if response.status < _FIRST_ERROR else MAX_ERROR_BODY
    body = _Body()
    try:
        while body.size <= bound and not content.at_eof():
            body.add(await content.readany())
    except Exception as error:  # noqa: BLE001  # whatever broke off, the part that arrived counts
        response.truncated = True
        drop_tracebacks(error)
    response.body = b"".join(body.pieces)[:bound]
    response.too_large = body.size > bound
    if not response.body.startswith(b"{") and not response.too_large:
        claimed = response.headers.get(hdrs.CONTENT_ENCODING, "")
        unpacked = unpack(response.body, claimed, bound)
        response.body = unpacked.body[:bound]
        response.too_large = len(unpacked.body) > bound
        response.truncated = response.truncated or unpacked.cut
        response.miscoded = claimed if unpacked.wrong and not response.truncated else None
