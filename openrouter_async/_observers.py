"""Functions of the caller that are told what happens, and cannot change it."""

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
    """Call an observer, and await what it returns if it is an async function.

    What it raises is logged, by its class only; cancellation, KeyboardInterrupt and SystemExit
    pass.
    """
    try:
        result = observer(*args, **kwargs)
        if inspect.isawaitable(result):
            await result
    except Exception as error:  # noqa: BLE001  # an observer must not break the work
        _LOG.warning("%s raised %s", name, type(error).__name__)
