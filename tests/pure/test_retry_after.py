"""`Retry-After` in every form that was ever seen: seconds, or None, and never an exception."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pure.samples import FUZZ, MORE, NOW, reply

from openrouter_async._responses import retry_after

VALUES: dict[str, float | None] = {
    # seconds
    "0": 0.0,
    "1": 1.0,
    "2": 2.0,
    "120": 120.0,
    "86400": 86_400.0,
    "007": 7.0,
    "0.5": 0.5,
    "2.75": 2.75,
    "1.": 1.0,
    "1.123456": 1.123456,
    " 3 ": 3.0,
    "\t3\n": 3.0,
    "9" * 12: 999_999_999_999.0,
    "9" * 13: 9_999_999_999_999.0,
    "9" * 64: 1e64,
    # dates, in the three forms of HTTP and in other zones; now is Fri, 21 Nov 2025 00:00:00 GMT
    "Fri, 21 Nov 2025 00:00:10 GMT": 10.0,
    "Friday, 21-Nov-25 00:00:10 GMT": 10.0,
    "Fri Nov 21 00:00:10 2025": 10.0,
    "Fri, 21 Nov 2025 00:00:00 GMT": 0.0,
    "Sat, 22 Nov 2025 00:00:00 GMT": 86_400.0,
    "Fri, 21 Nov 2025 02:00:10 +0200": 10.0,
    "Thu, 20 Nov 2025 19:00:10 EST": 10.0,
    "Fri, 21 Nov 2025 00:00:10 -0000": 10.0,
    "Fri, 21 Nov 2025 00:00:10": 10.0,
    "fri, 21 nov 2025 00:00:10 gmt": 10.0,
    "Mon, 21 Nov 2025 00:00:10 GMT": 10.0,
    "Fri, 31 Dec 9999 23:59:59 GMT": 251_638_617_599.0,
    # dates that have passed
    "Thu, 20 Nov 2025 23:59:59 GMT": 0.0,
    "Thu, 01 Jan 1970 00:00:00 GMT": 0.0,
    # nonsense
    "": None,
    " ": None,
    "-1": None,
    "-0.5": None,
    "+5": None,
    ".5": None,
    "1e3": None,
    "1,5": None,
    "5, 6": None,
    "0x10": None,
    "1_000": None,
    "5 s": None,
    "5s": None,
    "²": None,
    "٣": None,
    "inf": None,
    "-inf": None,
    "Infinity": None,
    "nan": None,
    "NaN": None,
    "null": None,
    "soon": None,
    "9" * 10_240: None,
    "0." + "9" * 10_240: None,
    " " * 10_240 + "x": None,
    "Fri, 21 Nov 100000 00:00:10 GMT": None,
    "Fri, 31 Feb 2025 00:00:10 GMT": None,
    "Fri, 21 Nov 2025 25:61:61 GMT": None,
    "Fri, 21 Nov 2025 00:00:10 +9999": None,
    "2025-11-21T00:00:10Z": None,
    "Fri, 21 Nov 2025 00:00:10 GMT" + " " * 100: None,
    "\0": None,
    "é": None,
    "\udcff": None,
}


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values(value: str) -> None:
    """Seconds and dates are understood, dates of the past are 0, everything else is None."""
    seconds = retry_after(reply(429, Retry_After=value))
    assert seconds == VALUES[value]
    assert seconds is None or type(seconds) is float


@pytest.mark.parametrize(
    ("milliseconds", "value", "seconds"),
    [
        ("1500", None, 1.5),
        ("0", None, 0.0),
        ("0.5", None, 0.0005),
        ("250", "60", 0.25),
        ("0", "60", 0.0),
        ("nan", "60", 60.0),
        ("-1", "60", 60.0),
        ("", "60", 60.0),
        ("9" * 10_240, "60", 60.0),
        ("inf", None, None),
        ("Fri, 21 Nov 2025 00:00:10 GMT", None, None),
        (None, None, None),
    ],
    ids=range(12),
)
def test_milliseconds(milliseconds: str | None, value: str | None, seconds: float | None) -> None:
    """`retry-after-ms` wins where it is a number, and else does not matter."""
    headers = {"retry_after_ms": milliseconds, "Retry_After": value}
    given = {name: text for name, text in headers.items() if text is not None}
    assert retry_after(reply(503, **given)) == seconds


@pytest.mark.parametrize("name", ["retry_after", "RETRY_AFTER", "Retry_after"])
def test_names_in_any_case(name: str) -> None:
    """HTTP does not care for case in names."""
    assert retry_after(reply(429, **{name: "5"})) == 5.0


FAR = datetime(9000, 1, 1)  # noqa: DTZ001


@FUZZ
@given(st.datetimes(datetime(1000, 1, 1), FAR), st.sampled_from(["GMT", "+0000"]))  # noqa: DTZ001
def test_any_date(naive: datetime, zone: str) -> None:
    """An HTTP date is so many seconds from when the answer came, or 0 if it has passed."""
    moment = naive.replace(microsecond=0, tzinfo=UTC)
    expected = max(0.0, (moment - datetime.fromtimestamp(NOW, UTC)) / timedelta(seconds=1))
    text = format_datetime(moment, usegmt=zone == "GMT")
    assert retry_after(reply(429, Retry_After=text)) == expected


WORDS = st.sampled_from(
    ["Fri", "Nov", "21", "2025", "GMT", ":", "00:00:10", "+0200", "-9999", "-", ",", ".", "(", ")",
     "99999999", "Jan", "mon", '"', "\\", "25:61", "0", "AM"]
)  # fmt: skip


@MORE
@given(
    st.text() | st.lists(WORDS).map(" ".join) | st.lists(WORDS).map("".join),
    st.text(st.characters(categories=["Nd"])) | st.text(),
    st.floats(allow_nan=False) | st.just(NOW),
)
@example("Fri, 21 Nov 2025 00:00:10 GMT", "", math.inf)
@example("Fri, 21 Nov 2025 00:00:10 GMT", "", -math.inf)
def test_anything(value: str, milliseconds: str, now: float) -> None:
    """Whatever the service sends, and whatever the clock says: None, or seconds to wait."""
    answer = reply(429, Retry_After=value, retry_after_ms=milliseconds)
    answer.received_at = now
    seconds = retry_after(answer)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0.0)


@pytest.mark.parametrize("wrong_by", [-86_400.0, -90.0, 90.0, 86_400.0])
@pytest.mark.parametrize(
    "date", ["Fri, 21 Nov 2025 00:00:10 GMT", "Friday, 21-Nov-25 00:00:10 GMT"]
)
def test_the_answers_own_clock(date: str, wrong_by: float) -> None:
    """A date is read by the answer's `Date`, since this machine's clock may be wrong."""
    answer = reply(429, Retry_After=date, Date="Fri, 21 Nov 2025 00:00:00 GMT")
    answer.received_at = NOW + wrong_by
    assert retry_after(answer) == 10.0


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 21 Nov 2025 25:00:00 GMT", "9" * 9999])
def test_a_date_that_is_none(date: str) -> None:
    """Then this machine's clock is all there is."""
    answer = reply(429, Retry_After="Fri, 21 Nov 2025 00:00:10 GMT", Date=date)
    assert retry_after(answer) == 10.0
