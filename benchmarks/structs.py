"""The floor with `msgspec.Struct` in place of attrs classes: the cheapest that a user can do."""

import typing
from collections.abc import Callable
from itertools import repeat
from typing import Any, Final

import attrs
import msgspec

from benchmarks import tuned
from openrouter_async.models import APIKey


def _as_struct(record: type[attrs.AttrsInstance]) -> type[msgspec.Struct]:
    """Return a struct with the fields, types and defaults of an attrs class."""
    types = typing.get_type_hints(record, include_extras=True)
    fields: list[Any] = [
        (field.name, types[field.name])
        if field.default is attrs.NOTHING
        else (field.name, types[field.name], field.default)
        for field in attrs.fields(record)
    ]
    return msgspec.defstruct(record.__name__, fields, kw_only=True, frozen=True)


KEY: Final = _as_struct(APIKey)
PAGE: Final = msgspec.defstruct("Page", [("data", list[KEY])], kw_only=True, frozen=True)  # type: ignore[valid-type]  # made at run time

decode_page: Final[Callable[[bytes], object]] = msgspec.json.Decoder(PAGE).decode


def async_list(url: str) -> object:
    """`GET /keys`, a page of 100 records, over the tuned session."""
    return tuned.requesting(url, repeat("/keys").__next__, decode_page)
