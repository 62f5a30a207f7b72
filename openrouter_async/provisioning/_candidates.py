"""Search for the keys that an ambiguous create may have made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

from openrouter_async._caller import Client
from openrouter_async._operations import ListKeys
from openrouter_async._options import CallOptions, checked_seconds
from openrouter_async.models import APIKey
from openrouter_async.paging import KeyWalk

SKEW: Final = timedelta(minutes=5)
"""How far the service's clock may differ from this machine's."""
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 8.0


class CreateTrace(Protocol):
    """What is known about a key that may exist: an `AmbiguousCreateError` or an `Unfinished`."""

    @property
    def name(self) -> str: ...
    @property
    def workspace_id(self) -> str | None: ...
    @property
    def not_before(self) -> datetime | None: ...
    @property
    def not_after(self) -> datetime | None: ...
    @property
    def hash(self) -> str | None: ...


def seconds(name: str, value: float) -> float:
    """Check a duration that, unlike a timeout, may be 0; raises `ConfigurationError`."""
    return 0.0 if value == 0 and not isinstance(value, bool) else checked_seconds(name, value)


async def find_candidates(
    client: Client, trace: CreateTrace, within: float, options: CallOptions
) -> list[APIKey]:
    """Search until a candidate appears, for at most `within` seconds (0: once), with back-off."""
    deadline = client.clock.time() + seconds("within", within)
    wait = _FIRST_WAIT
    while True:
        found = await _search(client, trace, options)
        # A key that has just been created may not be listed yet, so an empty result is not final.
        left = deadline - client.clock.time()
        if found or left <= 0:
            return found
        await client.clock.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)


async def _search(client: Client, trace: CreateTrace, options: CallOptions) -> list[APIKey]:
    """Search the workspace's keys, newest first, back to the time when the create began."""
    params = ListKeys(include_disabled=True, include_expired=True, workspace_id=trace.workspace_id)
    # Lenient: an unreadable record of another key must not end the search.
    walk = KeyWalk(client, params, options, lenient=True)
    found: list[APIKey] = []
    while not walk.ended:
        keys = await walk.next_page()
        found += [key for key in keys if could_be(key, trace)]
        if keys and trace.not_before and keys[-1].created_at < trace.not_before - SKEW:
            break
    return found


def could_be(key: APIKey, trace: CreateTrace) -> bool:
    """Return whether this could be the key: compare the hash if known, else name and time."""
    if trace.hash is not None:
        return key.hash == trace.hash
    early, late = trace.not_before, trace.not_after
    return (
        key.name == trace.name
        and (early is None or key.created_at >= early - SKEW)
        and (late is None or key.created_at <= late + SKEW)
    )
