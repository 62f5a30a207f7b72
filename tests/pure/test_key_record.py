"""`APIKey` answers the questions about money and time that are easily answered wrongly."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from pure.samples import OVERSPENT, RECORD, record

import openrouter_async
from openrouter_async import models
from openrouter_async._converter import structure
from openrouter_async.models import APIKey, LimitReset

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATER_IN_INDIA = datetime(2026, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))


def key(**changes: Any) -> APIKey:
    """A key without a limit that never expires, with some fields changed."""
    plain = {"limit": None, "limit_remaining": None, "expires_at": None}
    return attrs.evolve(structure(APIKey, record(**plain)), **changes)


@pytest.mark.parametrize("name", ["ListData", "CreateKeysData", "GetKeyData", "UpdateKeysData"])
def test_the_record_has_its_official_names(name: str) -> None:
    """The four names of the official SDK are names for one class."""
    assert getattr(models, name) is APIKey
    assert getattr(openrouter_async, name) is APIKey


def test_limit_reset() -> None:
    """Its members are str with the words of the service, under both official names."""
    assert [str(word) for word in LimitReset] == ["daily", "weekly", "monthly"]
    assert LimitReset.DAILY == "daily"
    assert models.CreateKeysLimitReset is models.UpdateKeysLimitReset is LimitReset


@pytest.mark.parametrize(
    ("limit", "remaining", "spent"),
    [
        (None, None, None),
        (None, 5.0, None),
        (10.0, None, None),
        (10.0, 10.0, 0.0),
        (10.0, 2.5, 7.5),
        (10.0, 0.0, 10.0),
        (1.0, -0.25, 1.25),
        (0.0, 0.0, 0.0),
    ],
)
def test_spent_in_window(limit: float | None, remaining: float | None, spent: float | None) -> None:
    """It is the limit minus what remains, above the limit when overspent; None without a limit."""
    assert key(limit=limit, limit_remaining=remaining).spent_in_window == spent


def test_spent_in_window_is_not_lifetime_usage() -> None:
    """The sample key has spent 433 USD in its life and 45 in this month's window."""
    monthly = structure(APIKey, RECORD)
    assert monthly.usage == 433.286754736
    assert monthly.spent_in_window == pytest.approx(45.457405021)
    assert structure(APIKey, OVERSPENT).spent_in_window == pytest.approx(1.0369027621)


@pytest.mark.parametrize(
    ("remaining", "exhausted"),
    [(None, False), (5.0, False), (1e-9, False), (0.0, True), (-0.0, True), (-0.04, True)],
)
def test_is_exhausted(remaining: float | None, *, exhausted: bool) -> None:
    """A key is exhausted when nothing or less than nothing remains; never without a limit."""
    assert key(limit=10.0, limit_remaining=remaining).is_exhausted is exhausted


@pytest.mark.parametrize(
    ("expires_at", "expired"),
    [
        (None, False),
        (NOW + SECOND, False),
        (NOW, True),
        (NOW - SECOND, True),
        (LATER_IN_INDIA, True),
        (LATER_IN_INDIA + SECOND, False),
    ],
)
def test_is_expired(expires_at: datetime | None, *, expired: bool) -> None:
    """A key is expired from the very moment of `expires_at`, in whatever zone that is given."""
    assert key(expires_at=expires_at).is_expired(NOW) is expired


def test_is_expired_at_present() -> None:
    """Without `now` the present counts."""
    assert key(expires_at=datetime(2020, 1, 1, tzinfo=UTC)).is_expired()
    assert not key(expires_at=datetime(9999, 1, 1, tzinfo=UTC)).is_expired()


@pytest.mark.parametrize("disabled", [False, True])
@pytest.mark.parametrize("remaining", [1.0, 0.0])
@pytest.mark.parametrize("expires_at", [None, NOW])
def test_is_active(*, disabled: bool, remaining: float, expires_at: datetime | None) -> None:
    """A key works when it is not disabled, not exhausted and not expired: three things."""
    one = key(disabled=disabled, limit=9.0, limit_remaining=remaining, expires_at=expires_at)
    assert one.is_active(NOW) is (not disabled and remaining > 0 and expires_at is None)


def test_is_active_at_present() -> None:
    """Without `now` the present counts."""
    assert not key(expires_at=datetime(2020, 1, 1, tzinfo=UTC)).is_active()
    assert key(expires_at=datetime(9999, 1, 1, tzinfo=UTC)).is_active()


RECORDS = [cls for cls in vars(models).values() if isinstance(cls, type) and attrs.has(cls)]


@pytest.mark.parametrize("cls", sorted(set(RECORDS), key=lambda cls: cls.__name__))
def test_records_are_frozen_and_slotted(cls: Any) -> None:
    """A record cannot be changed, takes keywords only, and a misspelt attribute is an error."""
    one = cls.__new__(cls)
    name = attrs.fields(cls)[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(one, name, 1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.colour = 1
    assert not hasattr(one, "__dict__")
    assert all(field.kw_only for field in attrs.fields(cls))


def test_records_compare_by_value() -> None:
    """Two readings of one record are equal and hash alike; a difference shows."""
    one, same = structure(APIKey, RECORD), structure(APIKey, RECORD)
    assert one == same
    assert len({one, same}) == 1
    assert attrs.evolve(one, name="x") != one
