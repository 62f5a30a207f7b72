"""Values of options and arguments, read without pydantic where typer would import it.

That import takes a third of the time that aiohttp's does. typer needs it to convert a word to a
number or a path, and for its error messages, which therefore stay as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from types import NoneType
from typing import Any, cast, get_args, get_origin

from typer.core import TyperCommand, TyperGroup


class QuickGroup(TyperGroup):
    """A group whose options are read quickly."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options; a typer method."""
        return [_quick(param, NoneType) for param in super().get_params(ctx)]


class QuickCommand(TyperCommand):
    """A command whose options and arguments are read quickly."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options and arguments; a typer method."""
        declared = inspect.signature(cast("Callable[..., Any]", self.callback)).parameters
        kinds = {name: _kind_of(each.annotation) for name, each in declared.items()}
        return [_quick(param, kinds.get(param.name, NoneType)) for param in super().get_params(ctx)]


def _quick(param: Any, kind: type) -> Any:
    """Make a parameter leave values of this type as they are, and None."""
    if "process_value" not in vars(param):
        param.process_value = partial(_value, param, kind, param.process_value)
    return param


def _value(
    param: Any, kind: type, process: Callable[[Any, Any], Any], context: Any, value: Any
) -> Any:
    """Return the value of a parameter as its type; `process` is typer's own way."""
    if not value and value != "" and not param.required:
        return value  # omitted, or false, or zero
    words = value if isinstance(value, (list, tuple)) else [value]
    if words and all(isinstance(word, kind) for word in words):
        return value
    if issubclass(kind, Enum):
        with suppress(ValueError):
            return kind(value)
    return process(context, value)


def _kind_of(annotation: Any) -> type:
    """Return the type in `Annotated[list[T] | None, ...]`, of which both may be missing."""
    hint = get_args(annotation)[0]
    kind = next((each for each in get_args(hint) if each is not NoneType), hint)
    return kind if isinstance(kind, type) and get_origin(kind) is None else get_args(kind)[0]
