"""From JSON bytes to records and back; the attrs classes in `models` are the only schema.

Two roads read an answer. The fast one is msgspec, straight into the classes; it takes only
documents that are exactly right. The careful one is cattrs with strict hooks; it says what is
wrong and where, never the value, and takes over whenever the fast one declines. They agree on
every document that the fast road takes.

The hooks are strict because a coercion would lie (`"false"` is not true, `null` is no name), and
open because the service drifts (ints are floats, unknown fields and words pass).
"""

from __future__ import annotations

import json
import math
import re
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import attrs
import cattrs
import msgspec
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn

from openrouter_async.errors import ResponseValidationError
from openrouter_async.models import (
    APIKey,
    CreateKeysResponse,
    DeleteKeysResponse,
    External,
    GetKeyResponse,
    LenientListResponse,
    ListResponse,
    RateLimit,
    Timestamp,
    UpdateKeysResponse,
)

T = TypeVar("T")

_JSON_NAMES: Final[dict[type, str]] = {
    dict: "an object", list: "a list", str: "a string", bool: "a boolean",
    int: "a number", float: "a number", type(None): "null",
}  # fmt: skip


class _MismatchError(Exception):
    """A value is not what its field says; carries no value."""

    def __init__(self, expected: str, value: object = ...) -> None:
        got = _JSON_NAMES.get(type(value))
        super().__init__(f"expected {expected}" + (f", got {got}" if got else ""))


def _number(value: object, _: object) -> float:
    if type(value) is not float and type(value) is not int:
        raise _MismatchError("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _MismatchError("a finite number")
    return number


def _integer(value: object, _: object) -> int:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise _MismatchError("an integer", value)
    return value


def _boolean(value: object, _: object) -> bool:
    if type(value) is not bool:
        raise _MismatchError("a boolean", value)
    return value


def _string(value: object, _: object) -> str:
    if type(value) is not str:
        raise _MismatchError("a string", value)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise _MismatchError("a string of whole characters")
    return value


def _timestamp(value: object, _: object) -> datetime:
    if type(value) is not str:
        raise _MismatchError("a timestamp", value)
    try:
        moment: datetime = msgspec.convert(value, Timestamp)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        problem = _MismatchError("an ISO 8601 timestamp with a zone")
    raise problem


def _rate_limit(value: object, _: object) -> RateLimit | float | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return _CONVERTER.structure(as_object(value), RateLimit)
    return _number(value, None)


def _object_hook(cls: type[T], converter: cattrs.BaseConverter) -> Callable[[Any, Any], T]:
    structure = make_dict_structure_fn(cls, converter)

    def hook(value: Any, type_: Any) -> T:
        if type(value) is not dict:
            raise _MismatchError("an object", value)
        return structure(value, type_)

    return hook


_LIST: Final[Any] = list


def _list_hook(type_: Any, converter: cattrs.Converter) -> Callable[[Any, Any], list[Any]]:
    structure = list_structure_factory(type_, converter)

    def hook(value: Any, given: Any) -> list[Any]:
        if type(value) is not list:
            raise _MismatchError("a list", value)
        return list(structure(value, given))

    return hook


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    converter.register_structure_hook_factory(attrs.has, _object_hook)
    converter.register_structure_hook_factory(lambda type_: get_origin(type_) is _LIST, _list_hook)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(datetime, _timestamp)
    converter.register_structure_hook_func(
        lambda type_: type(type_) in (UnionType, typing.Union) and RateLimit in get_args(type_),
        _rate_limit,
    )
    converter.register_unstructure_hook(
        datetime, lambda moment: moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    )
    converter.register_unstructure_hook(
        CreateKeysResponse, lambda created: {"data": converter.unstructure(created.data)}
    )
    converter.register_unstructure_hook(External, lambda external: {"user": external.user})
    return converter


_CONVERTER: Final = _make_converter()


def to_dict(model: Any) -> dict[str, Any]:
    """Turn a record or response into JSON-ready data, without secrets; timestamps end in `Z`."""
    return cast("dict[str, Any]", _CONVERTER.unstructure(model))


def structure(type_: type[T], document: Any) -> T:
    """Turn parsed JSON into `type_`; raises `ResponseValidationError` that names the path."""
    try:
        return _CONVERTER.structure(document, type_)
    except Exception as error:  # noqa: BLE001  # whatever cattrs raises is a mismatch
        problem = ResponseValidationError("; ".join(_explain(error)[:_MOST_PROBLEMS]))
    raise problem


_MOST_PROBLEMS: Final = 3


def _explain(error: Exception) -> list[str]:
    if not isinstance(error, cattrs.BaseValidationError):
        return [_describe(error, None)]
    lines = cattrs.transform_error(error, path="answer", format_exception=_describe)
    return [": ".join(reversed(line.split(" @ "))) for line in lines]


def _describe(error: BaseException, _: object) -> str:
    if isinstance(error, KeyError):
        return "missing"
    return str(error) if isinstance(error, _MismatchError) else "cannot be read"


def parse_json(body: bytes) -> Any:
    """Parse UTF-8 JSON; raises `ResponseValidationError`.

    Numbers that no float can hold become infinite here and are refused where a field has them.
    """
    try:
        return json.loads(body.decode(), parse_int=_parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    raise ResponseValidationError("the answer is no JSON")


def as_object(document: object) -> dict[str, Any]:
    """Give parsed JSON if it is an object, else an empty one."""
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


_MOST_DIGITS: Final = 400


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


_FAST: Final[dict[Any, Callable[[bytes], Any]]] = {
    type_: msgspec.json.Decoder(type_).decode
    for type_ in (ListResponse, GetKeyResponse, UpdateKeysResponse)
}


def _fast(type_: type[T], body: bytes) -> T | None:
    """Take the fast road; None when it declines."""
    decode_fast = _FAST.get(type_)
    if decode_fast is None:
        return None
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into the strings that it skips
        response = decode_fast(body)
    except (ValueError, RecursionError):
        return None
    keys: list[APIKey] = response.data if type_ is ListResponse else [response.data]
    return response if all(map(_in_utc, keys)) else None


def _in_utc(key: APIKey) -> bool:
    return (
        key.created_at.tzinfo is UTC
        and (key.last_used_at is None or key.last_used_at.tzinfo is UTC)
        and (key.updated_at is None or key.updated_at.tzinfo is UTC)
        and (key.expires_at is None or key.expires_at.tzinfo is UTC)
    )


def decode(type_: type[T], body: bytes) -> T:
    """Read an answer's body as `type_`; raises `ResponseValidationError` that names the path."""
    fast = _fast(type_, body)
    if fast is not None:
        return fast
    special = _SPECIAL.get(type_)
    return special(body) if special else structure(type_, parse_json(body))


def _created(body: bytes) -> CreateKeysResponse:
    """Read the answer to a create: a whole key is never thrown away, whatever stands beside it.

    The key stands beside `data`; one guide of the service has it inside, so both are read.
    """
    document: Any = None
    record: APIKey | None = None
    problem: ResponseValidationError | None = None
    try:
        document = parse_json(body)
        record = structure(CreateKeysRecord, document).data
    except ResponseValidationError as error:
        problem = error.with_traceback(None)
    outer = as_object(document)
    candidates = [outer.get("key"), as_object(outer.get("data")).get("key")]
    key = next((key for key in candidates if isinstance(key, str) and key), None)
    if key is None and document is None and (rescued := _WHOLE_KEY.search(body)):
        key = rescued[1].decode()
    if key is None:
        raise problem or ResponseValidationError("answer.key: missing")
    return CreateKeysResponse(data=record, key=key, problem=problem)


@attrs.frozen(kw_only=True)
class CreateKeysRecord:
    """The part of a create's answer that is no secret."""

    data: APIKey


_WHOLE_KEY: Final = re.compile(rb'"key"\s*:\s*"([!#-\[\]-~]{16,})"')
_WHOLE_HASH: Final = re.compile(rb'"hash"\s*:\s*"([A-Za-z0-9_\-]{8,128})"')


def hash_seen_in(body: bytes) -> str | None:
    """Find the hash in an answer to a create that cannot be read otherwise."""
    found = _WHOLE_HASH.search(body)
    return found[1].decode() if found else None


def _lenient_page(body: bytes) -> LenientListResponse:
    whole = _fast(ListResponse, body)
    if whole is not None:
        return LenientListResponse(data=whole.data, problems=[])
    page = structure(_RawPage, parse_json(body))
    data: list[APIKey] = []
    problems: list[ResponseValidationError] = []
    for number, record in enumerate(page.data):
        try:
            data.append(structure(APIKey, record))
        except ResponseValidationError as error:
            message = error.message.replace("answer", f"answer.data[{number}]")
            problems.append(ResponseValidationError(message))
    return LenientListResponse(data=data, problems=problems)


@attrs.frozen(kw_only=True)
class _RawPage:
    data: list[Any]


def _deleted(body: bytes) -> DeleteKeysResponse:
    """Read the answer to a delete; an empty one says no less than `{"deleted":true}`."""
    document: Any = parse_json(body) if body.strip() else {}
    if not isinstance(document, dict):
        raise ResponseValidationError("answer: expected an object")
    deleted = as_object(document).get("deleted", True)
    if not isinstance(deleted, bool):
        raise ResponseValidationError("answer.deleted: expected a boolean")
    return DeleteKeysResponse(deleted=deleted)


_SPECIAL: Final[dict[Any, Callable[[bytes], Any]]] = {
    CreateKeysResponse: _created,
    DeleteKeysResponse: _deleted,
    LenientListResponse: _lenient_page,
}
