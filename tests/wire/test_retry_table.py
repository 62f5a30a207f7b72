"""The retry table over the wire: each condition with each operation."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from support.calls import CALLS, CREATE, DELETE, REPEATABLE, Call, ClientFor, problem
from support.clock import FakeClock
from support.server import ScriptedServer
from support.steps import (
    Step,
    close_before_head,
    cut_chunk,
    html,
    raw,
    redirect,
    reply,
    reset,
    stall_head,
)

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    APITimeoutError,
    BadRequestResponseError,
    ConflictResponseError,
    ForbiddenResponseError,
    InternalServerResponseError,
    NotFoundResponseError,
    OpenRouterDefaultError,
    OpenRouterError,
    ResponseValidationError,
    RetryConfig,
    TooManyRequestsResponseError,
    UnauthorizedResponseError,
    UnexpectedRedirectError,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Row:
    """A condition: how often each operation is sent, and what the caller is told."""

    step: Step
    error: type[OpenRouterError]
    requests: int
    """Of every operation but create."""
    creates: int = 1
    ambiguous: bool = True
    """A create's failure; one that was answered is of the answer's class too."""

    def __str__(self) -> str:
        return getattr(self.step, "__name__", "step")


def answered(
    statuses: str, error: type[OpenRouterError], requests: int, **create: Any
) -> list[Row]:
    """Return a row for each status."""
    return [
        Row(reply(int(status), json=problem(int(status))), error, requests, **create)
        for status in statuses.split()
    ]


DEFINITE: dict[str, Any] = {"ambiguous": False}
ROWS = [
    # sent, no answer
    Row(reset(), APIConnectionError, 3),
    Row(close_before_head(), APIConnectionError, 3),
    Row(raw(b"HTTP/1.1 200 OK\r\nContent-"), APIConnectionError, 3),
    # 429
    *answered("429", TooManyRequestsResponseError, 3, creates=3, **DEFINITE),
    # 408, 502, 503, 504
    *answered("408 502 503 504", OpenRouterDefaultError, 3),
    Row(html(502), OpenRouterDefaultError, 3),
    # 500, 520-529, and any 5XX that is not listed
    *answered("500", InternalServerResponseError, 3),
    *answered("520 521 522 523 524 525 526 527 528 529", OpenRouterDefaultError, 3),
    *answered("507 510 530 599", OpenRouterDefaultError, 3),
    # 501, 505, 506, 508, 511, other 4XX
    *answered("501 505 506 508 511", OpenRouterDefaultError, 1, **DEFINITE),
    *answered("400", BadRequestResponseError, 1, **DEFINITE),
    *answered("401", UnauthorizedResponseError, 1, **DEFINITE),
    *answered("403", ForbiddenResponseError, 1, **DEFINITE),
    *answered("404", NotFoundResponseError, 1, **DEFINITE),
    *answered("409", ConflictResponseError, 1, **DEFINITE),
    *answered("402 405 406 410 413 418 422 425 451 499", OpenRouterDefaultError, 1, **DEFINITE),
    # 2XX truncated
    Row(reply(body=b'{"data": [', truncate=5), ResponseValidationError, 3),
    Row(reply(body=b'{"data": [', truncate=0), ResponseValidationError, 3),
    Row(reply(body=b'{"data": [', truncate=5, ending="reset"), ResponseValidationError, 3),
    Row(cut_chunk(b'{"data": []}', sent=6), ResponseValidationError, 3),
    Row(reply(body=b'{"data": ['), ResponseValidationError, 3),
    # 2XX of a wrong shape
    Row(reply(json={"data": 7, "deleted": "yes"}), ResponseValidationError, 1),
    Row(reply(json=[1]), ResponseValidationError, 1),
    # 3XX: plain redirects, and the others
    *[Row(redirect(s, "/x"), UnexpectedRedirectError, 1, **DEFINITE) for s in (301, 302, 307)],
    Row(redirect(301, None), UnexpectedRedirectError, 1),
    *[Row(reply(status), UnexpectedRedirectError, 1) for status in (300, 304, 305, 399)],
    # malformed head, 2XX that is not JSON
    Row(raw(b"<html>hello</html>"), APIConnectionError, 1),
    Row(raw(b"HTTP/1.1 two hundred\r\n\r\n"), APIConnectionError, 1),
    Row(raw(CHUNKED + b"nonsense\r\n"), APIConnectionError, 1),
    Row(reply(headers={"X-Long": "9" * 20_000}), APIConnectionError, 1),
    Row(html(200, "<html>Sign in</html>"), ResponseValidationError, 1),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_each_condition_with_each_operation(
    row: Row, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """As often as the table says, each time the same bytes, then the error of the last attempt."""
    async with ScriptedServer(default=row.step) as server:
        client = client_for(server, clock=clock)
        with pytest.raises(row.error if call is not CREATE else OpenRouterError) as caught:
            await call(client)
    error = caught.value
    expected = row.creates if call is CREATE else row.requests
    assert len(server.requests) == error.attempts == expected
    assert {(r.method, r.target, r.body) for r in server.requests} == {
        (call.method, f"/api/v1{call.target}", call.body)
    }
    assert clock.sleeps == [0.5, 1.0][: expected - 1]
    assert error.operation == call.operation
    ambiguous = call is CREATE and row.ambiguous
    assert isinstance(error, AmbiguousCreateError) == ambiguous
    answered_ambiguously = ambiguous and error.status_code is not None
    assert isinstance(error, row.error) == (not ambiguous or answered_ambiguously)


async def test_no_answer_in_time(client_for: ClientFor, clock: FakeClock) -> None:
    """Sent, no answer, by the clock: all operations at once, since this takes its time."""
    async with ScriptedServer(default=stall_head()) as server:
        client = client_for(server, clock=clock, timeout=0.4)
        calls = (call(client) for call in CALLS)
        errors = await asyncio.gather(*calls, return_exceptions=True)
    sent = Counter((request.method, request.target) for request in server.requests)
    for call, error in zip(CALLS, errors, strict=True):
        attempts = 1 if call is CREATE else 3
        assert sent[call.method, f"/api/v1{call.target}"] == attempts
        assert type(error) is (AmbiguousCreateError if call is CREATE else APITimeoutError)
        assert error.attempts == attempts
    assert sorted(clock.sleeps) == [0.5] * len(REPEATABLE) + [1.0] * len(REPEATABLE)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_no_policy_makes_a_create_repeat(
    row: Row, client_for: ClientFor, clock: FakeClock
) -> None:
    """Whatever the caller adds, a create that may have arrived goes out once."""
    eager = RetryConfig(max_attempts=9, status_codes=range(400, 600))
    async with ScriptedServer(default=row.step) as server:
        client = client_for(server, clock=clock, retries=eager)
        with pytest.raises(OpenRouterError):
            await CREATE(client)
    assert len(server.requests) == (9 if row.creates > 1 else 1)


GONE = reply(404, json=problem(404))
# An earlier attempt after which a 404 means that the key was there, and is gone.
MAYBE_DELETED = [
    reset(),
    close_before_head(),
    stall_head(),
    reply(body=b'{"deleted": tr', truncate=5),
    reply(body=b'{"deleted": true}', truncate=0),
    *(reply(status) for status in (408, 500, 502, 503, 504, 507, 520, 529)),
]


@pytest.mark.parametrize("before", MAYBE_DELETED, ids=lambda step: step.__name__)
async def test_delete_finds_its_own_work_done(
    before: Step, client_for: ClientFor, clock: FakeClock
) -> None:
    """A 404 after an attempt that may have arrived is a success."""
    async with ScriptedServer(before, GONE) as server:
        timeout = 0.4 if before.__name__.startswith("stall") else 15
        deleted = await DELETE(client_for(server, clock=clock, timeout=timeout))
    assert deleted.deleted
    assert deleted.already_gone
    assert len(server.requests) == 2


@pytest.mark.parametrize("call", REPEATABLE, ids=str)
async def test_only_delete_takes_404_for_a_success(
    call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """The 404 rule is delete's alone; get and update name what is missing."""
    async with ScriptedServer(reset(), GONE) as server:
        client = client_for(server, clock=clock)
        if call is DELETE:
            assert (await call(client)).already_gone
        else:
            with pytest.raises(NotFoundResponseError) as caught:
                await call(client)
            assert caught.value.attempts == 2
    assert len(server.requests) == 2
