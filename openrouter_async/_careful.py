"""The careful road: cattrs with strict hooks, which say what is wrong and where.

The hooks are strict because a coercion would lie (`"false"` is not true, `null` is no name), and
open because the service drifts (ints are floats, unknown fields and words pass). Loaded when it is
first needed: most programs only ever receive responses that are exactly right.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import attrs
import cattrs
import msgspec
from cattrs.errors import IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from openrouter_async._circles import drop_tracebacks
from openrouter_async._json import as_object
from openrouter_async.errors import ResponseValidationError
from openrouter_async.models import CreateKeysResponse, External, RateLimit, Timestamp

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
    """Make the hook of a list; unlike that of cattrs, it stops once there is enough to say."""
    (item_type,) = get_args(type_)
    structure = converter.get_structure_hook(item_type)

    def hook(value: Any, _: Any) -> list[Any]:
        if type(value) is not list:
            raise _MismatchError("a list", value)
        items: list[Any] = []
        problems: list[Exception] = []
        for index, item in enumerate(value):
            try:
                items.append(structure(item, item_type))
            except Exception as error:  # noqa: BLE001  # whatever cattrs raises is a mismatch
                error.add_note(IterableValidationNote(f"item {index}", index, item_type))
                problems.append(error)
                if len(problems) > _MOST_PROBLEMS:
                    break
        if problems:
            # Pyright looks at ExceptionGroup, which takes one argument less.
            raise IterableValidationError("list", problems, type_)  # pyright: ignore[reportCallIssue]
        return items

    return hook


def _is_bounded_list(type_: Any) -> bool:
    return get_origin(type_) is Annotated and get_origin(get_args(type_)[0]) is _LIST


def _bounded_list_hook(type_: Any, converter: cattrs.Converter) -> Callable[[Any, Any], list[Any]]:
    """Make the hook of a list whose length is bounded by msgspec's `Meta`."""
    list_type, meta = get_args(type_)
    structure = converter.get_structure_hook(list_type)

    def hook(value: Any, _: Any) -> list[Any]:
        if type(value) is list and len(value) > meta.max_length:
            raise _MismatchError(f"a list of at most {meta.max_length:,} items")
        return typing.cast("list[Any]", structure(value, list_type))

    return hook


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True)
    converter.register_structure_hook_factory(attrs.has, _object_hook)
    converter.register_structure_hook_factory(lambda type_: get_origin(type_) is _LIST, _list_hook)
    converter.register_structure_hook_factory(_is_bounded_list, _bounded_list_hook)
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


def unstructure(model: Any) -> dict[str, Any]:
    """Turn a record or response into JSON-ready data, without secrets; timestamps end in `Z`."""
    return typing.cast("dict[str, Any]", _CONVERTER.unstructure(model))


def structure(type_: type[T], document: Any) -> T:
    """Turn parsed JSON into `type_`; raises `ResponseValidationError` that names the path."""
    try:
        return _CONVERTER.structure(document, type_)
    except Exception as error:  # noqa: BLE001  # whatever cattrs raises is a mismatch
        problems = _summary(_explain(error))
        drop_tracebacks(error)
    raise ResponseValidationError(problems)


_MOST_PROBLEMS: Final = 3


def _summary(problems: list[str]) -> str:
    more = ["and more"] if len(problems) > _MOST_PROBLEMS else []
    return "; ".join([*problems[:_MOST_PROBLEMS], *more])


def _explain(error: Exception) -> list[str]:
    if not isinstance(error, cattrs.BaseValidationError):
        return [f"response: {_describe(error, None)}"]
    lines = cattrs.transform_error(error, path="response", format_exception=_describe)
    return [": ".join(reversed(line.split(" @ "))) for line in lines]


def _describe(error: BaseException, _: object) -> str:
    if isinstance(error, KeyError):
        return "missing"
    return str(error) if isinstance(error, _MismatchError) else "cannot be read"
