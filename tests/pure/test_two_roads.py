"""The fast road of decoding declines a document, or reads it exactly as the careful one does."""

import json
import sys
import typing
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pure.samples import FUZZ, KEY, MORE, OLD_RECORD, OVERSPENT, RECORD, USAGES, as_json, record

from openrouter_async import ResponseValidationError, _converter
from openrouter_async._converter import decode
from openrouter_async._operations import OPERATIONS
from openrouter_async.models import (
    APIKey,
    CreateKeysResponse,
    DeleteKeysResponse,
    GetCurrentKeyResponse,
    GetKeyResponse,
    LenientListResponse,
    ListResponse,
    ListWorkspacesResponse,
    UpdateKeysResponse,
)

FAST = [ListResponse, LenientListResponse, GetKeyResponse, UpdateKeysResponse, CreateKeysResponse]
"""The responses with a key's record in them."""
PLAIN = list(
    dict.fromkeys(
        operation.returns
        for operation in OPERATIONS
        if operation.returns not in (CreateKeysResponse, DeleteKeysResponse)
    )
)
"""The responses of the table that are read straight into their classes."""
_fast = _converter._fast


def read(cls: type[Any], body: bytes) -> tuple[str, str]:
    """All that can be seen of what an answer is read as: its repr, and a new key's plaintext."""
    try:
        found = decode(cls, body)
    except ResponseValidationError as error:
        found = error
    return repr(found), getattr(found, "key", "")


def roads_agree(cls: type[Any], body: bytes) -> bool:
    """Whether the fast road took the answer; fails if the careful one reads something else."""
    taken: list[bool] = []

    def fast(type_: type[Any], body: bytes) -> Any:
        found = _fast(type_, body)
        taken.append(found is not None)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_converter, "_fast", fast)
        by_fast_road = read(cls, body)
        patch.setattr(_converter, "_fast", lambda *_: None)
        assert by_fast_road == read(cls, body)
    return any(taken)


def answer(cls: type[Any], *records: Any) -> Any:
    """The document that has these records, as an answer of this class."""
    if cls in (ListResponse, LenientListResponse):
        return {"data": list(records)}
    if cls is CreateKeysResponse:
        return {"data": records[0], "key": KEY}
    return {"data": records[0]}


@pytest.mark.parametrize("cls", FAST)
@pytest.mark.parametrize("sample", [RECORD, OVERSPENT, OLD_RECORD], ids=range(3))
def test_good_answers_take_the_fast_road(cls: type[Any], sample: dict[str, Any]) -> None:
    """What the service sends every day is read by the fast road, non-ASCII names included."""
    assert roads_agree(cls, as_json(answer(cls, *[sample] * 100)))
    named = answer(cls, sample | {"name": "ключ 🔑"})
    assert roads_agree(cls, json.dumps(named, ensure_ascii=False).encode())


@pytest.mark.parametrize("cls", FAST)
def test_good_answers_do_not_need_the_careful_road(
    cls: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the fast road took is not read a second time."""
    monkeypatch.delattr(_converter, "structure")
    assert type(decode(cls, as_json(answer(cls, RECORD)))) is cls


@cache
def exact(hint: Any) -> st.SearchStrategy[Any]:
    """JSON that is exactly what the annotations say; what is optional may be left out."""
    if typing.get_origin(hint) in (UnionType, typing.Union):
        return st.one_of(*map(exact, typing.get_args(hint)))
    if typing.get_origin(hint) is list:
        return st.lists(exact(typing.get_args(hint)[0]), max_size=2)
    if attrs.has(hint):
        hints = typing.get_type_hints(hint)
        fields = {field.name: exact(hints[field.name]) for field in attrs.fields(hint)}
        optional = {f.name for f in attrs.fields(hint) if f.default is not attrs.NOTHING}
        return st.fixed_dictionaries(
            {name: values for name, values in fields.items() if name not in optional},
            optional={name: fields[name] for name in optional},
        )
    return {
        str: st.text(), bool: st.booleans(), type(None): st.none(),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False),
        datetime: st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    }[hint]  # fmt: skip


@pytest.mark.parametrize("cls", PLAIN)
@FUZZ
@given(st.data())
def test_exact_responses_of_every_type_take_the_fast_road(
    cls: type[Any], data: st.DataObject
) -> None:
    """A new type takes it without a line of its own."""
    assert roads_agree(cls, as_json(data.draw(exact(cls))))


@pytest.mark.parametrize("cls", PLAIN)
@FUZZ
@given(st.data())
def test_every_type_with_a_wrong_value(cls: type[Any], data: st.DataObject) -> None:
    """One value anywhere is replaced by another, which fits or does not."""
    document = data.draw(exact(cls))
    place: Any = {"": document}
    key: Any = ""
    whole = place
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.integers(0, 4)):
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
    place[key] = data.draw(NUMBERS | TIMESTAMPS | VALUES)
    text = json.dumps(whole[""], ensure_ascii=data.draw(st.booleans()))
    roads_agree(cls, text.encode(errors="surrogatepass"))


def test_the_fast_road_reads_what_attrs_would_build() -> None:
    """Msgspec ignores converters and aliases, so no record that it builds has any."""

    def records(hint: Any) -> Iterator[Any]:
        if attrs.has(hint):
            yield hint
            for inner in typing.get_type_hints(hint).values():
                yield from records(inner)
        for inner in typing.get_args(hint):
            yield from records(inner)

    for cls in PLAIN:
        for record_class in records(cls):
            for field in attrs.fields(record_class):
                assert (field.converter, field.alias) == (None, field.name)


CURRENT = {"label": "sk-or-v1-5e5...e5e", "usage": 1, "is_free_tier": True}


@pytest.mark.parametrize(
    ("cls", "document"),
    [
        (GetCurrentKeyResponse, CURRENT | {"expires_at": "@"}),
        (GetCurrentKeyResponse, CURRENT | {"budgets": [{}, {"resets_at": "@"}]}),
        (ListWorkspacesResponse, [{"id": "1", "name": "a", "created_at": "@"}]),
    ],
)
@pytest.mark.parametrize("zone", ["+01:00", "", "Z"])
def test_nested_timestamps(cls: type[Any], document: Any, zone: str) -> None:
    """A timestamp anywhere in a record is in UTC, or the careful road reads it."""
    body = as_json({"data": document}).replace(b"@", b"2025-01-01T00:00:00" + zone.encode())
    assert roads_agree(cls, body) is (zone == "Z")


@pytest.mark.parametrize("field", ["created_at", "updated_at", "expires_at", "last_used_at"])
@pytest.mark.parametrize("text", ["2025-01-01T00:00:00+01:00", "2025-01-01T00:00:00"])
def test_other_zones_take_the_careful_road(field: str, text: str) -> None:
    """The fast road would keep another zone, and take no zone for none: it declines."""
    body = as_json({"data": [record(), record(**{field: text})]})
    assert not roads_agree(ListResponse, body)


NAMES = [*RECORD, "key", "data", "new", "", "ключ"]
TIMESTAMPS = st.sampled_from(
    [
        "2025-08-24T10:30:00Z", "2025-08-24T10:30:00.123Z", "2025-02-19T20:52:27.363244+00:00",
        "2025-08-24T10:30:00+02:00", "2025-08-24T10:30:00-00:00", "2025-08-24T10:30:00",
        "2025-08-24", "2025-08-24 10:30:00Z", "2025-08-24t10:30:00z", "2025-08-24T24:00:00Z",
        "2025-08-24T10:30:60Z", "2025-08-24T10:30:00.1234567890Z", "2025-08-24T10:30:00,5Z",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999999Z", "2025-08-24T10:30:00+0000",
        "20250824T103000Z", "2025-W34-7T10:30:00Z", "",
    ]
)  # fmt: skip
NUMBERS = st.integers() | st.integers(-(10**400), 10**400) | st.floats()
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | TIMESTAMPS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys([*USAGES, "limit", "limit_remaining"], NUMBERS),
    **dict.fromkeys(["disabled", "include_byok_in_limit"], st.booleans()),
    **dict.fromkeys(["created_at", "updated_at", "expires_at", "last_used_at"], TIMESTAMPS),
}


@st.composite
def records(draw: st.DrawFn) -> Any:
    """A record with some fields changed, most of them to something that fits; or anything."""
    changed: dict[str, Any] = dict(draw(st.sampled_from([RECORD, OVERSPENT, OLD_RECORD])))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4)):
        kind = draw(st.sampled_from(["fits", "fits", "fits", "null", "missing", "anything"]))
        changed.pop(name, None)
        if kind == "fits":
            changed[name] = draw(LIKELY.get(name, st.text()))
        elif kind != "missing":
            changed[name] = draw(VALUES) if kind == "anything" else None
    return changed if draw(st.integers(0, 20)) else draw(VALUES)


@st.composite
def answers(draw: st.DrawFn) -> tuple[type[Any], bytes]:
    """A class, and an answer of it in one of the ways to write JSON."""
    cls = draw(st.sampled_from(FAST))
    document = answer(cls, *draw(st.lists(records(), min_size=1, max_size=3)))
    if draw(st.booleans()):
        document |= draw(st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES, max_size=2))
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 1]))
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    return cls, text.encode(errors="surrogatepass")


@pytest.fixture(autouse=True)
def _long_ints() -> Iterator[None]:
    """Let tests write ints that the package must survive."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


@MORE
@given(answers())
def test_generated_answers(given: tuple[type[Any], bytes]) -> None:
    """Answers that are right, nearly right, or wrong in a value."""
    roads_agree(*given)


PIECES = [
    b'"', b"\\", b"\\u", b"\\ud800", b"\\ud83d\\ude00", b"{", b"}", b"[", b"]", b",", b":", b"0",
    b"-", b"+", b".", b"E", b"1e400", b"-0", b"01", b"9" * 30, b"9" * 400, b"9" * 5000, b"null",
    b"true", b"NaN", b"Infinity", b"\0", b"\x1f", b"\x7f", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"\t", b"\x0c", b"\xc2\xa0", b"/", b"\\/", b"\\x", b"+02:00", b"-00:00", b"z",
    b'"hash":"x",', b'"limit":null,', b'"data":[],', b'"created_at":"2025-01-01T00:00:00Z",',
    b"/**/", b"1e-400", b"4.9406564584124654e-324", b"2.2250738585072011e-308", b"9007199254740993",
    b"18446744073709551616", b"0.1e1", b".5", b"1.",
]  # fmt: skip


@MORE
@given(st.data())
def test_damaged_bytes(data: st.DataObject) -> None:
    """Good documents in which bytes were replaced, cut out, moved or put in."""
    cls = data.draw(st.sampled_from(FAST))
    keys = [RECORD | {"new": {"a": [1, -2.5e-3, "\n", None]}}, OLD_RECORD]
    body = bytearray(as_json({"more": [True]} | answer(cls, *keys)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body)))
        end = place + data.draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20]))
        body[place:end] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))
    roads_agree(cls, bytes(body))


@MORE
@given(st.data(), st.sampled_from([*RECORD, "new", "key"]), st.sampled_from(PIECES))
@example(None, "new", b'"\xff"')
@example(None, "new", b'"\\ud800"')
@example(None, "new", b"9" * 5000)
@example(None, "limit", b"9" * 5000)
@example(None, "limit", b"1e400")
@example(None, "limit", b"-0")
@example(None, "name", b'"\\ud800"')
@example(None, "key", b'"\\ud800"')
@example(None, "key", b'""')
@example(None, "name", b'"a\0b"')
def test_odd_tokens(data: st.DataObject | None, field: str, piece: bytes) -> None:
    """A field's whole value is replaced by what is hardly, or not, a value."""
    token = piece
    if data is not None and data.draw(st.booleans()):
        token = data.draw(st.sampled_from([b'"%b"', b"[%b]", b'{"a":%b}', b"1%b", b"%b1"])) % piece
    for cls in (GetKeyResponse, CreateKeysResponse):
        document = answer(cls, RECORD if field == "key" else RECORD | {field: "@"})
        if field == "key":
            document["key"] = "@"
        roads_agree(cls, as_json(document).replace(b'"@"', token))


@FUZZ
@given(st.binary() | st.text().map(str.encode), st.sampled_from(FAST))
def test_any_bytes(body: bytes, cls: type[Any]) -> None:
    """Bytes that have nothing to do with it."""
    assert not roads_agree(cls, body)


@pytest.mark.parametrize("depth", [10, 100, 100_000])
def test_depth(depth: int) -> None:
    """Nesting in an unknown field is skipped while that is possible, and never crashes."""
    nested = b"[" * depth + b"]" * depth
    body = as_json({"data": RECORD})[:-1] + b',"deep":' + nested + b"}"
    assert roads_agree(GetKeyResponse, body) is (depth < 1000)


def test_the_record_has_no_field_that_the_fast_road_cannot_check() -> None:
    """Only text, numbers, flags and timestamps, so that a new kind of field is thought about."""
    kinds = {str(kind).partition(" | None")[0] for kind in APIKey.__annotations__.values()}
    assert kinds == {"str", "bool", "float", "Timestamp"}
