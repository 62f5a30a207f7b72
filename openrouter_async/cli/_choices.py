"""From options to the three states of a parameter: not given, null, a value. Pure."""

from __future__ import annotations

from typing import TypeVar

from openrouter_async._omitted import OMITTED, Omitted
from openrouter_async.cli._exits import CommandError

T = TypeVar("T")


def given(value: T | None) -> T | Omitted:
    """Turn an option that was not given into a parameter that is not sent."""
    return OMITTED if value is None else value


def either(yes: str, no: str, *, said_yes: bool, said_no: bool) -> bool | Omitted:
    """Make one parameter of two flags; raises `CommandError` for both at once."""
    if said_yes and said_no:
        raise CommandError(f"{yes} and {no} exclude each other")
    return said_yes if said_yes or said_no else OMITTED


def byok(*, include: bool, exclude: bool) -> bool | Omitted:
    """Make `include_byok_in_limit` of its two flags."""
    return either(
        "--include-byok-in-limit",
        "--no-include-byok-in-limit",
        said_yes=include,
        said_no=exclude,
    )
