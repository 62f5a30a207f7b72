"""What counts as a number or a bool, whatever library it comes from; none is imported for it."""

from __future__ import annotations

import operator
from numbers import Complex, Integral, Number, Rational, Real
from typing import Any, SupportsFloat, cast


def is_flag(value: object) -> bool:
    """Return whether this is a bool of Python or of NumPy."""
    cls = type(value)
    return cls is bool or (cls.__module__ == "numpy" and cls.__name__ in {"bool", "bool_"})


def whole(value: object) -> int | None:
    """Return an integer of any library as an `int`; None for anything else, bools included."""
    try:
        return None if is_flag(value) else int.__index__(_index(value))
    except Exception:  # noqa: BLE001  # whatever a foreign type raises
        return None


def _index(value: Any) -> int:
    return value if isinstance(value, int) else operator.index(value)


def real(value: object) -> int | float | None:
    """Return a real number of any library as a plain one; None for anything else, bools included.

    The result is the number that is written shortest: `Decimal("0.1")` and `numpy.float32(0.1)`
    are 0.1, though the latter is nearer to 0.10000000149. NaN and infinities are returned.
    """
    if isinstance(value, float):
        return float.__float__(value)
    count = whole(value)
    if count is not None or is_flag(value):
        return count
    try:
        return _float(value)
    except Exception:  # noqa: BLE001  # whatever a foreign type raises
        return None


def _float(value: Any) -> float | None:
    if isinstance(value, Real):
        if isinstance(value, Integral):  # durations of NumPy say so, and are none
            return None
        return float(value) if isinstance(value, Rational) else float(str(value))
    if isinstance(value, Number):  # a Decimal is no Real
        return None if isinstance(value, Complex) else float(cast("SupportsFloat", value))
    if isinstance(value, (str, bytes, bytearray)) or hasattr(value, "dtype"):
        return None  # text, dates and arrays of NumPy have `__float__` too
    return float(value) if hasattr(type(value), "__float__") else None
