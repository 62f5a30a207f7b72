"""From JSON bytes to records and back; the attrs classes in `models` are the only schema.

Two roads read an answer. The fast one is msgspec, straight into the classes; it takes only
documents that are exactly right. The careful one, in `_careful`, says what is wrong and where,
never the value, and takes over whenever the fast one declines. They agree on every document that
the fast road takes and that is not nested deeper than `_json.DEEPEST`. The fast road needs no such
bound: it builds nothing of what the classes do not have, and msgspec skips that in so little stack
that its own guard against recursion holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from functools import cache
from typing import Any, Final, TypeVar

import attrs
import msgspec

from openrouter_async import _json
from openrouter_async._checks import key_hash
from openrouter_async._json import as_object
from openrouter_async.errors import InvalidRequestError, ResponseValidationError
from openrouter_async.models import (
    MOST_ROWS,
    APIKey,
    CreateKeysResponse,
    DeleteKeysResponse,
    GetKeyResponse,
    LenientListResponse,
    ListResponse,
    Rows,
    UpdateKeysResponse,
)
from openrouter_async.secret import looks_like_key

T = TypeVar("T")


def to_dict(model: Any) -> dict[str, Any]:
    """Turn a record or response into JSON-ready data, without secrets; timestamps end in `Z`."""
    from openrouter_async import _careful

    return _careful.unstructure(model)


def structure(type_: type[T], document: Any) -> T:
    """Turn parsed JSON into `type_`; raises `ResponseValidationError` that names the path."""
    from openrouter_async import _careful

    return _careful.structure(type_, document)


def parse_json(body: bytes) -> Any:
    """Parse the body of an answer; raises `ResponseValidationError`."""
    try:
        return _json.parse(body, most_values=MOST_VALUES)
    except ValueError as error:
        problem = f"the answer is {error}"
    raise ResponseValidationError(problem)


MOST_VALUES: Final = 50 * MOST_ROWS


@attrs.frozen(kw_only=True)
class _Created:
    """A create's answer as it is on the wire, for msgspec, which ignores converters and aliases."""

    data: APIKey
    key: str = attrs.field(repr=False)


_EXACT: Final = (ListResponse, GetKeyResponse, UpdateKeysResponse, _Created)
"""What the fast road reads."""


@cache
def _decoder(type_: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(type_).decode


def _fast(type_: type[T], body: bytes) -> T | None:
    """Take the fast road; None when it declines."""
    if type_ not in _EXACT:
        return None
    exactly: Any = type_
    try:
        response: Any = _decoder(exactly)(body)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None
    keys: list[APIKey] = response.data if type_ is ListResponse else [response.data]
    return response if _in_utc(keys) else None


def _in_utc(keys: list[APIKey]) -> bool:
    """Return whether every timestamp came in UTC; msgspec takes other zones as they are."""
    for key in keys:
        if (
            key.created_at.tzinfo is not UTC
            or ((moment := key.updated_at) is not None and moment.tzinfo is not UTC)
            or ((moment := key.last_used_at) is not None and moment.tzinfo is not UTC)
            or ((moment := key.expires_at) is not None and moment.tzinfo is not UTC)
        ):
            return False
    return True


def decode(type_: type[T], body: bytes) -> T:
    """Read a response's body as `type_`; raises `ResponseValidationError` that names the path."""
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
        whole = _fast(_Created, body)
        if whole is not None and whole.key:
            return CreateKeysResponse(data=whole.data, key=whole.key)
        document = parse_json(body)
        record = structure(_CreatedRecord, document).data
    except ResponseValidationError as error:
        problem = error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  # no memory, or an import that failed
        problem = ResponseValidationError(f"the answer cannot be read: {type(error).__name__}")
    outer = as_object(document)
    candidates = [outer.get("key"), as_object(outer.get("data")).get("key")]
    key = next((key for key in candidates if isinstance(key, str) and key), None)
    if key is None and (found := _WHOLE_KEY.search(body)):
        rescued = found[1].decode()
        key = rescued if document is None or looks_like_key(rescued) else None
    if key is None:
        why = problem.message if problem else "answer.key: missing"
        raise ResponseValidationError(why)
    return CreateKeysResponse(data=record, key=key, problem=problem)


@attrs.frozen(kw_only=True)
class _CreatedRecord:
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
            problems.append(ResponseValidationError(message, hash=_hash_of(record), row=number))
    return LenientListResponse(data=data, problems=problems)


def _hash_of(record: object) -> str | None:
    try:
        return key_hash("hash", as_object(record).get("hash"))
    except InvalidRequestError:
        return None


@attrs.frozen(kw_only=True)
class _RawPage:
    data: Rows[Any]


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
