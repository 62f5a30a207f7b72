"""Get many keys: bounded concurrency, one outcome for each, in order."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import attrs

from openrouter_async import _checks
from openrouter_async._concurrency import gather_or_cancel
from openrouter_async._observers import notify
from openrouter_async._operations import GET, KeyHash
from openrouter_async._options import CallOptions
from openrouter_async.errors import (
    ClientClosedError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouterError,
    WrongLoopError,
)
from openrouter_async.models import APIKey

if TYPE_CHECKING:
    from openrouter_async._caller import Caller, Throttle


class KeyState(enum.StrEnum):
    """Result of looking up a key."""

    FOUND = "found"
    GONE = "gone"
    """The service returned 404: there is no such key, or it has been deleted."""
    FAILED = "failed"
    """Unknown; the outcome's `error` has the reason."""


@attrs.frozen(kw_only=True)
class KeyOutcome:
    """Outcome of looking up one key."""

    hash: str
    state: KeyState
    key: APIKey | None = None
    """The record; None unless the key was found."""
    error: OpenRouterError | None = None
    """Why the key is gone or the lookup failed; None if it was found."""


KeyProgress: TypeAlias = Callable[[KeyOutcome, int, int], object]
"""Called with each outcome as it arrives, the number of outcomes so far, and their total.

An async function is awaited."""


FOR_THE_CALLER: Final = (
    ConfigurationError, InvalidRequestError, ClientClosedError, WrongLoopError,
)  # fmt: skip
"""Errors that are not about a single key; they end the whole run."""


async def get_many(
    throttle: Throttle,
    hashes: Iterable[str],
    *,
    progress: KeyProgress | None,
    options: CallOptions,
) -> list[KeyOutcome]:
    """Get keys by their hashes; see `client.api_keys.get_many`."""
    wanted = _checked_hashes(hashes)
    workers = min(throttle.concurrency, len(wanted))
    if progress is not None and not callable(progress):
        raise ConfigurationError("progress must be callable")
    outcomes: dict[int, KeyOutcome] = {}
    rest = iter(enumerate(wanted))

    async def work() -> None:
        for number, hash in rest:
            outcomes[number] = await _get(throttle, hash, options)
            if progress is not None:
                done = len(outcomes)
                await notify("progress", progress, outcomes[number], done, len(wanted))

    await gather_or_cancel([asyncio.create_task(work()) for _ in range(workers)])
    return [outcomes[number] for number in range(len(wanted))]


def _checked_hashes(hashes: object) -> list[str]:
    """Check each hash before anything is sent; `InvalidRequestError` names the index."""
    if isinstance(hashes, (str, bytes)) or not isinstance(hashes, Iterable):
        _checks.refuse("hashes", "an iterable of hashes")
    items = cast("Iterable[object]", hashes)
    return [_checks.key_hash(f"hashes[{number}]", hash) for number, hash in enumerate(items)]


async def _get(caller: Caller, hash: str, options: CallOptions) -> KeyOutcome:
    try:
        response = await caller.call(GET, KeyHash(hash=hash), options)
    except FOR_THE_CALLER:
        raise
    except OpenRouterError as error:
        gone = isinstance(error, NotFoundResponseError)
        state = KeyState.GONE if gone else KeyState.FAILED
        return KeyOutcome(hash=hash, state=state, error=error.with_traceback(None))
    return KeyOutcome(hash=hash, state=KeyState.FOUND, key=response.data)
