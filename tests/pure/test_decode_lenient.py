"""A lenient page keeps the records that can be read; a delete needs no answer to be done."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import FUZZ, HASH, KEY, OVERSPENT, RECORD, as_json, record
from support.secrets import assert_not_leaked

from openrouter_async import ResponseValidationError
from openrouter_async._converter import decode
from openrouter_async.models import DeleteKeysResponse, LenientListResponse, ListResponse


def test_a_good_page_is_the_strict_one() -> None:
    """Without a bad record there is no difference."""
    body = as_json({"data": [RECORD, OVERSPENT]})
    page = decode(LenientListResponse, body)
    assert page.data == decode(ListResponse, body).data
    assert page.problems == []
    assert page.length == 2


def test_bad_records_are_set_aside() -> None:
    """The others keep their order, and each problem names the record's place and its path."""
    bad = [None, record(hash=None), 7, record(created_at="2025-01-01T00:00:00"), {}]
    good = [record(name=f"key {number}") for number in range(4)]
    body = as_json({"data": [good[0], bad[0], bad[1], good[1], good[2], *bad[2:], good[3]]})
    page = decode(LenientListResponse, body)
    assert [key.name for key in page.data] == ["key 0", "key 1", "key 2", "key 3"]
    assert page.length == 9
    assert [problem.message.split("; ")[0] for problem in page.problems] == [
        "response.data[1]: expected an object, got null",
        "response.data[2].hash: expected a string, got null",
        "response.data[5]: expected an object, got a number",
        "response.data[6].created_at: expected an ISO 8601 timestamp with a zone",
        "response.data[7].hash: missing",
    ]
    assert [problem.row for problem in page.problems] == [1, 2, 5, 6, 7]
    assert [problem.hash for problem in page.problems] == [None, None, None, HASH, None]
    paths = page.problems[4].message.split("; ")
    assert len(paths) == 4
    assert all(path.startswith("response.data[7].") for path in paths[:3])
    assert paths[3] == "and more"


def test_ninety_nine_of_a_hundred() -> None:
    """One odd record does not cost the page."""
    records = [record() for _ in range(100)]
    records[50]["usage"] = "much"
    page = decode(LenientListResponse, as_json({"data": records}))
    assert (len(page.data), len(page.problems), page.length) == (99, 1, 100)


def test_a_page_of_problems() -> None:
    """A walk must be able to tell of each record, however many of a page cannot be read."""
    page = decode(LenientListResponse, as_json({"data": [record(name=None)] * 50 + [{}] * 50}))
    assert page.data == []
    assert [problem.row for problem in page.problems] == list(range(100))


@pytest.mark.parametrize("hash", [KEY, "../x", "short", "", 7, None, [HASH]], ids=range(7))
def test_the_hash_of_a_bad_record(hash: Any) -> None:
    """What is told of a bad record can be passed to `get` and `delete`, and is never a key."""
    body = as_json({"data": [record(name=7), record(name=7, hash=hash)]})
    page = decode(LenientListResponse, body)
    assert [problem.hash for problem in page.problems] == [HASH, None]
    assert_not_leaked(KEY, repr([vars(problem) for problem in page.problems]))


def test_other_zones_are_no_problem() -> None:
    """A record that only the careful road can read is read."""
    moment = "2025-08-24T10:30:00+02:00"
    page = decode(LenientListResponse, as_json({"data": [record(created_at=moment)]}))
    assert (len(page.data), page.problems) == (1, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the response is not JSON"),
        (b"[]", "response: expected an object, got a list"),
        (b"{}", "response.data: missing"),
        (b'{"data":{}}', "response.data: expected a list, got an object"),
        (b'{"data":null}', "response.data: expected a list, got null"),
        (as_json({"data": [RECORD]})[:-9], "the response is not JSON"),
    ],
    ids=range(6),
)
def test_a_bad_frame_is_an_error(body: bytes, message: str) -> None:
    """What is no page at all is not set aside record by record."""
    with pytest.raises(ResponseValidationError) as caught:
        decode(LenientListResponse, body)
    assert caught.value.message == message


@FUZZ
@given(st.lists(st.sampled_from([RECORD, OVERSPENT, None, {}, record(name=1)]), max_size=8))
def test_nothing_is_lost(records: list[Any]) -> None:
    """Every record of a page is either in `data` or in `problems`, in order."""
    page = decode(LenientListResponse, as_json({"data": records}))
    good = [entry["name"] for entry in records if entry in (RECORD, OVERSPENT)]
    assert [key.name for key in page.data] == good
    assert page.length == len(records)
    places = [number for number, entry in enumerate(records) if entry not in (RECORD, OVERSPENT)]
    assert [problem.message.partition("]")[0] for problem in page.problems] == [
        f"response.data[{place}" for place in places
    ]


@pytest.mark.parametrize(
    ("body", "deleted"),
    [
        (b'{"deleted":true}', True),
        (b'{"deleted":false}', False),
        (b"{}", True),
        (b"", True),
        (b" \r\n\t", True),
        (b'{"deleted":true,"data":{"hash":"x"}}', True),
        (b'{"data":null}', True),
    ],
    ids=range(7),
)
def test_deleted(body: bytes, *, deleted: bool) -> None:
    """A success without a body or without a word about it says no less than `true`."""
    assert decode(DeleteKeysResponse, body) == DeleteKeysResponse(deleted=deleted)
    assert not decode(DeleteKeysResponse, body).already_gone


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"deleted":null}', "response.deleted: expected a boolean"),
        (b'{"deleted":"true"}', "response.deleted: expected a boolean"),
        (b'{"deleted":1}', "response.deleted: expected a boolean"),
        (b"null", "response: expected an object"),
        (b"true", "response: expected an object"),
        (b"[]", "response: expected an object"),
        (b"<html>Sign in</html>", "the response is not JSON"),
        (b'{"deleted":tr', "the response is not JSON"),
        (b"\xff", "the response is not JSON"),
    ],
    ids=range(9),
)
def test_what_is_no_answer_to_a_delete(body: bytes, message: str) -> None:
    """Anything else is refused, since nobody knows what it is the answer to."""
    with pytest.raises(ResponseValidationError) as caught:
        decode(DeleteKeysResponse, body)
    assert caught.value.message == message
