"""Amounts of money, in USD: the only place that adds, subtracts and compares them.

They are floats, so 21 - 2.1 may come out as 18.900000000000002 or as 18.899999999999999. The
service counts in billionths of a dollar: amounts that differ by less are equal. An account may
contain absurd amounts; their sums stay finite, because JSON has no infinity.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Final

_DECIMALS: Final = 9
_MOST: Final = sys.float_info.max
_DIGITS: Final = 15
"""Significant digits that a float always represents correctly."""
_MANY: Final = 1e6
"""USD from which an amount in billionths has more than `_DIGITS` digits."""


def rounded(usd: float) -> float:
    """Round an amount to a billionth of a dollar, or a large one to 15 significant digits."""
    return round(usd, _decimals(usd))


def _decimals(usd: float) -> int:
    size = abs(usd)
    return _DECIMALS if size < _MANY else max(0, _DIGITS - 1 - int(math.log10(size)))


def finite(usd: float) -> float:
    """Return an amount, with infinity replaced by the largest float."""
    if -_MOST <= usd <= _MOST:
        return usd
    return max(-_MOST, min(_MOST, usd))


def added(usd: float, more: float) -> float:
    """Return an unrounded sum, so that many amounts can be added up."""
    return finite(usd + more)


def total(amounts: Iterable[float]) -> float:
    """Return the rounded sum of all amounts."""
    return rounded(finite(sum(amounts)))


def difference(usd: float, less: float) -> float:
    """Return the first amount minus the second, 0 if they count as equal."""
    if abs(usd) < _MANY and abs(less) < _MANY:  # as nearly all amounts are
        return round(usd - less, _DECIMALS)
    return round(finite(usd - less), min(_decimals(usd), _decimals(less)))


def is_more(usd: float, than: float) -> bool:
    """Return whether the first amount is greater than the second."""
    return difference(usd, than) > 0


def differ(old: object, new: object) -> bool:
    """Return whether a field has changed; it may hold an amount, None or any other value."""
    if isinstance(old, float) and isinstance(new, float):
        return difference(old, new) != 0
    return old != new


def reaches(usd: float, percent: float, whole: float) -> bool:
    """Return whether an amount is at least `percent` percent of another."""
    return difference(usd, finite(whole * (percent / 100))) >= 0


def share(usd: float | None, whole: float | None) -> float | None:
    """Return an amount as a fraction of `whole`; None if either is unknown or `whole` is 0."""
    if usd is None or whole is None or not rounded(whole):
        return None
    return round(finite(usd / whole), _SHARE_DECIMALS)


_SHARE_DECIMALS: Final = 12
"""Few enough to hide the rounding errors of a division."""


def written(usd: float) -> str:
    """Format an amount with two decimals, or an absurdly large one with three digits."""
    return f"{usd:,.2f}" if abs(usd) < 10**_DIGITS else f"{usd:.3g}"


def exactly(usd: float) -> str:
    """Format an amount with all its decimals, at least two."""
    whole, _, cents = f"{usd:.{_DECIMALS}f}".partition(".")
    return f"{whole}.{cents.rstrip('0'):0<2}"
