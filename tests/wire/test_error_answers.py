"""What a response that is an error becomes: its class, its facts, and a body that is bounded."""

import copy
import pickle
from typing import Any

import pytest
from support.calls import CALLS, CREATE, CURRENT, GET, LIST, UPDATE, Call, ClientFor
from support.clock import FakeClock
from support.secrets import assert_not_leaked, planted_secret
from support.server import ScriptedServer
from support.steps import Step, html, reply

from openrouter_async import (
    ConflictResponseError,
    ForbiddenResponseError,
    InternalServerResponseError,
    NotFoundResponseError,
    OpenRouterDefaultError,
    OpenRouterError,
    RetryConfig,
    TooManyRequestsResponseError,
    UnauthorizedResponseError,
)

CLASSES: dict[int, type[OpenRouterError]] = {
    401: UnauthorizedResponseError,
    403: ForbiddenResponseError,
    429: TooManyRequestsResponseError,
    500: InternalServerResponseError,
    502: OpenRouterDefaultError,
    504: OpenRouterDefaultError,
    413: OpenRouterDefaultError,
}
PHRASES = {
    401: "Unauthorized",
    403: "Forbidden",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}
DOCUMENTED = {"error": {"code": 499, "message": "as documented", "metadata": {"error_type": "odd"}}}
BODIES: dict[str, tuple[dict[str, Any], str | None]] = {
    "documented": ({"json": DOCUMENTED}, "as documented"),
    "a word": ({"json": {"error": "nope"}}, "nope"),
    "list": ({"json": [{"error": {"message": "in a list"}}]}, None),
    "null": ({"json": None}, None),
    "string": ({"json": "no"}, None),
    "number": ({"json": 401}, None),
    "empty": ({}, None),
    "text": ({"text": "Go away"}, None),
    "HTML": ({"text": "<html><body>cloudflare</body></html>"}, None),
    "deep": ({"body": b"[" * 100_000}, None),
    "odd members": ({"json": {"error": {"code": [], "message": {}, "metadata": 7}}}, None),
    "no members": ({"json": {"error": {}}}, None),
    "message null": ({"json": {"error": {"message": None}, "user_id": 5}}, None),
    "not UTF-8": ({"body": b"\xff\xfe\x00"}, None),
    "surrogate": ({"body": b'{"error": {"message": "a \\ud800 b"}}'}, "a ? b"),
    "control characters": (
        {"json": {"error": {"message": "no\r\nINFO all is well\x1b[2J\x9b5A\u2028."}}},
        "no  INFO all is well [2J 5A .",
    ),
    "10 MB": ({"body": b"x" * 10_000_000}, None),
}
"""Fault 12: a body, and the message that it has, if any."""


@pytest.mark.parametrize("status", CLASSES)
@pytest.mark.parametrize("case", BODIES)
async def test_class_follows_the_status(case: str, status: int, client_for: ClientFor) -> None:
    """Fault 12: whatever the body is, the status decides; the texts are short."""
    body, message = BODIES[case]
    async with ScriptedServer(default=reply(status, **body)) as server:
        with pytest.raises(OpenRouterError) as caught:
            await GET(client_for(server, retries=None))
    error = caught.value
    assert isinstance(error, CLASSES[status])
    assert type(error).__name__ == CLASSES[status].__name__
    assert (error.status_code, error.operation, error.attempts) == (status, "get", 1)
    if message is not None or status in PHRASES:
        assert error.message == (message or PHRASES[status])
    assert len(str(error)) < 400
    assert error.body is not None
    assert len(error.body.encode()) <= 2048
    assert len(server.requests) == 1


async def test_only_the_start_of_a_large_error_is_read(client_for: ClientFor) -> None:
    """Fault 12: after 64 KiB of an error the connection is closed, not drained."""
    async with ScriptedServer(default=reply(401, body=b"x" * 50_000_000)) as server:
        client = client_for(server)
        for _ in range(2):
            with pytest.raises(UnauthorizedResponseError):
                await GET(client)
        await server.until(lambda: all(r.outcome != "open" for r in server.requests))
    assert [r.client_closed_early for r in server.requests] == [True, True]
    assert server.connections == 2


async def test_all_facts(client_for: ClientFor, clock: FakeClock) -> None:
    """Every documented part of an error has its attribute."""
    metadata = {"error_type": "rate_limit_exceeded", "limits": [{"per": "minute", "n": 20}]}
    document = {
        "error": {"code": 429, "message": "Rate limit exceeded", "metadata": metadata},
        "user_id": "user_2dHF",
    }
    headers = {"Retry-After": "2", "X-RateLimit-Limit": "20", "cf-ray": "9a1-FRA"}
    async with ScriptedServer(default=reply(429, json=document, headers=headers)) as server:
        with pytest.raises(TooManyRequestsResponseError) as caught:
            await LIST(client_for(server, clock=clock))
    error = caught.value
    assert error.message == "Rate limit exceeded"
    assert (error.code, error.error_type, error.user_id) == (
        429,
        metadata["error_type"],
        "user_2dHF",
    )
    assert error.metadata == metadata
    assert (error.request_id, error.retry_after, error.attempts) == ("9a1-FRA", 2.0, 3)
    assert error.headers is not None
    assert error.headers["x-ratelimit-limit"] == "20"
    assert str(error) == "list: 429 Rate limit exceeded (request 9a1-FRA, 3 attempts)"
    assert "per" in (error.body or "")
    assert "per" not in repr(error)


async def test_request_id_of_the_service_comes_first(client_for: ClientFor) -> None:
    """`X-Generation-Id` names the request better than the edge's `cf-ray`."""
    headers = {"cf-ray": "9a1-FRA", "X-Generation-Id": "gen-1"}
    async with ScriptedServer(reply(400, headers=headers)) as server:
        with pytest.raises(OpenRouterError, match=r"request gen-1\)") as caught:
            await GET(client_for(server))
    assert caught.value.request_id == "gen-1"


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_facts_are_of_the_last_attempt(
    call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Nothing of an earlier attempt's answer is mixed in."""
    first = reply(429, headers={"cf-ray": "first", "Retry-After": "1"}, json={"user_id": "u"})
    async with ScriptedServer(first, reply(403)) as server:
        with pytest.raises(ForbiddenResponseError) as caught:
            await call(client_for(server, clock=clock))
    error = caught.value
    assert (error.request_id, error.retry_after, error.user_id) == (None, None, None)
    assert (error.message, error.attempts) == ("Forbidden", 2)


UNNAMED: list[tuple[Step, str]] = [
    (html(524), "524 the service failed"),
    (reply(499), "499 refused"),
    (reply(529, headers={"retry-after": "1"}), "529 the service failed"),
]


@pytest.mark.parametrize(
    ("step", "text"), UNNAMED, ids=lambda value: getattr(value, "__name__", "")
)
async def test_statuses_without_a_name(step: Step, text: str, client_for: ClientFor) -> None:
    """A status that no standard names gets words, too."""
    once = RetryConfig(max_attempts=1)
    async with ScriptedServer(step) as server:
        with pytest.raises(OpenRouterDefaultError, match=f"get: {text}"):
            await GET(client_for(server, retries=once))


@pytest.mark.parametrize(
    ("call", "status", "cls"),
    [
        (LIST, 403, ForbiddenResponseError),
        (GET, 403, ForbiddenResponseError),
        (UPDATE, 409, ConflictResponseError),
        (CREATE, 404, NotFoundResponseError),
        (CURRENT, 429, TooManyRequestsResponseError),
    ],
    ids=str,
)
async def test_undeclared_status(
    call: Call, status: int, cls: type[OpenRouterError], client_for: ClientFor
) -> None:
    """What the documentation calls "4XX, 5XX" catches a status that it does not name there."""
    async with ScriptedServer(default=reply(status)) as server:
        client = client_for(server, retries=None)
        with pytest.raises(OpenRouterDefaultError) as default:
            await call(client)
        with pytest.raises(cls):
            await call(client)
    again = pickle.loads(pickle.dumps(default.value))
    assert type(again) is type(copy.copy(again)) is type(default.value)
    assert type(again).__name__ == cls.__name__
    assert repr(again).startswith(f"{cls.__name__}('{call.operation}: {status} ")


@pytest.mark.parametrize(
    ("call", "status"), [(LIST, 400), (GET, 404), (UPDATE, 429), (CREATE, 403)]
)
async def test_declared_status(call: Call, status: int, client_for: ClientFor) -> None:
    """What has a class of its own in the documentation of the operation is no "4XX, 5XX"."""
    async with ScriptedServer(default=reply(status)) as server:
        with pytest.raises(OpenRouterError) as caught:
            await call(client_for(server, retries=None))
    assert not isinstance(caught.value, OpenRouterDefaultError)


@pytest.mark.parametrize("status", [400, 503])
async def test_openrouter_metadata(status: int, client_for: ClientFor) -> None:
    """What the service says of the request around the error is kept, without any key."""
    secret = planted_secret()
    around = {"region": "eu", "attempts": [{"provider": "p", "key": f"x {secret}"}], secret: None}
    document = {"error": {"code": status, "message": "no"}, "openrouter_metadata": around}
    async with ScriptedServer(default=reply(status, json=document)) as server:
        with pytest.raises(OpenRouterError) as caught:
            await GET(client_for(server, api_key=secret, retries=None))
    kept = caught.value.openrouter_metadata
    assert kept is not None
    assert (kept["region"], kept["attempts"][0]["provider"]) == ("eu", "p")
    assert_not_leaked(secret, str(caught.value), repr(vars(caught.value)))
