"""Answers of 2XX with odd contents: one of our errors that names the path, or what they say."""

import json
from typing import Any

import pytest
from support.calls import CALLS, CURRENT, CURRENT_KEY, GET, LIST, Call, ClientFor, record
from support.clock import FakeClock
from support.secrets import assert_not_leaked, planted_secret
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import (
    AmbiguousCreateError,
    ListResponse,
    OpenRouterError,
    ResponseValidationError,
)

TEXT = json.dumps(record())
NONSENSE: dict[str, bytes] = {
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"data":' * 50_000 + b"1" + b"}" * 50_000,
    "deep in a field": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "BOM": b'\xef\xbb\xbf{"data": []}',
    "UTF-16": '{"data": []}'.encode("utf-16"),
    "UTF-32": '{"data": []}'.encode("utf-32-le"),
    "Latin-1": '{"data": ["é"]}'.encode("latin-1"),
    "two documents": b'{"data": []}{"data": []}',
    "a comma too many": b'{"data": [],}',
    "single quotes": b"{'data': []}",
    "comment": b'{"data": [] /* all */}',
    "empty": b"",
    "blank": b" \r\n\t",
    "NUL": b"\x00",
    "NaN": b"NaN",
    "infinity": b'{"data": -Infinity}',
    "a number": b"7",
    "a string": b'"data"',
    "null": b"null",
    "true": b"true",
    "HTML": b"<html>Sign in</html>",
}


@pytest.mark.parametrize("call", [c for c in CALLS if c.name != "delete"], ids=str)
@pytest.mark.parametrize("case", NONSENSE)
async def test_no_answer_at_all(
    case: str, call: Call, client_for: ClientFor, clock: FakeClock
) -> None:
    """Fault 18: what is no answer is `ResponseValidationError`, after one request."""
    async with ScriptedServer(default=reply(body=NONSENSE[case])) as server:
        with pytest.raises(ResponseValidationError) as caught:
            await call(client_for(server, clock=clock))
    error = caught.value
    assert (error.status_code, error.operation) == (200, call.operation)
    assert len(server.requests) == error.attempts == 1
    assert isinstance(error, AmbiguousCreateError) == (call.name == "create")


ODD_FIELDS: dict[str, tuple[str, Any]] = {
    "5,000 digits": ('"usage": ' + "9" * 5_000, None),
    "5,000 digits in a field nobody reads": ('"new": ' + "9" * 5_000, 0.5),
    "too large for a float": ('"usage": 1e999', None),
    "NaN": ('"usage": NaN', None),
    "infinity": ('"usage": Infinity', None),
    "an integer": ('"usage": 3', 3.0),
    "a large integer": ('"usage": 123456789012345678901', 123456789012345678901.0),
    "twice": ('"usage": 1, "usage": 2', 2.0),
    "lone surrogate": ('"name": "\\ud800", "usage": 1', None),
    "lone surrogate in a field nobody reads": ('"new": "\\ud800"', 0.5),
}
"""Fault 18: a piece of a record, and the usage that is read from it; None: an error."""


@pytest.mark.parametrize("case", ODD_FIELDS)
async def test_odd_values(case: str, client_for: ClientFor) -> None:
    """Fault 18: a value that no field can hold is an error, one that can is read as it is."""
    piece, usage = ODD_FIELDS[case]
    body = f'{{"data": {TEXT[:-1]}, {piece}}}}}'.encode()
    async with ScriptedServer(default=reply(body=body)) as server:
        client = client_for(server)
        if usage is None:
            with pytest.raises(ResponseValidationError):
                await GET(client)
        else:
            assert (await GET(client)).data.usage == usage
    assert len(server.requests) == 1


NULLABLE = (
    "limit", "limit_remaining", "limit_reset", "updated_at", "expires_at",
    "creator_user_id", "workspace_id", "external_user", "last_used_at",
)  # fmt: skip
REQUIRED = [name for name in record() if not name.startswith(("limit", "updated", "expires"))]
WRONG: dict[str, Any] = {"null": None, "a list": [1], "an object": {"a": 1}, "missing": ...}


@pytest.mark.parametrize("field", REQUIRED)
@pytest.mark.parametrize("case", WRONG)
async def test_wrong_field_is_named(field: str, case: str, client_for: ClientFor) -> None:
    """Fault 19: a required field that is null, missing or of another type: the path, no value."""
    document = {"data": [record(), record(**{field: WRONG[case]})]}
    async with ScriptedServer(default=reply(json=document)) as server:
        with pytest.raises(ResponseValidationError, match=rf"response\.data\[1\]\.{field}: "):
            await LIST(client_for(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("field", NULLABLE)
@pytest.mark.parametrize("case", ["a list", "an object"])
async def test_wrong_optional_field_is_named(field: str, case: str, client_for: ClientFor) -> None:
    """Fault 19: a field that may be null may still not be anything."""
    document = {"data": record(**{field: WRONG[case]})}
    async with ScriptedServer(default=reply(json=document)) as server:
        with pytest.raises(ResponseValidationError, match=rf"response\.data\.{field}: .* {case}"):
            await GET(client_for(server))


async def test_value_is_not_shown(client_for: ClientFor) -> None:
    """Fault 19: the error tells what kind of value stood there, never the value."""
    secret = planted_secret()
    for value in (secret, [secret], {"key": secret}, {secret: 1}):
        document = {"data": record(usage=value, disabled=value)}
        async with ScriptedServer(default=reply(json=document)) as server:
            with pytest.raises(ResponseValidationError) as caught:
                await GET(client_for(server))
        assert_not_leaked(secret, str(caught.value), repr(vars(caught.value)))


async def test_one_bad_record_of_a_hundred(client_for: ClientFor) -> None:
    """Fault 19: `list` names the bad record; a lenient walk gives the other 99."""
    records = [record(hash=f"{number:064x}") for number in range(99)]
    records.insert(42, record(disabled="false"))
    async with ScriptedServer(default=reply(json={"data": records})) as server:
        client = client_for(server)
        with pytest.raises(ResponseValidationError, match=r"response\.data\[42\]\.disabled: "):
            await LIST(client)
        server.script(reply(json={"data": records}), default=reply(json={"data": []}))
        walk = client.api_keys.iter(lenient=True)
        assert len([key async for key in walk]) == 99
    assert len(walk.problems) == 1
    assert "response.data[42].disabled" in str(walk.problems[0])


GROWN = {
    "list": {"data": [record(new={"a": [1]})], "has_more": False, "object": "list"},
    "get": {"data": record(limit_reset="yearly", more=None), "links": []},
    "update": {"data": record(tags=["a"], limit=5), "changed": ["limit"]},
    "delete": {"deleted": True, "hash": "h", "at": None},
    "get_current_key_metadata": {
        "data": {
            **CURRENT_KEY,
            "allowed_data_regions": ["mars"],
            "budgets": [{"scope": "planet", "limit_usd": 1, "new": 2}],
            "rate_limit": -1,
            "is_management_key": True,
        }
    },
}


@pytest.mark.parametrize("call", [c for c in CALLS if str(c) in GROWN], ids=str)
async def test_service_may_grow(call: Call, client_for: ClientFor) -> None:
    """Fault 20: fields and words that are not known yet are accepted."""
    async with ScriptedServer(default=reply(json=GROWN[call.name])) as server:
        await call(client_for(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("field", NULLABLE)
async def test_nullable_field_may_be_missing(field: str, client_for: ClientFor) -> None:
    """Fault 20: a field that may be null may be left out as well; both are None."""
    document = {"data": [record(**{field: ...}), record(**{field: None})]}
    async with ScriptedServer(default=reply(json=document)) as server:
        page: ListResponse = await LIST(client_for(server))
    assert [getattr(key, field) for key in page.data] == [None, None]


TIMES = {
    "2026-07-01T09:30:00Z": "2026-07-01T09:30:00+00:00",
    "2026-07-01T09:30:00.123Z": "2026-07-01T09:30:00.123000+00:00",
    "2026-07-01T09:30:00.123456+00:00": "2026-07-01T09:30:00.123456+00:00",
    "2026-07-01T11:30:00+02:00": "2026-07-01T09:30:00+00:00",
}


@pytest.mark.parametrize("text", TIMES)
async def test_forms_of_time(text: str, client_for: ClientFor) -> None:
    """Fault 20: every form of timestamp that the service was seen to use becomes aware UTC."""
    async with ScriptedServer(default=reply(json={"data": record(created_at=text)})) as server:
        key = (await GET(client_for(server))).data
    assert key.created_at.isoformat() == TIMES[text]


@pytest.mark.parametrize("text", ["2026-07-01T09:30:00", "2026-07-01", "yesterday", ""])
async def test_time_without_a_zone(text: str, client_for: ClientFor) -> None:
    """A timestamp that could mean any hour is an error, not a guess."""
    async with ScriptedServer(default=reply(json={"data": record(created_at=text)})) as server:
        with pytest.raises(ResponseValidationError, match=r"response\.data\.created_at: "):
            await GET(client_for(server))


async def test_current_key_with_little(client_for: ClientFor) -> None:
    """Fault 20: what the oldest answers to `GET /key` had is enough."""
    async with ScriptedServer(CURRENT.ok()) as server:
        current = (await CURRENT(client_for(server))).data
    assert (current.limit, current.rate_limit, current.is_management_key) == (None, None, None)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
async def test_any_2xx_is_read(status: int, client_for: ClientFor) -> None:
    """Which 2XX it is does not matter, the document does."""
    async with ScriptedServer(default=reply(status, json=GET.document)) as server:
        assert (await GET(client_for(server))).data.name == "acme"


async def test_content_type_does_not_matter(client_for: ClientFor) -> None:
    """JSON is JSON, whatever a proxy calls it."""
    headers = {"Content-Type": "text/html; charset=utf-16"}
    async with ScriptedServer(default=reply(json=LIST.document, headers=headers)) as server:
        assert len((await LIST(client_for(server))).data) == 1


async def test_errors_share_a_base(client_for: ClientFor) -> None:
    """Whatever the service answers, `except OpenRouterError` is enough."""
    async with ScriptedServer(*[reply(body=body) for body in NONSENSE.values()]) as server:
        client = client_for(server, retries=None)
        for _ in NONSENSE:
            with pytest.raises(OpenRouterError):
                await LIST(client)
