"""Keys that could be the one that an ambiguous create made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

from openrouter_async._caller import Client
from openrouter_async._operations import ListKeys
from openrouter_async._options import CallOptions, checked_seconds
from openrouter_async.models import APIKey
from openrouter_async.paging import KeyWalk

SKEW: Final = timedelta(minutes=5)
"""How far the service's clock may be from this machine's."""
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 8.0


class CreateTrace(Protocol):
    """What is known of a key that may exist: an `AmbiguousCreateError`, or a journal's content."""

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


def seconds(name: str, given: float) -> float:
    """Check how long to poll; 0 means once. Raises `ConfigurationError`."""
    return 0.0 if given == 0 and not isinstance(given, bool) else checked_seconds(name, given)


async def find_candidates(
    client: Client, trace: CreateTrace, within: float, options: CallOptions
) -> list[APIKey]:
    """Look until there is one, `within` seconds at most, with growing waits."""
    deadline = client.clock.time() + seconds("within", within)
    wait = _FIRST_WAIT
    while True:
        found = await _look(client, trace, options)
        left = deadline - client.clock.time()
        if found or left <= 0:
            return found
        await client.clock.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)


async def _look(client: Client, trace: CreateTrace, options: CallOptions) -> list[APIKey]:
    """Look through the workspace's keys, newest first, back to where the create was begun."""
    given = ListKeys(include_disabled=True, include_expired=True, workspace_id=trace.workspace_id)
    walk = KeyWalk(client, given, options, lenient=True)
    found: list[APIKey] = []
    while not walk.ended:
        keys = await walk.next_page()
        found += [key for key in keys if could_be(key, trace)]
        if keys and trace.not_before and keys[-1].created_at < trace.not_before - SKEW:
            break
    return found


def could_be(key: APIKey, trace: CreateTrace) -> bool:
    """Return whether the key could be the one: its hash if that was seen, else name and time."""
    if trace.hash is not None:
        return key.hash == trace.hash
    early, late = trace.not_before, trace.not_after
    return (
        key.name == trace.name
        and (early is None or key.created_at >= early - SKEW)
        and (late is None or key.created_at <= late + SKEW)
    )
