"""What would have to be guessed is refused: the path is named, the value never shown."""

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from pure.samples import CURRENT_KEYS, RECORD, USAGES, as_json, record

from openrouter_async import ResponseValidationError
from openrouter_async._converter import decode
from openrouter_async.models import (
    APIKey,
    GetCurrentKeyResponse,
    GetKeyResponse,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
)

PLANTED = "planted-4711-value"
NUMBERS = {*USAGES, "limit", "limit_remaining"}
FLAGS = {"disabled", "include_byok_in_limit"}
TIMES = {"created_at", "updated_at", "expires_at", "last_used_at"}
FIELDS = {field.name: field.default is None for field in attrs.fields(APIKey)}
CURRENT = CURRENT_KEYS["2026-09, newer fields"]


def problem(cls: type[Any], document: Any) -> str:
    """The message for a document that cannot be read; nothing of it is chained or shown."""
    body = document if isinstance(document, bytes) else as_json(document)
    with pytest.raises(ResponseValidationError) as caught:
        decode(cls, body)
    error = caught.value
    assert error.__cause__ is error.__context__ is None
    assert PLANTED not in repr(error) + repr(vars(error))
    assert "4711" not in str(error)
    return error.message


@pytest.mark.parametrize("name", [name for name, nullable in FIELDS.items() if not nullable])
def test_required_fields(name: str) -> None:
    """A required field that is missing or null is named, and null is not the text `None`."""
    assert (
        problem(GetKeyResponse, {"data": record(**{name: ...})}) == f"response.data.{name}: missing"
    )
    message = problem(GetKeyResponse, {"data": record(**{name: None})})
    assert message.startswith(f"response.data.{name}: expected a")
    assert message.endswith("got null")


def wrong_for(name: str) -> dict[str, Any]:
    """Values of every other JSON type than the field's own, by what the message calls them."""
    values: dict[str, Any] = {
        "a string": PLANTED,
        "a number": 4711,
        "a boolean": True,
        "a list": [PLANTED],
        "an object": {PLANTED: PLANTED},
    }
    own = "a number" if name in NUMBERS else "a boolean" if name in FLAGS else "a string"
    return {kind: value for kind, value in values.items() if kind != own}


@pytest.mark.parametrize("name", FIELDS)
def test_wrong_types(name: str) -> None:
    """Each field of a record refuses every other JSON type; nothing is converted."""
    own = "number" if name in NUMBERS else "boolean" if name in FLAGS else "string"
    expected = "timestamp" if name in TIMES else own
    for kind, value in wrong_for(name).items():
        for cls in (GetKeyResponse, UpdateKeysResponse):
            message = problem(cls, {"data": record(**{name: value})})
            assert message == f"response.data.{name}: expected a {expected}, got {kind}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disabled", "false"),
        ("disabled", 0),
        ("usage", "0"),
        ("usage", True),
        ("name", 7),
        ("limit", "5"),
    ],
    ids=range(6),
)
def test_no_coercion(name: str, value: Any) -> None:
    """`"false"` is not true, `"0"` is no amount, True is no number."""
    assert f"response.data.{name}: " in problem(GetKeyResponse, {"data": record(**{name: value})})


def test_one_bad_record_of_a_hundred() -> None:
    """The record's place in the page is part of the path."""
    page = [record() for _ in range(100)]
    page[37]["label"] = None
    message = problem(ListResponse, {"data": page})
    assert message == "response.data[37].label: expected a string, got null"


def test_several_problems() -> None:
    """The first three are told; a page of nonsense does not make a page of message."""
    page = [record(name=4711) for _ in range(100)]
    message = problem(ListResponse, {"data": page})
    assert message == "; ".join(
        [
            *(f"response.data[{row}].name: expected a string, got a number" for row in range(3)),
            "and more",
        ]
    )


def test_exactly_three_problems() -> None:
    """That there are more is only said where there are."""
    page = [record(name=4711)] * 3 + [record()] * 97
    assert "more" not in problem(ListResponse, {"data": page})


@pytest.mark.parametrize(
    ("cls", "document", "message"),
    [
        (GetKeyResponse, [], "response: expected an object, got a list"),
        (GetKeyResponse, None, "response: expected an object, got null"),
        (GetKeyResponse, PLANTED, "response: expected an object, got a string"),
        (ListResponse, 4711, "response: expected an object, got a number"),
        (ListResponse, {}, "response.data: missing"),
        (ListResponse, {"data": None}, "response.data: expected a list, got null"),
        (ListResponse, {"data": {PLANTED: 1}}, "response.data: expected a list, got an object"),
        (ListResponse, {"data": PLANTED}, "response.data: expected a list, got a string"),
        (ListResponse, {"data": [None]}, "response.data[0]: expected an object, got null"),
        (GetKeyResponse, {"data": [RECORD]}, "response.data: expected an object, got a list"),
        (GetKeyResponse, {"error": {"code": 4711}}, "response.data: missing"),
        (ListWorkspacesResponse, {"data": [{"id": "w"}]}, "response.data[0].name: missing"),
        (
            ListWorkspacesResponse,
            {"data": [], "total_count": 4711.5},
            "response.total_count: expected an integer, got a number",
        ),
    ],
    ids=range(13),
)
def test_wrong_documents(cls: type[Any], document: Any, message: str) -> None:
    """Where the answer's very frame is wrong, that is what is said."""
    assert problem(cls, document) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "label: expected a string, got null"),
        ({"usage": None}, "usage: expected a number, got null"),
        ({"is_free_tier": "4711"}, "is_free_tier: expected a boolean, got a string"),
        ({"usage_daily": "4711"}, "usage_daily: expected a number, got a string"),
        ({"expires_at": PLANTED}, "expires_at: expected an ISO 8601 timestamp with a zone"),
        ({"rate_limit": PLANTED}, "rate_limit: expected a number, got a string"),
        ({"rate_limit": True}, "rate_limit: expected a number, got a boolean"),
        (
            {"rate_limit": {"requests": 47.11}},
            "rate_limit.requests: expected an integer, got a number",
        ),
        (
            {"rate_limit": {"requests": True}},
            "rate_limit.requests: expected an integer, got a boolean",
        ),
        ({"allowed_data_regions": "4711"}, "allowed_data_regions: expected a list, got a string"),
        ({"allowed_data_regions": [1]}, "allowed_data_regions[0]: expected a string, got a number"),
        ({"budgets": [{}, 4711]}, "budgets[1]: expected an object, got a number"),
        ({"budgets": [{"limit_usd": ""}]}, "budgets[0].limit_usd: expected a number, got a string"),
        ({"effective_budget": []}, "effective_budget: expected an object, got a list"),
        (
            {"free_model_daily_requests": {"limit": "4711"}},
            "free_model_daily_requests.limit: expected an integer, got a string",
        ),
    ],
    ids=range(15),
)
def test_the_current_key(change: dict[str, Any], message: str) -> None:
    """The same strictness, down to what is nested."""
    assert problem(GetCurrentKeyResponse, {"data": CURRENT | change}) == f"response.data.{message}"


def test_infinite_counts() -> None:
    """A count that no int can be is refused."""
    body = as_json({"data": CURRENT}).replace(b"-1", b"1e999")
    message = "response.data.rate_limit.requests: expected an integer, got a number"
    assert problem(GetCurrentKeyResponse, body) == message


TEXT = as_json({"data": RECORD})
NO_JSON = "the response is not JSON"
TOO_DEEP = "the response is nested too deeply"
NO_TEXT = "response.data.name: expected a string of whole characters"
NOT_FINITE = "response.data.limit: expected a finite number"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: b"", NO_JSON),
        (lambda text: b" \n", NO_JSON),
        (lambda text: b"<!DOCTYPE html><html><body>Sign in</body></html>", NO_JSON),
        (lambda text: text[:-1], NO_JSON),
        (lambda text: text + b"}", NO_JSON),
        (lambda text: text + text, NO_JSON),
        (lambda text: b"\xef\xbb\xbf" + text, NO_JSON),
        (lambda text: text.decode().encode("utf-16"), NO_JSON),
        (lambda text: text.decode().encode("utf-32-le"), NO_JSON),
        (lambda text: text.replace(b"production", b"caf\xe9"), NO_TEXT),
        (lambda text: text.replace(b"production", b"\xed\xa0\x80"), NO_TEXT),
        (lambda text: text.replace(b"production", b"a\nb"), NO_JSON),
        (lambda text: text.replace(b"500", b"NaN"), NO_JSON),
        (lambda text: text.replace(b"500", b"Infinity"), NO_JSON),
        (lambda text: text.replace(b"500", b"-Infinity"), NO_JSON),
        (lambda text: text.replace(b"500", b"0500"), NO_JSON),
        (lambda text: text.replace(b"500", b"1e999"), NOT_FINITE),
        (lambda text: text.replace(b"500", b"-1e999"), NOT_FINITE),
        (lambda text: text.replace(b"500", b"1" * 309 + b"0"), NOT_FINITE),
        (lambda text: text.replace(b"500", b"-" + b"1" * 400), NOT_FINITE),
        (lambda text: text.replace(b"500", b"1" * 5000), NOT_FINITE),
        (lambda text: text.replace(b"production", b"a\\ud800b"), NO_TEXT),
        (lambda text: text.replace(b"production", b"\\udc00"), NO_TEXT),
        (lambda text: b"[" * 100_000, TOO_DEEP),
        (lambda text: text[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", TOO_DEEP),
        (lambda text: b'{"a":' * 100_000 + b"1" + b"}" * 100_000, TOO_DEEP),
    ],
    ids=range(26),
)
def test_nonsense(change: Callable[[bytes], bytes], message: str) -> None:
    """Odd JSON is one of our errors: it cannot be parsed, or a field is named."""
    assert json.loads(TEXT)
    assert problem(GetKeyResponse, change(TEXT)) == message
