"""The optional rate limit."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping


class Limiter:
    """A bucket of one second's requests, or of one request, that fills up steadily."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, per_second)
        self._left = self._capacity
        self._at = time.monotonic()

    def refusal(self) -> Mapping[str, str] | None:
        """Take one request from the bucket; None, or, if it is empty, the headers of a 429."""
        now = time.monotonic()
        self._left = min(self._capacity, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return None
        seconds = math.ceil((1 - self._left) / self._per_second)
        return {
            "Retry-After": str(seconds),
            "X-RateLimit-Limit": str(math.floor(self._capacity)),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(math.ceil(time.time() + seconds) * 1000),
        }
