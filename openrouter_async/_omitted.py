"""The third state of a parameter: not given at all."""

from __future__ import annotations

import enum
from typing import Final, Literal


class Omitted(enum.Enum):
    """The type of `OMITTED`; an enum, because type checkers narrow those by `is`."""

    OMITTED = "omitted"

    def __repr__(self) -> str:
        return "OMITTED"

    def __bool__(self) -> Literal[False]:
        return False


OMITTED: Final = Omitted.OMITTED
"""The parameter was not given: nothing is sent for it, and the service keeps what it has.

`None` is a value of its own where the service knows `null` (`limit=None` removes a cap).
"""
