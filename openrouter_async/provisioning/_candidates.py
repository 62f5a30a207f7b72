"""Keys that could be the one that an ambiguous create made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Protocol

from openrouter_async._core import Client
from openrouter_async._operations import LIST, PAGE_SIZE, ListKeys, Operation
from openrouter_async._options import CallOptions
from openrouter_async._settings import checked_seconds
from openrouter_async.models import APIKey, LenientListResponse

SKEW: Final = timedelta(minutes=5)
"""How far the service's clock may be from this machine's."""
_OVERLAP: Final = 5
"""Rows that neighbouring pages share, since rows move when keys are deleted."""
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 8.0

_LENIENT_LIST: Final[Operation[ListKeys, LenientListResponse]] = Operation(
    name=LIST.name, method=LIST.method, path=LIST.path, takes=ListKeys,
    returns=LenientListResponse, success=LIST.success, retry=LIST.retry, errors=LIST.errors,
    doc=LIST.doc,
)  # fmt: skip


class Trace(Protocol):
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
    client: Client, trace: Trace, within: float, options: CallOptions
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


async def _look(client: Client, trace: Trace, options: CallOptions) -> list[APIKey]:
    """Look through the workspace's keys, newest first, back to where the create was begun."""
    found: dict[str, APIKey] = {}
    offset = 0
    while True:
        given = ListKeys(
            include_disabled=True,
            include_expired=True,
            offset=offset,
            workspace_id=trace.workspace_id,
        )
        page = await client.call(_LENIENT_LIST, given, options)
        found.update((key.hash, key) for key in page.data if could_be(key, trace))
        oldest = page.data[-1].created_at if page.data else None
        too_old = oldest and trace.not_before and oldest < trace.not_before - SKEW
        if page.length < PAGE_SIZE or too_old or offset > _FARTHEST:
            return list(found.values())
        offset += PAGE_SIZE - _OVERLAP


_FARTHEST: Final = 1_000_000
"""Rows; a server that ignores `offset` would have no end."""


def could_be(key: APIKey, trace: Trace) -> bool:
    """Say whether the key could be the one: its hash if that was seen, else name and time."""
    if trace.hash is not None:
        return key.hash == trace.hash
    early, late = trace.not_before, trace.not_after
    return (
        key.name == trace.name
        and (early is None or key.created_at >= early - SKEW)
        and (late is None or key.created_at <= late + SKEW)
    )
