"""Faults on request: which requests go wrong, and how."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import attrs
from aiohttp import web

from openrouter_async import _checks
from openrouter_async._operations import OPERATIONS
from openrouter_async.errors import InvalidRequestError
from openrouter_async.sandbox._http import error_response, html_response

ANY: Final = "*"
"""Matches every operation."""

_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_OPERATION_NAMES: Final = tuple(operation.name for operation in OPERATIONS)


@attrs.frozen(kw_only=True)
class Fault:
    """What goes wrong with one request; raises `InvalidRequestError` for invalid combinations."""

    operation: str
    status: int | None
    delay: float | None
    reset: bool
    truncate: bool
    html: bool
    retry_after: float | str | None
    after_effect: bool

    def __attrs_post_init__(self) -> None:
        if self.operation not in (*_OPERATION_NAMES, ANY):
            _checks.refuse("operation", f'"{ANY}" or one of {", ".join(_OPERATION_NAMES)}')
        for name in ("reset", "truncate", "html", "after_effect"):
            _checks.strict_flag(name, getattr(self, name))
        if self.status is not None:
            _check_status(self.status)
        if self.delay is not None:
            _check_delay(self.delay)
        if self.retry_after is not None:
            _check_retry_after(self.retry_after)
        kinds = [self.replaced, self.reset, self.truncate]
        if not any(kinds) and self.delay is None:
            raise InvalidRequestError(
                "status, delay, reset, truncate or html is required", parameter="status"
            )
        if sum(kinds) > 1:
            raise InvalidRequestError(
                "reset and truncate can only be combined with delay", parameter="reset"
            )
        if self.retry_after is not None and not self.replaced:
            _checks.refuse("retry_after", "used together with status or html")

    @property
    def replaced(self) -> bool:
        """Whether another response is sent in place of the real one."""
        return self.status is not None or self.html

    def response(self) -> web.Response:
        """Build the response that is sent in place of the real one."""
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after}"}
        build = html_response if self.html else error_response
        return build(self.status or HTTPStatus.OK, headers=headers)


def _check_status(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 400 <= value <= 599:
        _checks.refuse("status", "an integer from 400 to 599")


def _check_delay(value: object) -> None:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else -1
    if not (math.isfinite(number) and number >= 0):
        _checks.refuse("delay", "a finite number of seconds of at least 0")


def _check_retry_after(value: object) -> None:
    if isinstance(value, str):
        if not value.isprintable():
            _checks.refuse("retry_after", "a header value without control characters")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        _checks.refuse("retry_after", "a number of seconds, or the header's value as a str")


class Faults:
    """The faults that have not happened yet, in the order in which they were added."""

    def __init__(self) -> None:
        self._pending: list[tuple[Fault, int]] = []

    def add(self, fault: Fault, times: int) -> None:
        """Add a fault for that many requests; raises `InvalidRequestError` for bad `times`."""
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            _checks.refuse("times", "an integer of at least 1")
        self._pending.append((fault, times))

    def take(self, operation: str) -> Fault | None:
        """Return the first fault for a request of this operation, and use it up once."""
        for place, (fault, times) in enumerate(self._pending):
            if fault.operation in (operation, ANY):
                self._pending[place : place + 1] = [(fault, times - 1)] if times > 1 else []
                return fault
        return None


async def respond_with(
    fault: Fault,
    request: web.Request,
    effect: Callable[[], web.Response],
    stopping: asyncio.Event,
) -> web.Response | None:
    """Return the response to a fully read request under a fault; None if there is none to send.

    `effect` performs the request and returns the real response. It is called if that response is
    sent, even late or truncated, and otherwise only if the fault has `after_effect` set.
    """
    response = effect() if fault.after_effect else None
    if fault.delay and await _wait(stopping, fault.delay):
        _drop(request)
        return None
    if fault.reset:
        _drop(request)
        return None
    if fault.replaced:
        return fault.response()
    response = response or effect()
    if fault.truncate:
        await _cut(request, response)
        return None
    return response


async def _wait(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait for the delay, or return True as soon as the server is stopping."""
    try:
        async with asyncio.timeout(seconds):
            return await stopping.wait()
    except TimeoutError:
        return False


def _drop(request: web.Request) -> None:
    """Reset the connection."""
    transport = request.transport
    if transport is not None:  # the client is still there
        sock: socket.socket = transport.get_extra_info("socket")
        # A socket that lingers for 0 s sends RST instead of FIN when it is closed.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()


async def _cut(request: web.Request, response: web.Response) -> None:
    """Send the head with the full Content-Length and half of the body, then close."""
    body: Any = response.body
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(body)
    with suppress(ConnectionError):  # the client is gone
        await stream.prepare(request)
        await stream.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
