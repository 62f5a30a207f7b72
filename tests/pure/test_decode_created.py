"""A new key's plaintext is shown once: whatever else is wrong, a whole one is handed out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pure.samples import CREATED, FUZZ, KEY, ODD_KEY, as_json, reply
from support.secrets import assert_not_leaked, tracebacks_with_locals

from openrouter_async import ResponseValidationError
from openrouter_async._converter import decode, hash_seen_in
from openrouter_async._operations import CREATE
from openrouter_async._responses import interpret
from openrouter_async.models import CreateKeysResponse

DATA: dict[str, Any] = CREATED["data"]
HASH = DATA["hash"]
OTHER_KEY = "sk-or-v1-" + "0" * 64
BODY = as_json(CREATED)
KEY_FIRST = as_json({"key": KEY, "data": DATA})
KEY_INSIDE = as_json({"data": {"key": KEY} | DATA})


@pytest.mark.parametrize(
    "document",
    [
        CREATED,
        {"data": DATA | {"key": KEY}},
        {"data": DATA | {"key": KEY}, "key": None},
        {"data": DATA | {"key": KEY}, "key": ""},
        {"data": DATA | {"key": KEY}, "key": 7},
        {"data": DATA | {"key": OTHER_KEY}, "key": KEY},
        {"data": DATA | {"key": None}, "key": KEY},
        {"data": DATA | {"new": {"key": OTHER_KEY}}, "key": KEY, "more": [1]},
    ],
    ids=range(8),
)
def test_where_the_key_stands(document: dict[str, Any]) -> None:
    """Beside `data` or inside it; when in both, what stands beside wins."""
    created = decode(CreateKeysResponse, as_json(document))
    assert created.key == KEY
    assert created.data.hash == HASH
    assert created.problem is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"key": KEY}, "response.data: missing"),
        ({"key": KEY, "data": None}, "response.data: expected an object, got null"),
        ({"key": KEY, "data": []}, "response.data: expected an object, got a list"),
        ({"key": KEY, "data": KEY}, "response.data: expected an object, got a string"),
        (
            CREATED | {"data": DATA | {"hash": None}},
            "response.data.hash: expected a string, got null",
        ),
        ({"data": {"key": KEY, "name": 7}}, "response.data.hash: missing; "),
    ],
    ids=range(6),
)
def test_a_bad_record_beside_a_key(document: dict[str, Any], message: str) -> None:
    """The key is handed out, and `.data` says what is wrong with the record."""
    created = decode(CreateKeysResponse, as_json(document))
    assert created.key == KEY
    assert created.problem is not None
    assert created.problem.message.startswith(message)
    assert created.problem.__traceback__ is None
    with pytest.raises(ResponseValidationError) as caught:
        _ = created.data
    assert caught.value is created.problem
    text = tracebacks_with_locals(caught.value, without_locals_of=[__file__])
    assert_not_leaked(KEY, str(caught.value), text)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"data": DATA}, "response.key: missing"),
        ({"data": DATA, "key": None}, "response.key: missing"),
        ({"data": DATA, "key": ""}, "response.key: missing"),
        ({"data": DATA, "key": [KEY]}, "response.key: missing"),
        (None, "response: expected an object, got null"),
        (KEY, "response: expected an object, got a string"),
        ({}, "response.data: missing"),
    ],
    ids=range(7),
)
def test_no_key(document: Any, message: str) -> None:
    """An answer that can be read and has no key where keys stand has none, with its reason."""
    with pytest.raises(ResponseValidationError) as caught:
        decode(CreateKeysResponse, as_json(document))
    assert caught.value.message == message
    assert_not_leaked(KEY, str(caught.value), repr(vars(caught.value)))


def read_cut(body: bytes) -> CreateKeysResponse | None:
    """What a cut answer gives: a response, or none and an error that holds no piece of the key."""
    try:
        return interpret(CREATE, reply(201, body, truncated=True))
    except ResponseValidationError as error:
        assert error.message == "the response ends too early"  # noqa: PT017
        assert error.__cause__ is error.__context__ is None  # noqa: PT017
        texts = str(error), repr(error), repr(vars(error))
        assert_not_leaked(KEY, *texts)
        return None


@pytest.mark.parametrize("body", [BODY, KEY_FIRST, KEY_INSIDE], ids=["after", "before", "inside"])
def test_cut_at_each_byte(body: bytes) -> None:
    """The key is handed out exactly when its closing quote has come, and never shown otherwise."""
    end = body.index(KEY.encode()) + len(KEY) + 1
    for length in range(len(body)):
        created = read_cut(body[:length])
        assert (created is not None) == (length >= end), length
        if created is not None:
            assert created.key == KEY
            assert created.problem is not None
            assert_not_leaked(KEY, repr(created), str(created.problem), repr(vars(created.problem)))
    assert interpret(CREATE, reply(201, body)).data.hash == HASH


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.replace(b"My New", b"My \xff New"),
        lambda body: body.replace(b'"limit": 0', b'"limit": NaN'),
        lambda body: body.replace(b'"limit": 0', b'"limit": '),
        lambda body: body + b"}",
        lambda body: body + b"<!-- served by a proxy -->",
        lambda body: b")]}'\n" + body,
        lambda body: body[:-1] + b',"x":' + b"[" * 100_000,
        lambda body: body.replace(b'"key": ', b'"key"\r\n\t:\n'),
    ],
    ids=range(9),
)
def test_a_whole_key_in_no_json(damage: Any) -> None:
    """What cannot be parsed is still searched for a whole key."""
    created = decode(CreateKeysResponse, damage(BODY))
    assert created.key == KEY
    if created.problem is not None:
        assert created.problem.message in (
            "the response is not JSON",
            "the response is nested too deeply",
            "response.data.name: expected a string of whole characters",
        )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}}",
        b"<html>502</html>",
        b'{"data":{"key":',
        f'{{"name":"x\\",\\"key\\":\\"{KEY}\\""'.encode(),
        f'{{"api_key":"{KEY}"'.encode(),
        f'{{"keys":"{KEY}"'.encode(),
        f'{{"key":{KEY}'.encode(),
        b'{"key":"too-short"',
        b'{"key":"has a space in the middle"',
        b'{"key":"has-an-\\u0065scape-in-it"',
        BODY.decode().encode("utf-16"),
    ],
    ids=range(12),
)
def test_nothing_is_rescued_that_is_no_whole_key(body: bytes) -> None:
    """Neither a name that contains what looks like the field, nor another field, nor a piece."""
    with pytest.raises(ResponseValidationError) as caught:
        decode(CreateKeysResponse, body)
    assert caught.value.message == "the response is not JSON"
    assert_not_leaked(KEY, str(caught.value), repr(vars(caught.value)))


@pytest.mark.parametrize(
    "key", [KEY, ODD_KEY, KEY.replace("sk-", "SK-"), f"a\\\\{ODD_KEY}"], ids=range(4)
)
@pytest.mark.parametrize("colon", [":", " :\r\n\t"])
def test_a_lost_key_of_any_shape_is_masked(key: str, colon: str) -> None:
    """The body that an error quotes has no piece of a cut key, even if it looks like no key."""
    for length in (1, 12, len(key)):
        body = f'{{"data":{{"hash":"{HASH}"}},"key"{colon}"{key[:length]}'
        with pytest.raises(ResponseValidationError) as caught:
            interpret(CREATE, reply(201, body, truncated=True))
        expected = body.removesuffix(key[:length]) + "***"
        assert caught.value.body == expected


@FUZZ
@given(st.data())
def test_flipped_bytes(data: st.DataObject) -> None:
    """With any byte replaced, but by a quote, there is a key or our error that does not show it."""
    body = bytearray(data.draw(st.sampled_from([BODY, KEY_FIRST, KEY_INSIDE])))
    no_quote = st.integers(0, 255).filter(lambda byte: byte != ord('"'))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(no_quote)
    try:
        created = interpret(CREATE, reply(201, bytes(body)))
    except ResponseValidationError as error:
        assert_not_leaked(KEY, str(error), repr(vars(error)))
    else:
        assert created.key
        assert created.key not in repr(created)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (BODY, HASH),
        (BODY[: BODY.index(b'"name"')], HASH),
        (BODY[: BODY.index(HASH.encode()) + 63], None),
        (b'{"hash" : "abcdefgh', None),
        (b'{"hash" : "abcdefgh"', "abcdefgh"),
        (b'{"hash":"short"}', None),
        (b'{"hash":"' + b"a" * 129 + b'"}', None),
        (b'{"key_hash":"abcdefgh"}', None),
        (b"<html>", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
    ids=range(11),
)
def test_the_hash_of_a_lost_key(body: bytes, expected: str | None) -> None:
    """An unreadable answer may still tell which key was made."""
    assert hash_seen_in(body) == expected


def test_a_key_in_an_unknown_wrapper_is_handed_out() -> None:
    """Wherever a whole key stands, it is not thrown away; the record then has a problem."""
    secret = "sk-or-v1-" + "9" * 64
    for shape in ('{"result":{"key":"%s"}}', '[{"key":"%s"}]', '{"data":[{"key":"%s"}]}'):
        created = decode(CreateKeysResponse, (shape % secret).encode())
        assert created.key == secret
        assert created.problem is not None
