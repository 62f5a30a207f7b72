"""Amounts of money, in USD: the only place that adds, subtracts and compares them.

Floats carry them, so that 21 - 2.1 is 18.900000000000002 for one and 18.899999999999999 for
another. The service counts down to a billionth of a dollar: what differs by less is equal. An
account may hold the most absurd figures; sums of them stay finite, since JSON knows no infinity.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Final

_DECIMALS: Final = 9
_MOST: Final = sys.float_info.max
_DIGITS: Final = 15
"""What a float can tell for sure."""
_MANY: Final = 1e6
"""USD, from which on there are more than `_DIGITS` down to a billionth."""


def rounded(usd: float) -> float:
    """Return an amount as money has it: to a billionth of a dollar, of large ones to 15 digits."""
    return round(usd, _decimals(usd))


def _decimals(usd: float) -> int:
    size = abs(usd)
    return _DECIMALS if size < _MANY else max(0, _DIGITS - 1 - int(math.log10(size)))


def finite(usd: float) -> float:
    """Return an amount, or the largest that there is in place of infinity."""
    return max(-_MOST, min(_MOST, usd))


def added(usd: float, more: float) -> float:
    """Return a sum; it is not rounded, so that many can be added up."""
    return finite(usd + more)


def total(amounts: Iterable[float]) -> float:
    """Return the sum of all."""
    return rounded(finite(sum(amounts)))


def difference(usd: float, less: float) -> float:
    """Return what the first amount is above the second, 0 if they are equal."""
    return round(finite(usd - less), min(_decimals(usd), _decimals(less)))


def is_more(usd: float, than: float) -> bool:
    """Return whether the first amount is greater."""
    return difference(usd, than) > 0


def differ(old: object, new: object) -> bool:
    """Return whether a field has changed, be it an amount, unknown, or anything else."""
    if isinstance(old, float) and isinstance(new, float):
        return difference(old, new) != 0
    return old != new


def reaches(usd: float, percent: float, whole: float) -> bool:
    """Return whether an amount is at least so many percent of another."""
    return difference(usd, finite(whole * (percent / 100))) >= 0


def share(usd: float | None, whole: float | None) -> float | None:
    """Return an amount as a part of another, 1 for all; None where either is unknown or it is 0."""
    if usd is None or whole is None or not rounded(whole):
        return None
    return round(finite(usd / whole), _SHARE_DECIMALS)


_SHARE_DECIMALS: Final = 12
"""Without what floats add to a division."""


def written(usd: float) -> str:
    """Write an amount with two decimals; what no account ever holds, with three digits."""
    return f"{usd:,.2f}" if abs(usd) < 10**_DIGITS else f"{usd:.3g}"


def exactly(usd: float) -> str:
    """Write an amount with all its digits, at least its cents."""
    whole, _, cents = f"{usd:.{_DECIMALS}f}".partition(".")
    return f"{whole}.{cents.rstrip('0'):0<2}"
