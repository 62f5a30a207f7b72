"""Answers as the service really gives them can be read, old shapes and new ones."""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from pure.samples import (
    CREATED,
    CURRENT_KEYS,
    HASH,
    KEY,
    OLD_RECORD,
    OVERSPENT,
    RECORD,
    USAGES,
    WORKSPACE,
    as_json,
    record,
)

from openrouter_async._converter import decode
from openrouter_async.models import (
    APIKey,
    Budget,
    CreateKeysResponse,
    FreeModelDailyRequests,
    GetCurrentKeyData,
    GetCurrentKeyResponse,
    GetKeyResponse,
    ListResponse,
    ListWorkspacesResponse,
    RateLimit,
    UpdateKeysResponse,
    Workspace,
)

TIMES = {"created_at", "updated_at", "expires_at", "last_used_at"}


def one(**changes: Any) -> APIKey:
    """A record with some fields changed, read as the answer to a get."""
    return decode(GetKeyResponse, as_json({"data": record(**changes)})).data


def current(**changes: Any) -> GetCurrentKeyData:
    """The least answer about the current key, with some fields added."""
    data = {"label": "sk-or-v1-abc...def", "usage": 1, "is_free_tier": False} | changes
    return decode(GetCurrentKeyResponse, as_json({"data": data})).data


@pytest.mark.parametrize("sample", [RECORD, OVERSPENT, OLD_RECORD, CREATED["data"]], ids=range(4))
def test_every_field_of_a_record_is_read(sample: dict[str, Any]) -> None:
    """A field has the value that was sent, as a float, an aware datetime, or as it is."""
    key = decode(GetKeyResponse, as_json({"data": sample})).data
    for field in attrs.fields(APIKey):
        sent, read = sample.get(field.name), getattr(key, field.name)
        if field.name in TIMES and sent is not None:
            assert read == datetime.fromisoformat(sent)
            assert read.tzinfo is UTC
        else:
            assert read == sent
        if field.name in {*USAGES, "limit", "limit_remaining"} and sent is not None:
            assert type(read) is float


def test_pages() -> None:
    """A page has its records in order; an empty one has none."""
    page = decode(ListResponse, as_json({"data": [RECORD, OLD_RECORD, OVERSPENT]}))
    assert [key.name for key in page.data] == ["production", "Customer Key", "batch"]
    assert decode(ListResponse, b'{"data":[]}').data == []


@pytest.mark.parametrize("cls", [GetKeyResponse, UpdateKeysResponse])
def test_get_and_update(cls: type[GetKeyResponse] | type[UpdateKeysResponse]) -> None:
    """Both answer with the record under `data`."""
    assert decode(cls, as_json({"data": RECORD})) == cls(data=one())


def test_create() -> None:
    """The record and, beside it, the plaintext."""
    created = decode(CreateKeysResponse, as_json(CREATED))
    assert created.key == KEY
    assert created.data.name == "My New API Key"
    assert created.data.limit == created.data.limit_remaining == 0.0
    assert created.problem is None


@pytest.mark.parametrize("name", CURRENT_KEYS)
def test_current_key(name: str) -> None:
    """All shapes that were seen: every field that was sent is read, the others are None."""
    sample = CURRENT_KEYS[name]
    data = decode(GetCurrentKeyResponse, as_json({"data": sample})).data
    nested = {"rate_limit", "free_model_daily_requests"}
    for field in attrs.fields(GetCurrentKeyData):
        if field.name not in nested:
            assert getattr(data, field.name) == sample.get(field.name)


def test_rate_limits() -> None:
    """It was an object in most answers and a bare number in one; null and absent mean None."""
    limits = {name: data.get("rate_limit") for name, data in CURRENT_KEYS.items()}
    read = {name: current(rate_limit=limit).rate_limit for name, limit in limits.items()}
    old = RateLimit(requests=-1, interval="10s", note="deprecated")
    assert list(read.values()) == [RateLimit(requests=40, interval="10s"), old, old, -1.0]
    assert current(rate_limit=None).rate_limit is current().rate_limit is None


def test_newer_parts_of_the_current_key() -> None:
    """Budgets with every field and with none, free requests, regions with a new word."""
    budget = {
        "scope": "key_limit",
        "limit_usd": 10,
        "spend_usd": 2.5,
        "remaining_usd": 7.5,
        "reset_interval": "monthly",
        "resets_at": "2026-12-01T00:00:00Z",
        "include_byok": True,
        "budget_id": None,
        "guardrail_id": "g",
    }
    data = current(
        budgets=[budget, {}],
        effective_budget=budget,
        allowed_data_regions=["global", "moon"],
        free_model_daily_requests={"limit": 50, "used": None},
    )
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    assert data.effective_budget == Budget(**budget | {"resets_at": moment})
    assert data.budgets == [data.effective_budget, Budget()]
    assert data.allowed_data_regions == ["global", "moon"]
    assert data.free_model_daily_requests == FreeModelDailyRequests(limit=50)
    assert current(budgets=[], effective_budget=None).budgets == []


def test_workspaces() -> None:
    """The least workspace and one with more; the count may be missing."""
    full = {
        "id": WORKSPACE,
        "name": "Default",
        "slug": "default",
        "created_at": "2025-01-01T00:00:00Z",
        "io_logging_api_key_ids": [1, 2],
        "io_logging_sampling_rate": 1,
        "is_data_discount_logging_enabled": True,
    }
    least = {"id": "w", "name": "n"}
    body = as_json({"data": [full, least], "total_count": 2})
    page = decode(ListWorkspacesResponse, body)
    assert page.data[0].io_logging_api_key_ids == [1, 2]
    assert page.data[0].created_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert page.data[1] == Workspace(id="w", name="n")
    assert page.total_count == 2
    assert decode(ListWorkspacesResponse, b'{"data":[]}').total_count is None


NULLABLE = [field.name for field in attrs.fields(APIKey) if field.default is None]


@pytest.mark.parametrize("name", NULLABLE)
@pytest.mark.parametrize("absent", [None, ...], ids=["null", "missing"])
def test_nullable_fields(name: str, absent: object) -> None:
    """What the service may leave out or send as null is None."""
    assert getattr(one(**{name: absent}), name) is None


def test_which_fields_are_nullable() -> None:
    """Those that are new or declared so, and no other."""
    assert set(NULLABLE) == {
        "limit", "limit_remaining", "limit_reset", "updated_at", "expires_at", "creator_user_id",
        "workspace_id", "external_user", "last_used_at",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        as_json({"data": record(brand_new={"deep": [1, {"er": None}]}, another=7), "more": [0.1]}),
        as_json({"data": record(limit_reset="fortnightly")}),
        as_json({"data": record(hash="not-hexadecimal")}),
        as_json({"data": record(name="")}),
        as_json({"data": record(name="ключ 🔑 \u0000")}),
        b"\r\n\t " + as_json({"data": RECORD}) + b" \n",
        as_json({"data": RECORD}).replace(b'"hash"', b'"\\u0068ash"'),
        as_json({"data": RECORD | {"new": "\ud800"}}),
        as_json({"data": RECORD | {"new": "?"}}).replace(b"?", b"\xe9"),
        as_json({"data": RECORD}).replace(b'"hash": "', b'"hash": "first", "hash": "'),
        as_json({"data": RECORD}).replace(b"500", b"5e2"),
        as_json({"data": RECORD}).replace(b"500", b"500.0"),
        as_json({"data": RECORD, "huge": 1})[:-2] + b"1" * 5000 + b"}",
        as_json({"data": RECORD, "huge": 1})[:-2] + b"1e999}",
    ],
    ids=[
        "unknown fields", "an unknown word", "any hash", "an empty name", "any name", "white space",
        "an escaped field name", "a lone surrogate in an unknown field",
        "bytes that are no UTF-8 in an unknown field", "a doubled field",
        "an exponent", "a float for an int", "an unknown int of 5000 digits", "an unknown 1e999",
    ],
)  # fmt: skip
def test_what_is_accepted(body: bytes) -> None:
    """The service drifts: what a client need not understand does not disturb it."""
    key = decode(GetKeyResponse, body).data
    assert key.limit == 500.0
    assert key.hash in (HASH, "not-hexadecimal")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("0", 0.0),
        ("-0.0", 0.0),
        ("1e-400", 0.0),
        ("9007199254740993", 2.0**53),
        ("1" + "0" * 308, 1e308),
    ],
    ids=range(5),
)
def test_numbers(sent: str, read: float) -> None:
    """Any number that a float can hold, rounded to the nearest; ints are floats."""
    body = as_json({"data": RECORD}).replace(b"454.542594979", sent.encode())
    key = decode(GetKeyResponse, body).data
    assert key.limit_remaining == read
    assert type(key.limit_remaining) is float


def test_whole_floats_are_ints() -> None:
    """A count that comes as 40.0 is 40."""
    assert current(rate_limit={"requests": 40.0}).rate_limit == RateLimit(requests=40)
    assert type(current(rate_limit={"requests": 40.0}).rate_limit.requests) is int  # type: ignore[union-attr]
