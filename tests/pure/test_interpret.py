"""Bytes of an answer become a model or an `OpenRouterError`, and nothing else ever happens."""

import copy
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.checks import assert_sound
from pure.samples import CREATED, CURRENT_KEYS, KEY, MORE, RECORD, as_json, reply

from openrouter_async import OpenRouterError, ResponseValidationError, Secret, to_dict
from openrouter_async._operations import LIST, OPERATIONS, Operation
from openrouter_async._responses import Response, interpret
from openrouter_async._retry import Condition, condition_of
from openrouter_async.models import LenientListResponse

LENIENT: Operation[Any, Any] = attrs.evolve(LIST, returns=LenientListResponse)  # type: ignore[arg-type]
ROWS = [*OPERATIONS, LENIENT]
GOOD: dict[str, list[Any]] = {
    "list": [{"data": [RECORD] * 3}, {"data": []}],
    "create": [CREATED, {"data": RECORD | {"key": KEY}}],
    "get": [{"data": RECORD}],
    "update": [{"data": RECORD}],
    "delete": [{"deleted": True}, {}],
    "get_current_key_metadata": [{"data": data} for data in CURRENT_KEYS.values()],
    "list_workspaces": [{"data": [{"id": "w", "name": "n"}], "total_count": 1}],
    "get_workspace": [{"data": {"id": "w", "name": "n"}}],
    "list_key_assignments": [
        {"data": [{"id": "a", "guardrail_id": "g", "key_hash": "h"}], "total_count": 1}
    ],
}
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "cf-ray", "Location", "Set-Cookie", "X"]),
    st.text() | st.sampled_from(["1", "Fri, 21 Nov 2025 00:00:10 GMT", "nan", "\udcff"]),
)
SUCCESSES = st.sampled_from([200, 201, 204, 206, 299])
STATUSES = SUCCESSES | st.integers(100, 999)


def outcome(operation: Operation[Any, Any], answer: Response) -> object:
    """The model, or the error once it was found to be sound; anything else fails the test."""
    try:
        model = interpret(operation, answer, Secret(KEY))
    except OpenRouterError as error:
        assert_fits(error, answer)
        return error
    assert 200 <= answer.status < 300
    assert type(model) is operation.returns
    return model


def assert_fits(error: OpenRouterError, answer: Response) -> None:
    """Fail unless the error is sound, tells the answer's status, and shows no key."""
    assert_sound(error)
    assert error.status_code == answer.status
    assert KEY not in str(error) + repr(vars(error))
    assert condition_of(answer) in Condition


def answers(
    data: st.DataObject, operation: Operation[Any, Any], body: bytes, statuses: Any
) -> object:
    """The outcome for a body with any status, headers and ending."""
    headers = {name.replace("-", "_"): value for name, value in data.draw(HEADERS).items()}
    truncated, too_large = data.draw(
        st.sampled_from([(False, False)] * 4 + [(True, False), (False, True)])
    )
    answer = reply(data.draw(statuses), body, truncated=truncated, too_large=too_large, **headers)
    return outcome(operation, answer)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[row.name for row in OPERATIONS])
def test_good_answers(operation: Operation[Any, Any]) -> None:
    """The documents that the properties below start from are read, under any 2XX."""
    for document in GOOD[operation.name]:
        for status in (200, 201, operation.success):
            model = outcome(operation, reply(status, as_json(document)))
            assert type(model) is operation.returns
            json.dumps(to_dict(model), allow_nan=False)


@MORE
@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    """Noise, in every operation."""
    body = data.draw(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    answers(data, data.draw(st.sampled_from(ROWS)), body, STATUSES)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(KEY),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["key", "data", "hash", "error", "x"]), inner, max_size=2)
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a document something stands."""
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(inner for key, member in members for inner in places(member, (*path, key)))]


def with_change(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with what stands at one place replaced; `...` takes it out."""
    if not path:
        return None if value is ... else value
    changed = copy.copy(document)
    if len(path) == 1 and value is ...:
        del changed[path[0]]
    else:
        changed[path[0]] = with_change(document[path[0]], path[1:], value)
    return changed


@MORE
@given(st.data())
def test_changed_documents(data: st.DataObject) -> None:
    """A good document in which a value at any place was replaced or taken out."""
    operation = data.draw(st.sampled_from(ROWS))
    document = data.draw(st.sampled_from(GOOD[operation.name]))
    path = data.draw(st.sampled_from(places(document)))
    changed = with_change(document, path, data.draw(VALUES | st.just(...)))
    answers(data, operation, as_json(changed), SUCCESSES)


@MORE
@given(st.data())
def test_damaged_documents(data: st.DataObject) -> None:
    """A good document that was cut, or in which bytes were replaced."""
    operation = data.draw(st.sampled_from(ROWS))
    body = bytearray(as_json(data.draw(st.sampled_from(GOOD[operation.name]))))
    place = data.draw(st.integers(0, len(body)))
    if data.draw(st.booleans()):
        del body[place:]
    else:
        end = place + data.draw(st.integers(0, 3))
        body[place:end] = data.draw(st.binary(max_size=3).filter(lambda new: b'"' not in new))
    answers(data, operation, bytes(body), SUCCESSES)


@pytest.mark.parametrize("operation", ROWS, ids=range(len(ROWS)))
def test_every_cut(operation: Operation[Any, Any]) -> None:
    """An answer that ends at any byte is read, or said to be cut when its connection broke."""
    body = as_json(GOOD[operation.name][0])
    for length in range(len(body)):
        found = outcome(operation, reply(200, body[:length], truncated=True))
        if isinstance(found, ResponseValidationError):
            assert found.message == "the response ends too early"
        else:
            assert operation.name in ("create", "delete")
