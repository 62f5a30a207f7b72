"""Timestamps of every form the service uses become aware UTC datetimes, and no other text does."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, as_json, record

from openrouter_async import ResponseValidationError
from openrouter_async._converter import decode
from openrouter_async.models import GetKeyResponse, ListResponse

TIMES = ["created_at", "updated_at", "expires_at", "last_used_at"]


def read(text: str, field: str = "created_at") -> datetime:
    """What a timestamp is read as, in the answer to a get and on a page."""
    one = decode(GetKeyResponse, as_json({"data": record(**{field: text})})).data
    (same,) = decode(ListResponse, as_json({"data": [record(**{field: text})]})).data
    assert one == same
    moment = getattr(one, field)
    assert isinstance(moment, datetime)
    assert moment.tzinfo is UTC
    return moment


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-08-24T10:30:00Z", datetime(2025, 8, 24, 10, 30, tzinfo=UTC)),
        ("2025-08-24T10:30:00.123Z", datetime(2025, 8, 24, 10, 30, 0, 123_000, UTC)),
        ("2025-02-19T20:52:27.363244+00:00", datetime(2025, 2, 19, 20, 52, 27, 363_244, UTC)),
        ("2025-02-19T20:52:27-00:00", datetime(2025, 2, 19, 20, 52, 27, tzinfo=UTC)),
        ("2025-08-24T10:30:00+02:00", datetime(2025, 8, 24, 8, 30, tzinfo=UTC)),
        ("2025-08-24T00:00:00.5-09:30", datetime(2025, 8, 24, 9, 30, 0, 500_000, UTC)),
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
    ids=range(9),
)
def test_forms(field: str, text: str, moment: datetime) -> None:
    """Seconds, milli- and microseconds, `Z` and offsets: other zones are converted to UTC."""
    assert read(text, field) == moment


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    "text",
    [
        "2025-08-24T10:30:00",
        "2025-08-24T10:30:00.123",
        "2025-08-24",
        "2025-08-24T10:30Z",
        "10:30:00Z",
        "1756031400",
        "",
        "Z",
        "never",
        "2025-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-08-24T25:00:00Z",
        "2025-08-24T10:30:61Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2025-08-24T10:30:00+99:00",
        " 2025-08-24T10:30:00Z",
        "2025-08-24T10:30:00Z ",
        "2025-08-24T10:30:00ZZ",
        "٢٠٢٥-08-24T10:30:00Z",
        "2025-08-24T10:30:00\ud800",
        "Sun, 24 Aug 2025 10:30:00 GMT",
        "2025-08-24T10:30:00Z" * 1000,
    ],
    ids=range(24),
)
def test_what_is_no_timestamp(field: str, text: str) -> None:
    """Naive, cut, impossible or foreign ones are refused by path, and not shown."""
    for cls, path in ((GetKeyResponse, "response.data"), (ListResponse, "response.data[0]")):
        data = record(**{field: text})
        with pytest.raises(ResponseValidationError) as caught:
            decode(cls, as_json({"data": [data] if cls is ListResponse else data}))
        assert caught.value.message.startswith(f"{path}.{field}: ")
        assert len(caught.value.message) < 100
        if len(text) > 3:
            assert text not in str(caught.value)


@FUZZ
@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(TIMES),
)
def test_any_moment_in_any_zone(naive: datetime, minutes: int, field: str) -> None:
    """Whatever moment, to the microsecond, and whatever offset: the same moment comes out."""
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read(moment.isoformat(), field) == moment
