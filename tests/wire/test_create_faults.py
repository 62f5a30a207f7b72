"""A create that goes wrong: never sent twice, and its key never thrown away."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.calls import CREATE, HASH, KEY, NEW_KEY, ClientFor, problem, record
from support.clock import FakeClock
from support.punctual import due_in
from support.secrets import assert_not_leaked, capture_logs, tracebacks_with_locals
from support.server import ScriptedServer
from support.steps import Step, delay, html, reply, reset, stall_body

from openrouter_async import (
    AmbiguousCreateError,
    APIConnectionError,
    CreateKeysResponse,
    InternalServerResponseError,
    OpenRouterDefaultError,
    ResponseValidationError,
)


async def test_500_after_creating(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 1: one POST; the error is ambiguous, and a 500 for those who look for that."""
    before = datetime.now(UTC)
    async with ScriptedServer(default=reply(500, json=problem(500, "Internal"))) as server:
        with pytest.raises(InternalServerResponseError) as caught:
            await client_for(server, clock=clock).api_keys.create(
                "acme", workspace_id="0df9e665-d932-5740-b2c7-b52af166bc11"
            )
    error = caught.value
    assert [r.method for r in server.requests] == ["POST"]
    assert isinstance(error, AmbiguousCreateError)
    assert (error.status_code, error.code, error.attempts) == (500, 500, 1)
    assert (error.name, error.workspace_id) == ("acme", "0df9e665-d932-5740-b2c7-b52af166bc11")
    assert error.not_before is not None
    assert error.not_after is not None
    assert before <= error.not_before <= error.not_after <= datetime.now(UTC)
    assert str(error) == "create: 500 Internal; whether a key was made is unknown"


async def test_time_frame_covers_all_attempts(client_for: ClientFor, clock: FakeClock) -> None:
    """`not_before` is when the call began, though an earlier attempt was merely throttled."""
    before = datetime.now(UTC)
    async with ScriptedServer(reply(429), delay(0.05, reset())) as server:
        with pytest.raises(AmbiguousCreateError) as caught:
            await CREATE(client_for(server, clock=clock))
    assert caught.value.not_before is not None
    assert caught.value.not_after is not None
    assert caught.value.not_before - before < timedelta(seconds=0.05)
    assert caught.value.not_after - before >= timedelta(seconds=0.05)


async def test_reset_before_the_head(client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 2: one POST; ambiguous, and no connection error, which callers repeat."""
    async with ScriptedServer(default=reset()) as server:
        with pytest.raises(AmbiguousCreateError) as caught:
            await CREATE(client_for(server, clock=clock))
    assert len(server.requests) == 1
    assert not isinstance(caught.value, APIConnectionError)
    assert (caught.value.status_code, caught.value.hash) == (None, None)


@pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
async def test_answered_after_the_deadline(limit: str, client_for: ClientFor) -> None:
    """Fault 3: one POST; ambiguous within the deadline and 0.2 s."""
    async with ScriptedServer(default=delay(1.0, CREATE.ok())) as server:
        client = client_for(server)
        async with due_in(0.4):
            with pytest.raises(AmbiguousCreateError, match=f"within the {limit} of 0.4 s"):
                await CREATE(client, **{limit: 0.4})
        await server.until(lambda: server.requests[0].outcome != "open")
    assert [r.client_closed_early for r in server.requests] == [True]


def made(**changes: Any) -> dict[str, Any]:
    """Return the answer to a create, changed; `...` leaves a field out."""
    document = {"data": record(), "key": NEW_KEY, **changes}
    return {name: value for name, value in document.items() if value is not ...}


WHOLE: dict[str, Step] = {
    "200 instead of 201": reply(200, json=made()),
    "202": reply(202, json=made()),
    "extra fields": reply(201, json=made(data=record(new=[1]), more={"key": 7}, warnings=None)),
    "key in data": reply(201, json={"data": record(key=NEW_KEY)}),
    "key in both places": reply(201, json=made(data=record(key="sk-or-v1-another-key-here"))),
    "null optional fields": reply(201, json=made(data=record(limit=None, limit_reset=None))),
    "odd words": reply(201, json=made(data=record(limit_reset="fortnightly"))),
}


@pytest.mark.parametrize("case", WHOLE)
async def test_odd_but_whole(case: str, client_for: ClientFor) -> None:
    """Fault 4: whatever 2XX it is and whatever else stands there, key and record are handed out."""
    async with ScriptedServer(default=WHOLE[case]) as server:
        created = await CREATE(client_for(server))
    assert len(server.requests) == 1
    assert created.key == NEW_KEY
    assert created.problem is None
    assert created.data.hash == HASH


TEXT = json.dumps({"key": NEW_KEY, "data": record()}).encode()
BROKEN_RECORD: dict[str, Step] = {
    "record missing": reply(201, json=made(data=...)),
    "record null": reply(201, json=made(data=None)),
    "record a list": reply(201, json=made(data=[])),
    "field missing": reply(201, json=made(data=record(usage=...))),
    "field null": reply(201, json=made(data=record(name=None))),
    "field odd": reply(201, json=made(data=record(disabled="false"))),
    "cut after the key": reply(201, body=TEXT, truncate=len(TEXT) - 5),
    "reset after the key": reply(201, body=TEXT, truncate=len(TEXT) - 5, ending="reset"),
    "JSON cut after the key": reply(201, body=TEXT[:-5]),
    "NaN beside the key": reply(201, body=TEXT.replace(b'"limit": 10', b'"limit": NaN')),
    "not UTF-8 beside the key": reply(201, body=TEXT.replace(b'"acme"', b'"\xff"')),
}


@pytest.mark.parametrize("case", BROKEN_RECORD)
async def test_whole_key_beside_a_broken_record(case: str, client_for: ClientFor) -> None:
    """Fault 4: a whole key is handed out; what is wrong with the record is told when it is read."""
    async with ScriptedServer(default=BROKEN_RECORD[case]) as server:
        created = await CREATE(client_for(server))
    assert len(server.requests) == 1
    assert created.key == NEW_KEY
    assert created.problem is not None
    with pytest.raises(ResponseValidationError) as caught:
        _ = created.data
    assert_not_leaked(NEW_KEY, str(caught.value), repr(created), repr(vars(caught.value)))


CUT_IN_KEY = TEXT.index(NEW_KEY.encode()) + 40
RECORD_FIRST = json.dumps(made()).encode()
NO_KEY: dict[str, tuple[Step, str | None]] = {
    "key missing": (reply(201, json=made(key=...)), HASH),
    "key null": (reply(201, json=made(key=None)), HASH),
    "key empty": (reply(201, json=made(key="")), HASH),
    "key a number": (reply(201, json=made(key=7)), HASH),
    "key a list": (reply(201, json=made(key=[NEW_KEY])), HASH),
    "cut inside the key": (reply(201, body=TEXT, truncate=CUT_IN_KEY), None),
    "JSON cut inside the key": (reply(201, body=TEXT[:CUT_IN_KEY]), None),
    "cut before the key": (reply(201, body=RECORD_FIRST, truncate=200), HASH),
    "reset before the key": (reply(201, body=RECORD_FIRST, truncate=200, ending="reset"), HASH),
    "empty": (reply(201), None),
    "204": (reply(204), None),
    "null": (reply(201, json=None), None),
    "a list": (reply(201, json=[]), None),
    "a page of HTML": (html(200), None),
}


@pytest.mark.parametrize("case", NO_KEY)
async def test_no_whole_key(case: str, client_for: ClientFor, clock: FakeClock) -> None:
    """Fault 4: without a whole key a 2XX is ambiguous; the hash is there if one was seen."""
    step, seen = NO_KEY[case]
    with capture_logs() as logs:
        async with ScriptedServer(default=step) as server:
            with pytest.raises(AmbiguousCreateError) as caught:
                await CREATE(client_for(server, clock=clock))
    error = caught.value
    assert len(server.requests) == 1
    assert isinstance(error, ResponseValidationError)
    assert error.hash == seen
    texts = [str(error), repr(error), repr(vars(error)), logs.text]
    here = {__file__}
    assert_not_leaked(NEW_KEY, *texts, tracebacks_with_locals(error, without_locals_of=here))


async def test_body_that_stalls(client_for: ClientFor) -> None:
    """An answer that stops half way is ambiguous when its time is over."""
    step = stall_body(RECORD_FIRST, sent=200, status=201)
    async with ScriptedServer(default=step) as server:
        with pytest.raises(AmbiguousCreateError):
            await CREATE(client_for(server, timeout=0.4))
    assert len(server.requests) == 1


async def test_refused_or_ambiguous_says_the_status(
    client_for: ClientFor, clock: FakeClock
) -> None:
    """An edge's page of HTML is ambiguous, and of the status's class."""
    async with ScriptedServer(default=html(524)) as server:
        with pytest.raises(OpenRouterDefaultError) as caught:
            await CREATE(client_for(server, clock=clock))
    assert isinstance(caught.value, AmbiguousCreateError)
    assert caught.value.status_code == 524


async def test_hundred_creates_during_an_outage(client_for: ClientFor, clock: FakeClock) -> None:
    """Each create of many at once goes out exactly once, whatever happens to the others."""
    steps = [
        CREATE.ok(),
        reset(),
        reply(503),
        reply(500),
        reply(201, body=RECORD_FIRST, truncate=200),
    ]
    async with ScriptedServer(*steps * 20) as server:
        client = client_for(server, clock=clock)
        names = [f"customer {number}" for number in range(100)]
        results = await asyncio.gather(*map(client.api_keys.create, names), return_exceptions=True)
    sent = [request.json()["name"] for request in server.requests]
    assert sorted(sent) == sorted(names)
    assert sum(isinstance(result, AmbiguousCreateError) for result in results) == 80
    assert sum(isinstance(result, CreateKeysResponse) for result in results) == 20
    assert {request.header("Authorization") for request in server.requests} == {f"Bearer {KEY}"}
