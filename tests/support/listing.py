"""Callers without a network, whose lists of keys change while they are read."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import attrs

from openrouter_async import OMITTED, APIKey, OpenRouterError, ResponseValidationError
from openrouter_async._caller import Throttle
from openrouter_async.models import (
    GetCurrentKeyData,
    GetCurrentKeyResponse,
    LenientListResponse,
    ListResponse,
    ListWorkspacesResponse,
    Workspace,
)

PAGE = 100

SAMPLE = APIKey(
    hash="0" * 64,
    name="acme",
    label="sk-or-v1-0e6...c96",
    disabled=False,
    include_byok_in_limit=False,
    usage=0.0,
    usage_daily=0.0,
    usage_weekly=0.0,
    usage_monthly=0.0,
    byok_usage=0.0,
    byok_usage_daily=0.0,
    byok_usage_weekly=0.0,
    byok_usage_monthly=0.0,
    created_at=datetime(2026, 7, 1, tzinfo=UTC),
)


@lru_cache(50_000)
def _key(number: int, workspace_id: str | None) -> APIKey:
    name = f"key {number}"
    return attrs.evolve(SAMPLE, hash=f"{number:064x}", name=name, workspace_id=workspace_id)


class ChangingList:
    """The keys of one workspace, newest first, which may change after each page that is read.

    Responses arrive in any order: each call waits a few iterations of the loop, drawn from the
    seed, before it reads the list and again afterwards.
    """

    def __init__(
        self,
        keys: int,
        *,
        seed: int = 0,
        workspace_id: str | None = None,
        page_size: int = PAGE,
        after_page: Callable[["ChangingList"], None] | None = None,
    ) -> None:
        self.random = random.Random(f"list {seed}")
        self.made = 0
        self._workspace_id = workspace_id
        self._first = seed << 32
        self.rows: list[APIKey] = []
        self.create(keys)
        self.original = [key.hash for key in self.rows]
        self.requests: list[int] = []
        """The offsets of the requests, in the order in which they read the list."""
        self.under_way = 0
        self.most_under_way = 0
        self.answer: Callable[[int], list[APIKey]] = self.slice
        """Returns the page at an offset."""
        self.failures: dict[int, OpenRouterError] = {}
        """The error to raise, by the number of the request, from 0."""
        self.unreadable: set[str] = set()
        """Hashes of records that cannot be read."""
        self.page_size = page_size
        self.hanging: dict[int, asyncio.Event] = {}
        """For an offset: what its response waits for."""
        self.hang_after: int | None = None
        """The number of requests after which there is no response; None: there always is."""
        self._after_page = after_page

    def create(self, count: int) -> None:
        """Add new keys at the top."""
        numbers = range(self._first + self.made, self._first + self.made + count)
        new = [_key(number, self._workspace_id) for number in numbers]
        self.made += count
        self.rows[:0] = reversed(new)

    def delete(self, count: int, *, among: int | None = None) -> None:
        """Delete random keys among the first `among`; None: among all."""
        reach = min(len(self.rows), len(self.rows) if among is None else among)
        for index in sorted(self.random.sample(range(reach), min(count, reach)), reverse=True):
            del self.rows[index]

    def slice(self, offset: int) -> list[APIKey]:
        """Return the current page at an offset."""
        return self.rows[offset : offset + self.page_size]

    @property
    def stable(self) -> set[str]:
        """The hashes of keys that have been there throughout."""
        return {key.hash for key in self.rows} & set(self.original)

    async def call(self, operation: Any, given: Any, options: Any = None, **_: Any) -> Any:
        """Return the response to a request for a page."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._dawdle()
            page = self.answer(given.offset)
            failure = self.failures.get(len(self.requests))
            self.requests.append(given.offset)
            if self.hang_after is not None and len(self.requests) > self.hang_after:
                await asyncio.Event().wait()
            if given.offset in self.hanging:
                await self.hanging[given.offset].wait()
            if self._after_page is not None:
                self._after_page(self)
            await self._dawdle()
        finally:
            self.under_way -= 1
        if failure is not None:
            raise failure
        if operation.returns is ListResponse:
            return ListResponse(data=page)
        problems = [
            ResponseValidationError(f"response.data[{row}].name: missing", hash=key.hash, row=row)
            for row, key in enumerate(page)
            if key.hash in self.unreadable
        ]
        data = [key for key in page if key.hash not in self.unreadable]
        return LenientListResponse(data=data, problems=problems)

    async def _dawdle(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)


class Account:
    """A caller without a network: workspaces with their lists, the default one first."""

    def __init__(self, **keys: int) -> None:
        self.lists = {
            space: ChangingList(count, seed=number, workspace_id=space)
            for number, (space, count) in enumerate(keys.items())
        }
        self.failures: dict[str, OpenRouterError] = {}
        """The error to raise, by the name of an operation or a workspace's id."""
        self.calls: list[tuple[str, Any]] = []
        """Operation and params of each request."""
        self.under_way = 0
        self.most_under_way = 0

    async def call(
        self, operation: Any, given: Any, options: Any = None, *, throttle: Throttle | None = None
    ) -> Any:
        """Return the response to a request."""
        if throttle is not None:
            throttle.requests += 1
        self.calls.append((operation.name, given))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            if operation.name in self.failures:
                raise self.failures[operation.name]
            return await self._answer(operation, given)
        finally:
            self.under_way -= 1

    async def _answer(self, operation: Any, given: Any) -> Any:
        if operation.name == "list_workspaces":
            spaces = [Workspace(id=each, name=each.title(), slug=each) for each in self.lists]
            return ListWorkspacesResponse(data=spaces, total_count=len(spaces))
        if operation.name == "get_current_key_metadata":
            data = GetCurrentKeyData(label="sk-or-v1-5e5...e5e", usage=0.0, is_free_tier=False)
            return GetCurrentKeyResponse(data=data)
        space = next(iter(self.lists)) if given.workspace_id is OMITTED else given.workspace_id
        if space in self.failures:
            raise self.failures[space]
        return await self.lists[space].call(operation, given)
