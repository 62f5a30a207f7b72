"""The sandbox's HTTP server and its optional rate limit."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from openrouter_async._operations import OPERATIONS, Operation
from openrouter_async.errors import ConfigurationError
from openrouter_async.sandbox._account import Account, RefusedError
from openrouter_async.sandbox._faults import Faults, respond_with
from openrouter_async.sandbox._handlers import FOR_ANY_KEY, HANDLERS, document_of
from openrouter_async.sandbox._http import (
    SandboxRequest,
    bearer_of,
    error_response,
    is_loopback,
    json_response,
    read_object,
    read_parameters,
)


class Limiter:
    """A token bucket that holds one second's requests, and at least one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, per_second)
        self._left = self._capacity
        self._at = time.monotonic()

    def refusal(self) -> Mapping[str, str] | None:
        """Take a token and return None; if there is none, return the headers of a 429."""
        now = time.monotonic()
        self._left = min(self._capacity, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return None
        seconds = math.ceil((1 - self._left) / self._per_second)
        return {
            "Retry-After": str(seconds),
            "X-RateLimit-Limit": str(math.floor(self._capacity)),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(math.ceil(time.time() + seconds) * 1000),
        }


HOST: Final = "127.0.0.1"
BASE_PATH: Final = "/api/v1"

_LOG: Final = logging.getLogger("openrouter_async.sandbox")
_MUTE: Final = logging.Logger(  # noqa: LOG001 - detached, so that no configuration can enable it
    "openrouter_async.sandbox.http", logging.CRITICAL + 1
)
"""Swallows aiohttp's messages about malformed requests, which quote headers and thus keys."""
_KEPT_REQUESTS: Final = 100_000
_BACKLOG: Final = 1024
_GRACE: Final = 0.2
"""Seconds that requests in progress have to finish when the server stops."""


class Service:
    """An account behind HTTP, with its pending faults and a record of its requests."""

    def __init__(self, account: Account, requests_per_second: float | None) -> None:
        self.account = account
        self.faults = Faults()
        self.requests: deque[SandboxRequest] = deque(maxlen=_KEPT_REQUESTS)
        self.lock = threading.RLock()
        """Held while reading or changing any of these, in any thread; never across an await."""
        self._limiter = Limiter(requests_per_second) if requests_per_second else None
        self._ray = itertools.count(1)

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncGenerator[int]:
        """Serve on loopback during the block; yields the port, which is a free one for `port` 0."""
        stopping = asyncio.Event()
        runner = web.AppRunner(
            self._app(stopping), access_log=None, logger=_MUTE, shutdown_timeout=_GRACE
        )
        await runner.setup()
        try:
            await _listen(runner, port)
            yield runner.addresses[0][1]
        finally:
            await asyncio.sleep(0)  # else CPython 3.11 never closes a just accepted connection
            await runner.cleanup()

    def _app(self, stopping: asyncio.Event) -> web.Application:
        async def stop(_: web.Application) -> None:
            stopping.set()

        app = web.Application(middlewares=[_guard])
        app.on_shutdown.append(stop)
        app.on_response_prepare.append(self._sign)
        for operation in OPERATIONS:
            handler = self._endpoint(operation, stopping)
            app.router.add_route(operation.method, BASE_PATH + operation.path, handler)
        return app

    async def _sign(self, _: web.Request, response: web.StreamResponse) -> None:
        """Set `cf-ray` as the service's edge does, so that errors have a request id."""
        response.headers["cf-ray"] = f"{next(self._ray):016x}-BOX"

    def _endpoint(
        self, operation: Operation[Any, Any], stopping: asyncio.Event
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def endpoint(request: web.Request) -> web.StreamResponse:
            # Read the body first: faults apply only to requests that have arrived whole.
            body = await request.read()
            seen = SandboxRequest(operation.name, operation.method, operation.path)
            with self.lock:
                self.requests.append(seen)
                fault = self.faults.take(operation.name)

            def effect() -> web.Response:
                with self.lock:
                    return self._perform(operation, request, body)

            if fault is None:
                response: web.Response | None = effect()
            else:
                response = await respond_with(fault, request, effect, stopping)
            if response is None:
                return web.Response()  # aiohttp requires one, though the connection is closed
            seen.status = response.status
            return response

        return endpoint

    def _perform(
        self, operation: Operation[Any, Any], request: web.Request, body: bytes
    ) -> web.Response:
        """Perform the request or refuse it; the order of the checks is the service's."""
        refusal = self._limiter and self._limiter.refusal()
        if refusal:
            return error_response(429, headers=refusal)
        try:
            caller = self.account.authenticate(bearer_of(request.headers.get("Authorization")))
            if caller is not None and operation.name not in FOR_ANY_KEY:
                return error_response(403)
            parsed = {}
            if any(parameter.place == "body" for parameter in operation.parameters):
                parsed = read_object(request.content_type, body)
            params = read_parameters(operation, request.match_info, request.query, parsed)
            response = HANDLERS[operation.name](self.account, caller, **params)
        except RefusedError as error:
            return error_response(error.status, error.message)
        return json_response(operation.success, document_of(response))


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port, backlog=_BACKLOG).start()
    except OSError as error:
        problem = ConfigurationError(
            f"port {port} of {HOST} cannot be opened: {error.strerror or type(error).__name__}"
        )
    else:
        return
    raise problem


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse foreign host names, and turn every failure into an error in the service's shape."""
    if not is_loopback(request.headers.get("Host", "")):
        return error_response(421, "The sandbox accepts only loopback host names")
    try:
        return await handler(request)
    except web.HTTPException as error:
        allow = error.headers.get("Allow")
        return error_response(error.status, error.reason, {"Allow": allow} if allow else None)
    except ConnectionError:
        raise  # the client has gone, and aiohttp ignores this error
    except Exception:  # noqa: BLE001 - a server responds with 500 and keeps running
        _LOG.exception("the sandbox failed")
        return error_response(500)
