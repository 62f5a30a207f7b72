"""The class of an error follows the status alone; what the body says is told, without any key."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.checks import assert_sound
from pure.samples import FUZZ, KEY, ODD_KEY, as_json, reply
from support.secrets import assert_not_leaked

from openrouter_async import (
    OpenRouterDefaultError,
    OpenRouterError,
    ResponseTooLargeError,
    ResponseValidationError,
    Secret,
)
from openrouter_async._operations import DELETE, GET, OPERATIONS
from openrouter_async._responses import error_of, interpret

BY_STATUS = {
    400: "BadRequestResponseError",
    401: "UnauthorizedResponseError",
    403: "ForbiddenResponseError",
    404: "NotFoundResponseError",
    409: "ConflictResponseError",
    429: "TooManyRequestsResponseError",
    500: "InternalServerResponseError",
}


def class_for(status: int) -> str:
    """The documented class."""
    if 200 <= status < 300:
        return "ResponseValidationError"
    return BY_STATUS.get(
        status, "UnexpectedRedirectError" if status < 400 else "OpenRouterDefaultError"
    )


BODIES: dict[str, bytes] = {
    "documented": as_json({"error": {"code": 1, "message": "no", "metadata": {"a": 1}}}),
    "an error that is text": b'{"error":"nope"}',
    "an error that is a list": b'{"error":[1,2]}',
    "an error that is null": b'{"error":null,"user_id":7}',
    "an error that is a number": b'{"error":4.5}',
    "an empty error": b'{"error":{}}',
    "odd members": b'{"error":{"code":[],"message":{},"metadata":[]},"user_id":{}}',
    "nulls": b'{"error":{"code":null,"message":null,"metadata":null},"user_id":null}',
    "a list": b"[1]",
    "null": b"null",
    "text": b"Bad Gateway",
    "JSON text": b'"Bad Gateway"',
    "a number": b"502",
    "HTML": b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>",
    "nothing": b"",
    "white space": b" \r\n",
    "cut": b'{"error":{"code":500,"mess',
    "binary": bytes(range(256)),
    "a BOM": b'\xef\xbb\xbf{"error":{"message":"no"}}',
    "UTF-16": '{"error":{"message":"no"}}'.encode("utf-16"),
    "NaN": b'{"error":{"code":NaN,"message":"no","metadata":{"a":NaN}}}',
    "5000 digits": b'{"error":{"code":' + b"1" * 5000 + b',"message":"no"}}',
    "deep metadata": b'{"error":{"metadata":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}}",
    "deep lists": b'{"error":{"metadata":{"a":' + b"[" * 400 + b"]" * 400 + b"}}}",
    "very deep": b'{"error":{"metadata":' + b"[" * 100_000,
    "surrogates": b'{"error":{"message":"a\\ud800","metadata":{"\\ud800":"\\udfff"}}}',
    "10 MB": b'{"error":{"message":"' + b"x" * 10_000_000 + b'"}}',
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 429, 500, 502, 504, 529])
def test_class_whatever_the_body(status: int, body: str) -> None:
    """The class follows the status for every odd body, and there is always a short message."""
    error = error_of(reply(status, BODIES[body]))
    assert type(error).__name__ == class_for(status)
    assert error.status_code == status
    assert_sound(error)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[row.name for row in OPERATIONS])
def test_every_status(operation: Any) -> None:
    """All statuses from 100 to 999 have their class; a 2XX without sense is a validation error."""
    for status in range(100, 1000):
        with pytest.raises(OpenRouterError) as caught:
            interpret(operation, reply(status, b"[]"))
        assert type(caught.value).__name__ == class_for(status)
        undeclared = status >= 400 and status not in operation.errors
        assert isinstance(caught.value, OpenRouterDefaultError) is undeclared
        assert caught.value.status_code == status
        assert_sound(caught.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "Not Found"),
        (429, "Too Many Requests"),
        (502, "Bad Gateway"),
        (499, "refused"),
        (524, "the service failed"),
        (529, "the service failed"),
        (599, "the service failed"),
        (304, "Not Modified"),
    ],
)
def test_message_without_a_usable_body(status: int, message: str) -> None:
    """Without words in the body, the status's own phrase is the message, or one for its kind."""
    for body in ("nothing", "HTML", "an empty error", "nulls", "a list", "very deep"):
        assert error_of(reply(status, BODIES[body])).message == message


def test_everything_that_is_documented() -> None:
    """Code, message, metadata, error type, user, request and delay are read from where they are."""
    document = {
        "error": {
            "code": 429,
            "message": " Rate limit exceeded\n",
            "metadata": {"error_type": "rate_limit_exceeded", "more": [1, {"a": None}]},
        },
        "user_id": "user_1",
        "openrouter_metadata": None,
    }
    headers = {
        "cf_ray": "ray-1",
        "Retry_After": "2",
        "X_RateLimit_Limit": "20",
        "Set_Cookie": "c=1",
    }
    error = error_of(reply(429, document, **headers))
    assert error.message == "Rate limit exceeded"
    assert error.code == 429
    assert error.metadata == document["error"]["metadata"]  # type: ignore[index]
    assert error.error_type == "rate_limit_exceeded"
    assert error.user_id == "user_1"
    assert error.request_id == "ray-1"
    assert error.retry_after == 2.0
    assert error.headers == {"cf-ray": "ray-1", "retry-after": "2", "x-ratelimit-limit": "20"}
    assert error.body == json.dumps(document)
    assert "cookie" not in repr(vars(error)).lower()


@pytest.mark.parametrize(
    ("status", "body", "message", "error_type"),
    [
        (401, '{"error":{"message":"User not found.","code":401}}', "User not found.", None),
        (403, '{"error":{"code":403,"message":"Only these"}}', "Only these", None),
        (400, '{"error":{"code":400,"message":"No update fields"}}', "No update fields", None),
        (
            500,
            '{"error":{"code":500,"message":"No","metadata":{"error_type":"server"}}}',
            "No",
            "server",
        ),
        (401, '{"error":"nope"}', "nope", None),
        (401, '{"error":{"message":"   ","metadata":{"error_type":7}}}', "Unauthorized", None),
    ],
    ids=range(6),
)
def test_samples(status: int, body: str, message: str, error_type: str | None) -> None:
    """Shapes that were seen, and near ones."""
    error = error_of(reply(status, body))
    assert (error.message, error.error_type) == (message, error_type)


@pytest.mark.parametrize(
    ("code", "read"), [(7, 7), ("7", "7"), (7.5, None), ([7], None), (None, None)], ids=range(5)
)
def test_code(code: object, read: object) -> None:
    """A code is a number or a word; anything else is none."""
    assert error_of(reply(400, {"error": {"code": code}})).code == read


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({}, None),
        ({"cf_ray": "ray"}, "ray"),
        ({"X_Generation_Id": "gen", "cf_ray": "ray"}, "gen"),
        ({"X_Generation_Id": "", "cf_ray": "ray"}, "ray"),
        ({"CF_RAY": "ray"}, "ray"),
    ],
    ids=range(5),
)
def test_request_id(headers: dict[str, str], request_id: str | None) -> None:
    """The service's own id, else the edge's."""
    assert error_of(reply(500, **headers)).request_id == request_id


@pytest.mark.parametrize("secret", [KEY, ODD_KEY])
def test_keys_are_masked_everywhere(secret: str) -> None:
    """A key that the service echoes is in no attribute, wherever in the answer it stood."""
    document = {
        "error": {
            "code": f"code {secret}",
            "message": f"the key {secret} is unknown",
            "metadata": {"error_type": secret, secret: [secret, {"a": f"<{secret}>"}]},
        },
        "user_id": secret,
    }
    headers = {"cf_ray": secret, "Location": f"/?key={secret}", "X_Echo": f"Bearer {secret}"}
    hidden = {"Set_Cookie": "hidden", "Authorization": "hidden", "Proxy_Authorization": "hidden"}
    for status in (401, 307):
        error = error_of(reply(status, document, **headers, **hidden), Secret(ODD_KEY))
        assert error.message == "the key *** is unknown"
        assert error.metadata == {"error_type": "***", "***": ["***", {"a": "<***>"}]}
        assert error.headers == {"cf-ray": "***", "location": "/?key=***", "x-echo": "Bearer ***"}
        assert_not_leaked(secret, repr(vars(error)), str(error), repr(error), *error.args)
        assert "hidden" not in repr(vars(error))


def test_long_texts_are_cut() -> None:
    """A message has at most 300 characters, a body 2048, and no fewer."""
    body = json.dumps({"error": {"message": "x" * 5000}})
    error = error_of(reply(500, body))
    assert error.message == "x" * 300
    assert error.body == body[:2048]


def test_a_key_across_the_end_is_masked() -> None:
    """Texts are masked before they are cut, so that no first half of a key is left at the end."""
    for start in range(1970, 2050):
        error = error_of(reply(500, b"x" * start + ODD_KEY.encode()), Secret(ODD_KEY))
        assert_not_leaked(ODD_KEY, error.body or "")
    for start in range(260, 302):
        body = {"error": {"message": "x" * start + ODD_KEY}}
        assert_not_leaked(ODD_KEY, error_of(reply(500, body), Secret(ODD_KEY)).message)


def test_deep_metadata_is_cut_off() -> None:
    """What is nested beyond any sense is left out, and what is above it is kept."""
    error = error_of(reply(500, BODIES["deep metadata"]))
    depth, inner = 0, error.metadata
    while isinstance(inner, dict):
        depth, inner = depth + 1, inner["a"]
    assert inner is None
    assert 10 <= depth <= 50


def test_unreadable_success() -> None:
    """A 2XX that cannot be read says why, and has status, headers, request and body."""
    answer = reply(200, b"<html>Sign in</html>", cf_ray="ray", Retry_After="3")
    with pytest.raises(ResponseValidationError) as caught:
        interpret(GET, answer)
    error = caught.value
    assert error.message == "the response is not JSON"
    assert (error.status_code, error.request_id, error.retry_after) == (200, "ray", 3.0)
    assert error.body == "<html>Sign in</html>"


def test_too_large_and_cut_success() -> None:
    """A body that was not read to its end is too large; one that broke off ends too early."""
    with pytest.raises(ResponseTooLargeError, match="too large"):
        interpret(GET, reply(200, b'{"data":', too_large=True))
    for truncated in (True, False):
        with pytest.raises(ResponseValidationError, match=r"^200 the response ends too early$"):
            interpret(GET, reply(200, b'{"data":{"hash":', truncated=truncated))


def test_a_lost_body_is_not_an_empty_one() -> None:
    """A delete that was answered without a body is done; one whose body broke off is not known."""
    assert interpret(DELETE, reply(200, b"")).deleted
    with pytest.raises(ResponseValidationError, match="ends too early"):
        interpret(DELETE, reply(200, b"", truncated=True))


@pytest.mark.parametrize("status", range(200, 300, 33))
def test_any_2xx_is_a_success(status: int) -> None:
    """200 in place of 201, 204 and the like are read the same way."""
    assert interpret(DELETE, reply(status, b"")).deleted


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
DETAILS = st.fixed_dictionaries({}, optional={"code": JSON, "message": JSON, "metadata": JSON})
DOCUMENTS = JSON | st.fixed_dictionaries({}, optional={"error": DETAILS | JSON, "user_id": JSON})


@FUZZ
@given(DOCUMENTS, st.integers(300, 999), st.text(), st.text(max_size=5))
def test_any_document(document: Any, status: int, ray: str, secret: str) -> None:
    """Any JSON, any header, any known secret: the right class, and a sound error."""
    error = error_of(reply(status, as_json(document), cf_ray=ray), Secret(secret))
    assert type(error).__name__ == class_for(status)
    assert_sound(error)
