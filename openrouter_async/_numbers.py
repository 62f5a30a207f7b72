"""Recognition of numbers and bools of any library, without importing it."""

from __future__ import annotations

import operator
from numbers import Complex, Integral, Number, Rational, Real
from typing import Any, SupportsFloat, cast


def is_flag(value: object) -> bool:
    """Return whether the value is a bool of Python or NumPy."""
    cls = type(value)
    return cls is bool or (cls.__module__ == "numpy" and cls.__name__ in {"bool", "bool_"})


def whole(value: object) -> int | None:
    """Return an integer of any library as an `int`; None for anything else, bools included."""
    try:
        return None if is_flag(value) else int.__index__(_index(value))
    except Exception:  # noqa: BLE001  # a foreign type may raise anything
        return None


def _index(value: Any) -> int:
    return value if isinstance(value, int) else operator.index(value)


def real(value: object) -> int | float | None:
    """Return a real number of any library as a plain one; None for anything else, bools included.

    The result is the number with the shortest notation: `Decimal("0.1")` and `numpy.float32(0.1)`
    are 0.1, although the latter is closer to 0.10000000149. NaN and infinities are returned.
    """
    if isinstance(value, float):
        return float.__float__(value)
    count = whole(value)
    if count is not None or is_flag(value):
        return count
    try:
        return _float(value)
    except Exception:  # noqa: BLE001  # a foreign type may raise anything
        return None


def _float(value: Any) -> float | None:
    if isinstance(value, Real):
        if isinstance(value, Integral):  # a NumPy timedelta64, which is registered as an integer
            return None
        return float(value) if isinstance(value, Rational) else float(str(value))
    if isinstance(value, Number):  # a Decimal is not registered as Real
        return None if isinstance(value, Complex) else float(cast("SupportsFloat", value))
    if isinstance(value, (str, bytes, bytearray)) or hasattr(value, "dtype"):
        return None  # text must not count as a number; NumPy's dates and arrays have `__float__`
    return float(value) if hasattr(type(value), "__float__") else None
