"""`to_dict` gives what `json.dumps` takes, and what reads back as the same record."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import CURRENT_KEYS, FUZZ, OLD_RECORD, OVERSPENT, RECORD

from openrouter_async._converter import structure, to_dict
from openrouter_async.models import (
    APIKey,
    DeleteKeysResponse,
    GetCurrentKeyResponse,
    GetKeyResponse,
    GetWorkspaceResponse,
    LimitReset,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
)

SPACE = {"id": "w", "name": "Default", "created_at": "2025-01-01T00:00:00Z"}
DOCUMENTS: dict[str, tuple[type[Any], Any]] = {
    "a page": (ListResponse, {"data": [RECORD, OVERSPENT, OLD_RECORD]}),
    "an empty page": (ListResponse, {"data": []}),
    "a key": (GetKeyResponse, {"data": RECORD}),
    "an updated key": (UpdateKeysResponse, {"data": OVERSPENT}),
    "a workspace": (GetWorkspaceResponse, {"data": SPACE}),
    "workspaces": (ListWorkspacesResponse, {"data": [SPACE], "total_count": 1}),
    **{name: (GetCurrentKeyResponse, {"data": data}) for name, data in CURRENT_KEYS.items()},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_round_trip(name: str) -> None:
    """Through JSON and back, every record stays what it was."""
    cls, document = DOCUMENTS[name]
    model = structure(cls, document)
    assert structure(cls, json.loads(json.dumps(to_dict(model), allow_nan=False))) == model


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_is_there(name: str) -> None:
    """The data have the names of the service, all of them, with None for what is unknown."""
    cls, document = DOCUMENTS[name]
    given = to_dict(structure(cls, document))
    assert given.keys() == {field.name for field in attrs.fields(cls)}
    if cls is GetKeyResponse:
        assert given["data"].keys() == {field.name for field in attrs.fields(APIKey)}


def test_values() -> None:
    """Amounts are floats, flags are flags, and timestamps are UTC and end in `Z`."""
    given = to_dict(structure(APIKey, OVERSPENT))
    assert given["created_at"] == "2026-09-01T00:00:00Z"
    assert given["expires_at"] == "2027-12-31T23:59:59Z"
    assert given["last_used_at"] is None
    assert given["limit_remaining"] == -0.0369027621
    assert given["include_byok_in_limit"] is True
    assert to_dict(structure(APIKey, RECORD))["created_at"] == "2025-08-24T10:30:00.123000Z"
    assert to_dict(DeleteKeysResponse()) == {"deleted": True, "already_gone": False}


def test_words_and_zones_of_a_caller() -> None:
    """A record that a caller made, with an enum member and another zone, is plain data too."""
    zone = timezone(timedelta(hours=2))
    moment = datetime(2026, 1, 1, 2, tzinfo=zone)
    made = attrs.evolve(structure(APIKey, RECORD), limit_reset=LimitReset.WEEKLY, created_at=moment)
    given = json.loads(json.dumps(to_dict(made)))
    assert given["limit_reset"] == "weekly"
    assert given["created_at"] == "2026-01-01T00:00:00Z"


@FUZZ
@given(
    st.builds(
        APIKey,
        created_at=st.datetimes(timezones=st.just(UTC)),
        updated_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        usage=st.floats(allow_nan=False, allow_infinity=False),
        limit=st.none() | st.floats(0, 1e15),
        name=st.text(st.characters(exclude_categories=["Cs"])),
        last_used_at=st.none(),
        expires_at=st.none(),
        **{name: st.floats(0, 1e15) for name in ("usage_daily", "usage_weekly", "usage_monthly")},
        **{name: st.just(0.0) for name in ("byok_usage", "byok_usage_daily", "byok_usage_weekly")},
        byok_usage_monthly=st.just(math.pi),
        hash=st.just("0" * 64),
        label=st.just("sk-or-v1-abc...def"),
    )
)
def test_any_record_round_trips(key: APIKey) -> None:
    """Whatever the amounts, names and times are."""
    assert structure(APIKey, json.loads(json.dumps(to_dict(key)))) == key
