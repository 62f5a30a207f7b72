"""The wire: one request out, one answer in, over an aiohttp session of ours.

Nothing of aiohttp leaves this module: a failure is a `SendError` that says what went wrong in the
retry table's words, and whether the request may have reached the service.
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

from openrouter_async._circles import let_go
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
"""Bytes of a decoded 2XX answer that are read at most; a page of keys is about 70 kB."""
MAX_ERROR_BODY: Final = 64 * 1024
"""Bytes of any other answer that are read at most."""
_MAX_FIELD: Final = 16 * 1024
"""Bytes of one header of an answer, name and value, and of its status line; twice aiohttp's."""
_MAX_FIELDS: Final = 256
"""Headers of an answer; twice aiohttp's."""
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

    __slots__ = ("key", "proxy_login", "sent")

    def __init__(self) -> None:
        self.key = NO_KEY
        self.proxy_login = NO_KEY
        """The value of `Proxy-Authorization`; empty: there is none."""
        self.sent = False
        """Whether the request may have reached the service."""

    def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Belong to the request that aiohttp makes of it: this is a client middleware."""
        if isinstance(request, _Request):
            request.attempt = self
            if request.proxy is not None and request.is_ssl() and self.proxy_login.reveal():
                login = {hdrs.PROXY_AUTHORIZATION: self.proxy_login.reveal()}
                request.proxy_headers = CIMultiDict(login)  # for CONNECT
        return handler(request)


class _Request(aiohttp.ClientRequest):
    """A request that tells its attempt when it begins to leave.

    It sets the headers with credentials only then: `request()` copies those that it is given into
    locals, which a traceback with locals would show.
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
        if self.proxy is not None and not self.is_ssl() and self.attempt.proxy_login.reveal():
            self.headers[hdrs.PROXY_AUTHORIZATION] = self.attempt.proxy_login.reveal()
        return await super().send(conn)


class _Response(aiohttp.ClientResponse):
    """An answer whose repr, which a traceback with locals shows, has none of its headers."""

    def __repr__(self) -> str:
        return f"<answer {self.status}>"


def _explain(error: Exception, url: URL, *, sent: bool) -> SendError:
    """Describe what an exception of aiohttp means, in words without anything of the request.

    A caller's connector or resolver may raise anything, of which only the class is named.
    """
    place = _place(url)
    if not sent:
        return _explain_not_sent(error, url, place)
    if not isinstance(error, aiohttp.ClientResponseError):
        return SendError(Condition.NO_ANSWER, f"the connection to {place} broke")
    if error.message.startswith(_HEAD_TOO_LARGE):
        bounds = f"{_MAX_FIELDS} headers of {_MAX_FIELD // 1024} KiB each"
        return SendError(Condition.MALFORMED, f"{place} sent more than {bounds}")
    return SendError(Condition.MALFORMED, f"{place} did not answer in HTTP")


_HEAD_TOO_LARGE: Final = ("Got more than", "400, message:\n  Too many headers", "Too many headers")
"""How aiohttp begins what it says of a head beyond the bounds."""


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
            trouble = Condition.REFUSED if error.status >= _SERVER_FAILED else Condition.UNTRUSTED
            return SendError(trouble, f"the proxy refused to connect (status {error.status})")
        case aiohttp.ClientResponseError():
            return SendError(Condition.UNTRUSTED, "the proxy did not answer in HTTP")
        case aiohttp.ClientProxyConnectionError():
            return SendError(Condition.REFUSED, "cannot connect to the proxy")
        case _:
            reason = _reason(getattr(error, "os_error", error))
            return SendError(Condition.REFUSED, f"cannot connect to {place}{reason}")


_SERVER_FAILED: Final = 500


def _explain_lookup(error: aiohttp.ClientConnectorDNSError, host: object) -> SendError:
    """Tell a name that does not exist from a resolver that has trouble and may get over it."""
    cause = getattr(error, "os_error", None)
    number = getattr(cause, "errno", None)
    known = number in _NO_SUCH_HOST if isinstance(cause, socket.gaierror) else number is None
    if known:
        return SendError(Condition.UNKNOWN_HOST, f"unknown host {host}")
    return SendError(Condition.REFUSED, f"cannot look up {host}{_reason(cause)}")


_NO_SUCH_HOST: Final = frozenset(
    getattr(socket, name, None)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY", "EAI_FAMILY", "EAI_FAIL")
)


def _reason(error: object) -> str:
    """Say why, in the system's words; of an exception of the caller's, only the class is named."""
    if isinstance(error, socket.gaierror):
        return ": the resolver failed for now"
    number = error.errno if isinstance(error, OSError) else None
    numbers = [number] if isinstance(number, int) and 0 < number < _NO_ERRNO else []
    if type(error) is OSError and not numbers:  # several addresses, each with an error
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
    """Looks names up in daemon threads, so that a resolver that hangs does not hold an exit back.

    aiohttp's own would use asyncio's executor, whose threads Python waits for.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raises `OSError`."""
        work = partial(_look_up, host, port, family)
        return await run_in_daemon_thread(work, name="openrouter-resolver")

    async def close(self) -> None:
        """Do nothing: there is nothing open."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    # Windows without a network would not find localhost otherwise.
    offline = sys.platform == "win32" and host.rstrip(".").casefold() == "localhost"
    flags = 0 if offline else socket.AI_ADDRCONFIG
    return [
        ResolveResult(
            hostname=host,
            # The numeric address; for a link-local one with its scope.
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
    """Where a proxy is, and who we are to it; no repr shows the latter."""

    url: URL | None = None
    login: Secret = NO_KEY
    """The value of `Proxy-Authorization`; empty: there is none."""


def _proxy_at(address: str) -> _Proxy:
    """Split a proxy's checked URL into its place and the login in it."""
    url = URL(address)
    del address  # a traceback with locals would show it
    if url.user is None and url.password is None:
        return _Proxy(url)
    login = base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode())
    return _Proxy(url.with_user(None), Secret(f"Basic {login.decode()}"))


def _environment_proxy(url: URL) -> _Proxy:
    """Return the proxy that the environment names for such a URL.

    aiohttp would ignore in silence what it cannot use, and what is for all schemes. Raises
    `ConfigurationError`.
    """
    proxies = getproxies()
    for kind in (url.scheme, "all"):
        if proxies.get(kind):
            if proxy_bypass(url.raw_host or ""):
                break
            return _proxy_at(checked_proxy(f"{kind.upper()}_PROXY", proxies[kind]))
    return _Proxy()


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
        self._proxy = _Proxy() if proxy is None else _proxy_at(checked_proxy("proxy", proxy))
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
    ) -> Response:
        """Send the request once and read the answer, bounded in size but not in time.

        `fresh_connection` keeps a stale one from making a create ambiguous. Raises `SendError`.
        """
        if self.closed:
            raise SendError(Condition.REFUSED, "the client is closed")
        session = self._sessions.get(fresh_connection) or await self._open(fresh=fresh_connection)
        url = _join(base_url, request.target)
        proxy = self._proxy
        if proxy.url is None and self._trust_env:
            proxy = _environment_proxy(url)
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
            let_go(error)
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
            limit=0,
            force_close=fresh,
            ssl=self._ssl or True,
            socket_factory=self._new_socket,
            resolver=_Resolver(),
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
            auto_decompress=False,  # aiohttp takes a wrong label for a broken connection
            max_line_size=_MAX_FIELD,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_FIELDS,
        )
        # Otherwise aiohttp repeats a GET or DELETE once when a connection breaks.
        session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return session

    def _new_socket(self, address: tuple[Any, ...]) -> socket.socket:
        new = socket.socket(*address[:3])  # family, type, protocol
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


async def _read(response: aiohttp.ClientResponse) -> Response:
    bound = MAX_BODY if response.status < _FIRST_ERROR else MAX_ERROR_BODY
    body = _Body()
    truncated = False
    try:
        while body.size <= bound and body.add(await response.content.readany()):
            pass
    except Exception as error:  # noqa: BLE001  # whatever broke it, what has arrived counts
        truncated = True
        let_go(error)
    reply = Response(
        status=response.status,
        headers=response.headers,
        body=body.whole()[:bound],
        truncated=truncated,
        too_large=body.size > bound,
        received_at=time.time(),
    )
    claimed = response.headers.get(hdrs.CONTENT_ENCODING)
    if claimed and not reply.too_large:
        _unpack(reply, claimed, bound)
    return reply


def _unpack(reply: Response, claimed: str, bound: int) -> None:
    """Undo the coding of an answer's body."""
    unpacked = unpack(reply.body, claimed, bound)
    reply.body = unpacked.body[:bound]
    reply.too_large = len(unpacked.body) > bound
    reply.truncated = reply.truncated or unpacked.cut
    reply.miscoded = claimed if unpacked.wrong and not reply.truncated else None
