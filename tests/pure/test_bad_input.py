"""A parameter that the service would misread is refused by name, before any I/O, and not shown."""

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, HASH, KEY
from support.secrets import assert_not_leaked

from openrouter_async import (
    OMITTED,
    External,
    InvalidRequestError,
    OpenRouterError,
    Secret,
    _checks,
)
from openrouter_async._operations import OPERATIONS, PAGE_SIZE, compose

ROWS = {row.name: row for row in OPERATIONS}
MINIMUM: dict[str, dict[str, Any]] = {
    "create": {"name": "acme"},
    "get": {"hash": HASH},
    "update": {"hash": HASH, "disabled": True},
    "delete": {"hash": HASH},
    "get_workspace": {"id": "production"},
}
MARK = "gi3xq"
"""In every bad text, to be looked for in the error."""

BAD_HASHES = [
    "../x", "..", ".", "", "a/b", "a?b", "a#b", "%2e%2e", f"{HASH}\r", f"{HASH}\n", "\0" * 8,
    f"/{HASH}", f"{HASH}/", f"{HASH}?x=1", f"{HASH} ", f" {HASH}", "short12",
    "0" * 129, "0" * 10_000,
    "é" * 8, "٣" * 8, "\ud800" * 8, "f01d5260\ud800", "{hash}--", None, OMITTED, 0, HASH.encode(),
    [HASH], Secret(HASH), KEY, "sk-proj-0123456789", uuid.UUID(int=7),
]  # fmt: skip
BAD_WORKSPACES = [
    "../x", "..", ".", "", "a/b", "a?b", "a#b", "%2e%2e", "production\n", "a b", "é", "a" * 129,
    KEY, "\ud800", 0, True, [HASH], b"production", Secret("production"),
]  # fmt: skip
BAD_TEXTS = [
    "", " ", "\t\n", f"{MARK}\r\nX: y", f"{MARK}\0", f"{MARK}\x7f", f"{MARK}\ud800",
    f"{MARK}\udfff", f"\x1b[2J{MARK}", MARK + "x" * (10_001 - len(MARK)),
    7, True, MARK.encode(), [MARK], {MARK: 1}, Secret(MARK),
]  # fmt: skip
BAD_FLAGS = [
    0, 1, 1.0, "True", "FALSE", "yes", "", "true ", [], [MARK], {MARK: 1}, MARK.encode(),
    Secret(MARK),
]  # fmt: skip
BAD_AMOUNTS = [
    math.nan, math.inf, -math.inf, -1, -0.01, 10**12 + 1, 1e-7, 5e-324, 10**5000, -(10**5000), True,
    False, "50", "", Decimal("sNaN"), Decimal("NaN"), Decimal("1e999"), Decimal(-1),
    Fraction(-1, 3), 5j, [5], {MARK: 1}, b"5", Secret("5"), datetime(2026, 1, 1, tzinfo=UTC),
]  # fmt: skip
BAD_COUNTS = [
    -1, -(10**5000), 10**15, 10**5000, 1.0, math.nan, True, False, "-1", "+1", "1.0", " 1", "1 ",
    "", "٣", "²", "1" * 16, "1" * 5000, "0x10", "1_0", MARK, [1], b"1", {MARK: 1}, Secret("1"),
]  # fmt: skip
BAD_RESETS = [
    "yearly",
    "Daily",
    "DAILY",
    "daily ",
    "",
    MARK,
    1,
    True,
    b"daily",
    ["daily"],
    Secret(MARK),
]


class OddZone(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, when: datetime | None) -> None:
        """Say that the time is naive after all."""


BAD_INSTANTS = [
    datetime(2027, 1, 1),  # noqa: DTZ001
    datetime(2027, 1, 1, tzinfo=OddZone()),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    datetime(2027, 1, 1, tzinfo=UTC).date(),
    "2027-01-01T00:00:00", "2027-01-01T00:00", "2027-01-01", "2027-13-01T00:00:00Z",
    "2027-02-30T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "tomorrow", "",
    "now", "1798761600", "2027-01-01T00:00:00\ud800", f"2027-01-01T00:00:00Z{MARK}", "2" * 10_000,
    1798761600, 0.0, True, ["2027-01-01T00:00:00Z"], b"2027-01-01T00:00:00Z", Secret(MARK),
]  # fmt: skip
LONG = MARK * 10
BAD_EXTERNALS: list[tuple[str, object]] = [
    *(("external", value) for value in ("", 1, True, [], ["user", "api_key"], {}, KEY)),
    ("external", {"api_key": KEY}),
    ("external", {"user": "u", "api_key": KEY, "more": 1}),
    ("external", {"user": "u", "api-key": KEY}),
    *(("external.api_key", {"user": "u", "api_key": value}) for value in (7, MARK, KEY.encode())),
    ("external.api_key", {"user": "u", "api_key": "x" * 31}),
    ("external.api_key", {"user": "u", "api_key": f"{LONG}\n"}),
    ("external.api_key", {"user": "u", "api_key": f"{LONG}\ud800"}),
    ("external.api_key", {"user": "u", "api_key": " " * 32}),
    ("external.api_key", External(user="u", api_key=MARK)),
    *(
        ("external.user", {"user": value, "api_key": KEY})
        for value in (None, 7, "", "a\0", "\ud800")
    ),
]
BAD: dict[str, list[Any]] = {
    "hash": BAD_HASHES,
    "name": BAD_TEXTS,
    "creator_user_id": BAD_TEXTS,
    "workspace_id": [*BAD_TEXTS, KEY],
    "include_disabled": BAD_FLAGS,
    "include_expired": BAD_FLAGS,
    "disabled": [*BAD_FLAGS, "true", "false"],
    "include_byok_in_limit": [*BAD_FLAGS, "true", "false"],
    "id": BAD_WORKSPACES,
    "limit": BAD_AMOUNTS,
    "offset": BAD_COUNTS,
    "limit_reset": BAD_RESETS,
    "expires_at": BAD_INSTANTS,
}
BAD_PAGE_SIZES = [0, PAGE_SIZE + 1, "0", "101", *BAD_COUNTS]


def cases() -> Iterator[Any]:
    """Every bad value of every parameter of every operation."""
    for row in OPERATIONS:
        for parameter in row.parameters:
            size = row.name.startswith("list_") and parameter.name == "limit"
            values = BAD_PAGE_SIZES if size else BAD.get(parameter.name, [])
            pairs = [(parameter.name, value) for value in values]
            if parameter.name == "external":
                pairs = BAD_EXTERNALS
            elif parameter.required:
                pairs += [(parameter.name, None), (parameter.name, OMITTED)]
            assert pairs, f"no bad value for {parameter.name}"
            for number, (named, value) in enumerate(pairs):
                case = f"{row.name}-{parameter.name}-{number}"
                yield pytest.param(row.name, parameter.name, named, value, id=case)


def refusal(operation: str, given: dict[str, Any]) -> InvalidRequestError:
    """The error for these parameters; anything but a refusal fails the test."""
    row = ROWS[operation]
    with pytest.raises(InvalidRequestError) as caught:
        compose(row, row.takes(**MINIMUM.get(operation, {}) | given))
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(("operation", "parameter", "named", "value"), list(cases()))
def test_is_refused_by_name(operation: str, parameter: str, named: str, value: object) -> None:
    """The error names the parameter, is one short line, and shows nothing of the value."""
    error = refusal(operation, {parameter: value})
    assert error.parameter == named
    assert error.message.startswith(f"{named} must be ")
    assert error.attempts == 0
    assert len(str(error)) < 120
    assert_not_leaked(KEY, str(error), repr(error), repr(vars(error)))
    assert MARK not in str(error)
    if isinstance(value, str) and len(value) > 20:
        assert value not in repr(vars(error))


def test_a_key_in_place_of_a_hash_is_explained() -> None:
    """Old examples have the key where the hash belongs: the error says which of them is meant."""
    error = refusal("get", {"hash": KEY})
    assert "not the key itself" in error.message


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", "", None, True, [1], math.nan], ids=range(9))
def test_observers(value: Any) -> None:
    """How many things may happen at once is a whole number from 1, refused by name too."""
    with pytest.raises(
        InvalidRequestError, match=r"^concurrency must be an integer of at least 1$"
    ):
        _checks.at_least_one("concurrency", value)
    assert [_checks.at_least_one("concurrency", good) for good in (1, 64)] == [1, 64]


@pytest.mark.parametrize(
    "given", [{}, {"name": None}, {"disabled": None, "workspace_id": None}], ids=range(3)
)
def test_an_update_needs_a_field(given: dict[str, Any]) -> None:
    """An update that changes nothing is refused here as the service would refuse it."""
    row = ROWS["update"]
    with pytest.raises(InvalidRequestError, match="update needs at least one field") as caught:
        compose(row, row.takes(hash=HASH, **given))
    assert caught.value.parameter is None
    assert caught.value.operation == "update"


def test_a_bad_hash_is_found_before_the_missing_field() -> None:
    """An update with a key for a hash and no field says what is worse."""
    error = refusal("update", {"hash": KEY, "disabled": OMITTED})
    assert error.parameter == "hash"


JSON_LIKE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ANYTHING = JSON_LIKE | st.datetimes() | st.datetimes(timezones=st.timezones()) | st.uuids()


@FUZZ
@given(st.data())
def test_anything_is_sent_or_refused(data: st.DataObject) -> None:
    """Whatever is passed, the outcome is a request or our error, and no other exception."""
    row = data.draw(st.sampled_from(OPERATIONS))
    names = [parameter.name for parameter in row.parameters]
    given = {name: data.draw(ANYTHING, name) for name in names if data.draw(st.booleans())}
    try:
        request = compose(row, row.takes(**MINIMUM.get(row.name, {}) | given))
    except OpenRouterError as error:
        assert isinstance(error, InvalidRequestError)  # noqa: PT017
        return
    assert request.target.isascii()
    assert request.target.isprintable()
    assert " " not in request.target
    assert request.target.count("/") == row.path.count("/")
    assert (request.body is None) == (not any(p.place == "body" for p in row.parameters))


@FUZZ
@given(st.text())
def test_no_hash_reaches_another_url(hash: str) -> None:
    """Any text in place of a hash is refused, or is the last segment, unchanged."""
    row = ROWS["delete"]
    try:
        request = compose(row, row.takes(hash=hash))
    except InvalidRequestError as error:
        assert error.parameter == "hash"  # noqa: PT017
    else:
        assert request.target == f"/keys/{hash}"
        assert set(hash) <= set(HASH) | set(map(chr, range(45, 123))) - set("./:;<=>?@[\\]^`")
