"""Determine what a change would allow a key that it may not do now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from openrouter_async import _checks, _money
from openrouter_async._operations import UpdateKeys
from openrouter_async._options import OMITTED
from openrouter_async.models import APIKey, LimitReset

_DAYS: Final[Mapping[str | None, float]] = {
    LimitReset.DAILY: 1,
    LimitReset.WEEKLY: 7,
    LimitReset.MONTHLY: 30,
    None: float("inf"),
}


def widened_by(key: APIKey, change: UpdateKeys) -> tuple[str, ...]:
    """Return a phrase for each privilege that the change widens: enabling, limit, reset, BYOK.

    Every change of the reset counts: a longer window allows more at once, a shorter one allows it
    more often.
    """
    found = [
        _enabled(key, change.disabled),
        _limit(key, change.limit),
        _reset(key, change.limit_reset),
        _byok(key, change.include_byok_in_limit),
    ]
    return tuple(each for each in found if each)


def _enabled(key: APIKey, disabled: Any) -> str | None:
    return "enables the key" if key.disabled and _is_false(disabled) else None


def _is_false(flag: Any) -> bool:
    # Not `is False`, since NumPy has its own bool.
    return flag is not OMITTED and flag is not None and not flag


def _limit(key: APIKey, limit: Any) -> str | None:
    if limit is OMITTED or key.limit is None:
        return None
    if limit is None:
        return f"removes the limit of {key.limit:g} USD"
    new = _checks.usd("limit", limit)  # compare what will be sent
    if not _money.is_more(new, key.limit):
        return None
    return f"raises the limit from {key.limit:g} to {new:g} USD"


def _reset(key: APIKey, reset: Any) -> str | None:
    if reset is OMITTED or reset == key.limit_reset:
        return None
    now, then = _DAYS.get(key.limit_reset), _DAYS.get(reset)
    change = f"{key.limit_reset or 'never'} to {reset or 'never'}"
    if now is None or then is None:
        return f"changes the reset from {change}"
    return f"{'longer' if then > now else 'more frequent'} reset: {change}"


def _byok(key: APIKey, include: Any) -> str | None:
    if key.include_byok_in_limit and _is_false(include):
        return "usage of own provider keys no longer counts toward the limit"
    return None
