"""The steps of a scripted server: what it does with one request.

A step is any `async def step(connection, request)`. It may end the connection by calling
`connection.close()` or `connection.reset()`; otherwise the next request is read from it.
"""

import asyncio
import functools
import json as json_module
import reprlib
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http.client import responses
from typing import Any, Final, Literal, ParamSpec, cast

from support.wire import Connection, Request

Step = Callable[[Connection, Request], Awaitable[None]]
Handler = Callable[[Request], Step]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]
Ending = Literal["close", "reset", "stall"]

_ABSENT: Final[Any] = object()
_CHUNK: Final = bytes(64 * 1024)
_BODILESS: Final = {204, 304}

P = ParamSpec("P")


def named(factory: Callable[P, Step]) -> Callable[P, Step]:
    """Name every step after the call that built it, which also names parametrized tests."""

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Step:
        step: Any = factory(*args, **kwargs)
        words = [*map(_word, args), *(f"{name}={_word(value)}" for name, value in kwargs.items())]
        step.__name__ = f"{factory.__name__}({', '.join(words)})"
        return cast("Step", step)

    return make


def _word(value: object) -> str:
    return str(getattr(value, "__name__", reprlib.repr(value)))


def head(
    status: int, headers: Headers = (), *, length: int | None = None, reason: str | None = None
) -> bytes:
    """Build a status line and headers, with a Content-Length unless `length` is None."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if length is not None and not any(name.lower() == "content-length" for name, _ in pairs):
        pairs.append(("Content-Length", str(length)))
    if reason is None:
        reason = responses.get(status, "Unknown")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in pairs)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@named
def reply(
    status: int = 200,
    *,
    json: Any = _ABSENT,
    text: str | None = None,
    body: bytes = b"",
    headers: Headers = (),
    reason: str | None = None,
    truncate: int | None = None,
    ending: Ending = "close",
    close: bool = False,
) -> Step:
    """Respond with JSON, text or bytes.

    `truncate`: send only this many bytes of the body, though Content-Length announces all of them,
    then do the `ending`. `close`: announce and perform the end of the connection.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if json is not _ABSENT:
        body = json_module.dumps(json).encode()
        _add(pairs, "Content-Type", "application/json")
    elif text is not None:
        body = text.encode()
        _add(pairs, "Content-Type", "text/plain; charset=utf-8")
    if close:
        _add(pairs, "Connection", "close")
    length = None if status in _BODILESS else len(body)
    start = head(status, pairs, length=length, reason=reason)
    sent = body if truncate is None else body[:truncate]

    async def step(connection: Connection, request: Request) -> None:
        await connection.write(start if request.method == "HEAD" else start + sent)
        if truncate is not None:
            await _end(connection, ending)
        elif close:
            connection.close()

    return step


def _add(pairs: list[tuple[str, str]], name: str, value: str) -> None:
    if not any(known.lower() == name.lower() for known, _ in pairs):
        pairs.append((name, value))


async def _end(connection: Connection, ending: Ending) -> None:
    if ending == "stall":
        await connection.sleep()
    elif ending == "reset":
        connection.reset()
    else:
        connection.close()


@named
def raw(data: bytes, *, ending: Ending = "close") -> Step:
    """Send these bytes as they are, and end."""

    async def step(connection: Connection, request: Request) -> None:
        await connection.write(data)
        await _end(connection, ending)

    return step


@named
def html(status: int, text: str = "<html><body><h1>Bad gateway</h1></body></html>") -> Step:
    """Respond with an HTML page, as a proxy in front of a service does."""
    return reply(status, body=text.encode(), headers={"Content-Type": "text/html; charset=UTF-8"})


@named
def redirect(status: int, location: str | None) -> Step:
    """Respond with a redirect; None as `location` sends no Location header."""
    return reply(status, headers={} if location is None else {"Location": location})


@named
def echo() -> Step:
    """Respond with the request as JSON: method, target, headers, body."""

    async def step(connection: Connection, request: Request) -> None:
        document = {
            "method": request.method,
            "target": request.target,
            "headers": request.headers,
            "body": request.body.decode("latin-1"),
        }
        await reply(json=document)(connection, request)

    return step


@named
def reset() -> Step:
    """Reset the connection (RST) after reading the request, without sending a byte."""
    return raw(b"", ending="reset")


@named
def close_before_head() -> Step:
    """Close the connection (FIN) after reading the request, without sending a byte.

    On the second request of a connection, this looks like a stale keep-alive.
    """
    return raw(b"")


@named
def stall_head(partial: bytes = b"") -> Step:
    """Send nothing, or only `partial`, until the client disconnects."""
    return raw(partial, ending="stall")


@named
def stall_body(body: bytes = b'{"data": []}', *, sent: int = 5, status: int = 200) -> Step:
    """Announce a body, send its first bytes, and stay silent until the client disconnects."""
    return reply(status, body=body, truncate=sent, ending="stall")


@named
def drip(
    body: bytes, *, every: float = 0.5, size: int = 1, status: int = 200, with_head: bool = False
) -> Step:
    """Send `size` bytes of the body every `every` seconds; `with_head`: of the head too."""
    start = head(status, {"Content-Type": "application/json"}, length=len(body))

    async def step(connection: Connection, request: Request) -> None:
        slow = start + body if with_head else body
        if not with_head:
            await connection.write(start)
        for place in range(0, len(slow), size):
            await connection.sleep(every)
            await connection.write(slow[place : place + size])

    return step


@named
def cut_chunk(body: bytes, *, sent: int, status: int = 200, ending: Ending = "close") -> Step:
    """Announce the body as one chunk, send its first `sent` bytes, and end."""
    start = head(status, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"})
    return raw(start + b"%x\r\n" % len(body) + body[:sent], ending=ending)


@named
def endless_chunks() -> Step:
    """Send chunks for as long as the client accepts them."""
    return _endless(head(200, {"Transfer-Encoding": "chunked"}), b"10000\r\n" + _CHUNK + b"\r\n")


@named
def endless_head() -> Step:
    """Send headers for as long as the client accepts them."""
    return _endless(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 100)


def _endless(start: bytes, more: bytes) -> Step:
    async def step(connection: Connection, request: Request) -> None:
        await connection.write(start)
        while True:
            await connection.write(more)

    return step


@named
def huge_body(mib: int = 300) -> Step:
    """Send this many MiB of zeros with a correct Content-Length."""
    start = head(200, {"Content-Type": "application/json"}, length=mib * 1024 * 1024)

    async def step(connection: Connection, request: Request) -> None:
        await connection.write(start)
        for _ in range(mib * 1024 * 1024 // len(_CHUNK)):
            await connection.write(_CHUNK)

    return step


@named
def delay(seconds: float, then: Step) -> Step:
    """Wait on the real clock, then do a step."""

    async def step(connection: Connection, request: Request) -> None:
        await connection.sleep(seconds)
        await then(connection, request)

    return step


@named
def hold(until: asyncio.Event | threading.Event, then: Step) -> Step:
    """Wait for an event that the test sets, then do a step."""

    async def step(connection: Connection, request: Request) -> None:
        while not until.is_set():
            await connection.sleep(0.001)
        await then(connection, request)

    return step
