"""Walks over all pages of a list, though it changes meanwhile.

The service pages by offset only: a key created between two pages shifts every row (a duplicate),
a deleted one makes a row be skipped (a loss). So neighbouring pages overlap by a few rows, and a
page that shares no row with the one before is fetched again from further back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

import attrs

from openrouter_async._operations import LIST, LIST_WORKSPACES, PAGE_SIZE, ListKeys, ListWorkspaces
from openrouter_async._options import CallOptions
from openrouter_async.errors import PagingError, ResponseValidationError
from openrouter_async.models import APIKey, LenientListResponse, Workspace

if TYPE_CHECKING:
    from openrouter_async._call import Caller

T = TypeVar("T")

OVERLAP: Final = 5
"""Rows that a page shares with the one before: so many deletions between the two do no harm."""
REMEMBERED: Final = 4096
"""Rows in which duplicates are looked for; enough for those at seams, at constant memory."""
MOST_REFETCHES: Final = 10
"""Fetches of one page until the walk accepts that the seam cannot be verified."""
MOST_STALE_PAGES: Final = 5
"""Pages in a row without a new key until a server is taken to ignore `offset`."""


class Walk(AsyncIterator[T], Generic[T]):
    """An iteration over the rows of all pages: `async for row in walk`."""

    def __init__(self) -> None:
        self.pages: int = 0
        """How many pages were fetched so far."""
        self._rows: deque[T] = deque()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._rows:
            if self._ended:
                raise StopAsyncIteration
            self._rows.extend(await self.next_page())
        return self._rows.popleft()

    async def next_page(self) -> list[T]:
        """Fetch one more page and give its new rows; `ended` tells whether there may be more."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether the last page was fetched, or the walk was closed."""
        return self._ended

    async def aclose(self) -> None:
        """End the walk; nothing more is fetched."""
        self._ended = True
        self._rows.clear()


class KeyWalk(Walk[APIKey]):
    """All keys that `list` would show, newest first; made by `client.api_keys.iter()`.

    A record that cannot be read raises `ResponseValidationError`; with `lenient=True` it is set
    aside in `problems`. Raises `PagingError` when page after page brings nothing new.
    """

    def __init__(
        self, caller: Caller, given: ListKeys, options: CallOptions, *, lenient: bool = False
    ) -> None:
        super().__init__()
        self.refetched: int = 0
        """How many pages were fetched again because keys were deleted meanwhile."""
        self.problems: list[ResponseValidationError] = []
        """Records that could not be read; stays empty unless `lenient`."""
        self._caller = caller
        self._given = given
        self._options = options
        self._lenient = lenient
        self._verified = True
        self._offset = 0
        self._stale_pages = 0
        self._seen: deque[str] = deque(maxlen=REMEMBERED)

    @property
    def complete(self) -> bool:
        """Whether the walk is over and every seam between two pages was verified.

        It assumes that the service's order is stable; a key that was moved to another workspace
        meanwhile is outside the promise.
        """
        return self._ended and self._verified

    async def next_page(self) -> list[APIKey]:
        """Fetch one more page, again from further back while it does not fit; give its new keys."""
        page = await self._fetch(self._offset)
        step = OVERLAP
        while not self._fits(page) and self._offset > 0:
            if step > OVERLAP << MOST_REFETCHES:
                self._verified = False
                break
            self._offset = max(0, self._offset - step)
            step *= 2
            self.refetched += 1
            page = await self._fetch(self._offset)
        known = set(self._seen)
        new = [key for key in page.data if key.hash not in known]
        self._move_on(page, new)
        return new

    def _move_on(self, page: LenientListResponse, new: list[APIKey]) -> None:
        self.problems.extend(page.problems)
        self._seen.extend(key.hash for key in new)
        self._stale_pages = 0 if new or page.problems else self._stale_pages + 1
        if page.length < PAGE_SIZE:
            self._ended = True
        elif self._stale_pages == MOST_STALE_PAGES:
            raise PagingError(
                "page after page brings no new key: the server seems to ignore offset",
                operation=LIST.name,
                offset=self._offset,
            )
        self._offset += page.length - OVERLAP

    def _fits(self, page: LenientListResponse) -> bool:
        """Say whether the page shares a row with what was seen last; the first always fits."""
        recent = set(islice(reversed(self._seen), PAGE_SIZE))
        return not recent or any(key.hash in recent for key in page.data)

    async def _fetch(self, offset: int) -> LenientListResponse:
        self.pages += 1
        given = attrs.evolve(self._given, offset=offset)
        if self._lenient:
            return await self._caller.call(_LENIENT_LIST, given, self._options)
        page = await self._caller.call(LIST, given, self._options)
        return LenientListResponse(data=page.data, problems=[])


_LENIENT_LIST: Final = attrs.evolve(LIST, returns=LenientListResponse)


class WorkspaceWalk(Walk[Workspace]):
    """All workspaces; made by `client.workspaces.iter()`."""

    def __init__(self, caller: Caller, options: CallOptions) -> None:
        super().__init__()
        self._caller = caller
        self._options = options
        self._offset = 0
        self._seen: set[str] = set()

    async def next_page(self) -> list[Workspace]:
        """Fetch one more page and give its new workspaces."""
        given = ListWorkspaces(offset=self._offset, limit=PAGE_SIZE)
        page = await self._caller.call(LIST_WORKSPACES, given, self._options)
        self.pages += 1
        new = [workspace for workspace in page.data if workspace.id not in self._seen]
        self._seen.update(workspace.id for workspace in new)
        self._offset += len(page.data)
        whole = page.total_count is not None and self._offset >= page.total_count
        if not page.data or whole or (page.total_count is None and len(page.data) < PAGE_SIZE):
            self._ended = True
        elif not new:
            raise PagingError(
                "a page brings no new workspace: the server seems to ignore offset",
                operation=LIST_WORKSPACES.name,
                offset=given.offset,
            )
        return new
