"""Validated fields of the built-in rules; every error message names the rule and the field."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeGuard, cast

import attrs

from openrouter_async.errors import ConfigurationError

Check: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def number(default: float, *, least: float = 0.0, most: float = math.inf) -> float:
    """Build a field for a finite number from `least` to `most`."""
    return attrs.field(default=default, validator=_within(least, most))


def percents(*default: float) -> tuple[float, ...]:
    """Build a field for percentages above 0 and at most 100, which are sorted."""
    return attrs.field(default=default, converter=_sorted, validator=_check_percents)


def choice(default: str, *others: str) -> str:
    """Build a field for one of the words."""
    return attrs.field(default=default, validator=_among((default, *others)))


def _within(least: float, most: float) -> Check:
    expected = f"a number of at least {least:g}" + (
        f", at most {most:g}" if most < math.inf else ""
    )

    def check(rule: Any, field: attrs.Attribute[Any], value: object) -> None:
        if not _is_number(value) or not least <= value <= most:
            _refuse(rule, field, expected)

    return check


def _check_percents(rule: Any, field: attrs.Attribute[Any], value: object) -> None:
    items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
    if not items or not all(_is_number(each) and 0 < each <= 100 for each in items):
        _refuse(rule, field, "a list of percentages above 0, at most 100")


def _among(words: tuple[str, ...]) -> Check:
    def check(rule: Any, field: attrs.Attribute[Any], value: object) -> None:
        if value not in words:
            _refuse(rule, field, " or ".join(words))

    return check


def _sorted(value: object) -> object:
    if isinstance(value, Iterable) and not isinstance(value, str):
        items = list[Any](value)
        return tuple(sorted(set(items)) if all(map(_is_number, items)) else items)
    return value


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # False for infinity, NaN, and integers too large for a float.
    return abs(value) <= sys.float_info.max


def _refuse(rule: Any, field: attrs.Attribute[Any], expected: str) -> None:
    raise ConfigurationError(f"{rule.id}: {field.name} must be {expected}")
