"""Observers: functions of the caller that are notified of events but cannot affect the work."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Final, ParamSpec

P = ParamSpec("P")

_LOG: Final = logging.getLogger("openrouter_async")


async def notify(
    name: str, observer: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Call an observer, and await its result if that is awaitable.

    Of an exception that it raises, only the class is logged. Cancellation, KeyboardInterrupt and
    SystemExit pass.
    """
    try:
        result = observer(*args, **kwargs)
        if inspect.isawaitable(result):
            await result
    except Exception as error:  # noqa: BLE001  # an observer must not break the work
        _LOG.warning("%s raised %s", name, type(error).__name__)
