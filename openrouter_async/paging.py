"""Walks over all pages of a list that may change at any time.

The service pages by offset only: a key created between two pages shifts every row (a duplicate),
a deleted one causes a row to be skipped (a loss). So neighbouring pages overlap by a few rows, and
a page joins on only if it shares a row with those seen before: then nothing is missing between the
two, since each page is a piece of one list without gaps. Otherwise a page from further back is
fetched. This holds in whatever order the pages were fetched, so several may be fetched at once.

How many rows a full page has is up to the service, so a short page need not be the last. The list
ends where one more request brings nothing but the overlap: a page that joins on, has no new row and
ends with the same row as the page before. A longer page of known rows, as after many keys were
created, is believed when the next one ends with that row too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from openrouter_async._concurrency import cancel_all
from openrouter_async._operations import (
    LIST,
    LIST_KEY_ASSIGNMENTS,
    LIST_WORKSPACES,
    PAGE_SIZE,
    ListKeys,
    OnePage,
    Operation,
)
from openrouter_async._options import CallOptions
from openrouter_async._prefetch import OVERLAP, Page, Prefetcher, RecentHashes, fetch_page, stride
from openrouter_async.errors import PagingError, ResponseValidationError
from openrouter_async.models import APIKey, GuardrailKeyAssignment, Workspace

if TYPE_CHECKING:
    from openrouter_async._caller import Caller

T = TypeVar("T")
Row = TypeVar("Row", bound="Numbered")

REMEMBERED: Final = 4096
"""Rows that are remembered to detect duplicates: enough for seams, in constant memory."""
MOST_EQUAL_PAGES: Final = 3
"""Identical pages in a row that show that the server ignores `offset`."""
MOST_STALE_ROWS: Final = 2 * REMEMBERED
"""Consecutive rows that are not new: more than a walk that had to start over can meet."""


class Walk(AsyncIterator[T], Generic[T]):
    """An iteration over the rows of all pages: `async for row in walk`.

    Several tasks may iterate over one walk: each row goes to one of them.
    """

    def __init__(self) -> None:
        self.pages: int = 0
        """How many pages were read so far, not counting those that were fetched in vain."""
        self._rows: deque[T] = deque()
        self._at_end = False
        self._closed = False
        self._turn = asyncio.Lock()
        """Held by the task that reads the next page."""
        self._reading: asyncio.Task[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._rows:
            async with self._turn:
                if self._rows:
                    break
                if self.ended:
                    raise StopAsyncIteration
                await self._read_unless_closed()
        return self._rows.popleft()

    async def next_page(self) -> list[T]:
        """Return the rows that nobody has taken yet, or else the new ones of one more page.

        The list is empty after the end and when the walk is closed, and may be empty before;
        `ended` tells whether there may be more.
        """
        async with self._turn:
            if not (self._rows or self.ended):
                await self._read_unless_closed()
            rows = list(self._rows)
            self._rows.clear()
            return rows

    async def _read_unless_closed(self) -> None:
        """Read a page in a separate task, so that `aclose` cancels it and not its consumer."""
        reading = self._reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait([reading])
        except BaseException:
            await cancel_all([reading])
            await self._release()
            raise
        finally:
            self._reading = None
        if not reading.cancelled():
            reading.result()

    async def _read(self) -> None:
        # The rows are kept before the next await: if this task is cancelled, others get them.
        self._rows.extend(await self._read_page())
        if self._at_end:
            await self._release()

    async def _read_page(self) -> list[T]:
        """Read one more page and return its new rows; set `_at_end` after the last one."""
        raise NotImplementedError

    async def _release(self) -> None:
        """Cancel the requests for pages whose turn has not come."""

    @property
    def ended(self) -> bool:
        """Whether the last page was read, or the walk was closed."""
        return self._at_end or self._closed

    async def aclose(self) -> None:
        """End the walk, for tasks that wait for a row too; nothing more is fetched."""
        self._closed = True
        if self._reading is not None:
            await cancel_all([self._reading])
        self._rows.clear()
        await self._release()


class KeyWalk(Walk[APIKey]):
    """All keys that `list` would show, newest first; made by `client.api_keys.iter()`.

    A record that cannot be read raises `ResponseValidationError`; with `lenient=True` it is set
    aside in `problems`. Raises `PagingError` when page after page brings nothing new. After an
    error the walk can continue where it was. A walk that is left early should be closed by
    `aclose()`, because pages are fetched ahead; one that is garbage-collected cancels its requests.
    """

    def __init__(
        self,
        caller: Caller,
        params: ListKeys,
        options: CallOptions,
        *,
        lenient: bool = False,
        window: Callable[[], int] = lambda: 1,
    ) -> None:
        """Fetch nothing yet; `window` returns how many requests may be in flight just now."""
        super().__init__()
        self.refetched: int = 0
        """How many pages were fetched again because the list had changed."""
        self.problems: list[ResponseValidationError] = []
        """Records that could not be read; stays empty unless `lenient`."""
        fetch = partial(fetch_page, caller, params, options, lenient=lenient)
        self._prefetched = Prefetcher(fetch, window)
        self._full = PAGE_SIZE
        """How many rows a full page is assumed to have, until another page shows otherwise."""
        self._longest = 0
        """How many rows the longest page had."""
        self._next = 0
        """The offset at which the page after the last one should begin."""
        self._end_of_last = 0
        """The offset after the last row of the last page."""
        self._last: list[str | None] = []
        """The hashes of the last page."""
        self._last_row: str | None = None
        """What identifies the row at its end."""
        self._repeats = False
        """Whether the last page was identical to the one before."""
        self._ends = 0
        """How many short pages in a row end with the same row as the one before."""
        self._stale_pages = self._stale_rows = 0
        """How many pages in a row brought no new hash, and their rows."""
        self._seen = RecentHashes(REMEMBERED)
        self._verified = True

    @property
    def complete(self) -> bool:
        """Whether the walk is over, and every seam between two pages and the end were verified.

        It assumes that the service's order is stable; keys that are moved to another workspace
        during the walk are outside the promise.
        """
        return self._at_end and self._verified

    async def _read_page(self) -> list[APIKey]:
        """Return the new keys of the next page and of any prefetched pages that have arrived."""
        try:
            if self._is_stuck():
                return []
            page: Page | None = await self._next_that_joins_on()
        except BaseException:
            await self._release()
            raise
        new: list[APIKey] = []
        while page is not None and not self._at_end:
            new += self._take(page)
            page = self._prefetched.take_if_here(self._next, self._joins_on)
        self.fetch_ahead()
        return new

    def fetch_ahead(self) -> None:
        """Start as many requests as the window has room for, as after it has grown."""
        if not self.ended:
            self._prefetched.fill()

    async def _release(self) -> None:
        await self._prefetched.close()

    async def _next_that_joins_on(self) -> Page:
        """Return the next page, or one from further back if that is needed to leave no gap.

        A page at offset 0 always joins on: the walk starts over there.
        """
        page = await self._prefetched.take(self._next, self._full)
        if self._joins_on(page):
            return page
        back = OVERLAP
        while back <= REMEMBERED - PAGE_SIZE:
            self.refetched += 1
            offset = max(0, self._next - back)
            await self._prefetched.restart(offset, self._full)
            earlier = await self._prefetched.take(offset, self._full)
            if earlier.offset == 0 or self._joins_on(earlier):
                return earlier
            back = 2 * back + OVERLAP
        self._verified = False
        return page

    def _joins_on(self, page: Page) -> bool:
        """Return whether the page shares a row with those seen; the first page always joins on.

        So does an empty page after a page of a single row, which leaves no row to share.
        """
        if not self._seen or any(row in self._seen for row in page.rows):
            return True
        return not page.length and page.offset == self._next == self._end_of_last

    def _is_stuck(self) -> bool:
        """End the walk, or raise `PagingError`, if the last few pages brought nothing new.

        A short page that is returned for any offset may be the whole list, as with a mock server:
        the walk ends, but is not `complete`.
        """
        same = self._repeats and self._stale_pages >= MOST_EQUAL_PAGES
        if same and len(self._last) < PAGE_SIZE:
            self._at_end, self._verified = True, False
            return True
        if same or self._stale_rows >= MOST_STALE_ROWS:
            raise PagingError(
                "page after page brings no new key: the server seems to ignore offset",
                operation=LIST.name,
                offset=self._next,
            )
        return False

    def _take(self, page: Page) -> list[APIKey]:
        """Record the page and return its new keys."""
        self.pages += 1
        new = [key for key in page.keys if self._seen.add(key.hash)]
        problems = [problem for problem in page.problems if self._seen.add(page.id_of(problem))]
        self.problems += problems
        length = page.length
        self._longest = max(self._longest, length)
        if (new or problems) and 0 < len(self._last) < self._full:
            self._full = self._longest  # the page before was short, and not the last
        self._full = max(self._full, length)
        self._repeats = page.hashes == self._last
        same_end = page.last_row == self._last_row and length < self._longest
        # A page that is the same as the one before is no evidence: the server may ignore `offset`.
        self._ends = self._ends + 1 if same_end and (self._ends or not self._repeats) else 0
        if new or any(problem.hash for problem in problems):
            self._stale_pages = self._stale_rows = 0
        else:
            self._stale_pages += 1
            self._stale_rows += length
            proven = not length or self._ends > 1 or (self._ends == 1 and length <= OVERLAP)
            self._at_end = proven and not problems
        self._last = page.hashes
        self._last_row = page.last_row
        self._end_of_last = page.offset + length
        self._next = page.offset + stride(length)
        return new


class Numbered(Protocol):
    """A row with an id."""

    @property
    def id(self) -> str:
        """What identifies it."""
        ...


class RowsOfPage(Protocol[Row]):
    """A page with the number of rows on all pages."""

    @property
    def data(self) -> list[Row]:
        """Its rows."""
        ...

    @property
    def total_count(self) -> int | None:
        """How many rows there are; None: the service does not say."""
        ...


class PagedWalk(Walk[Row], Generic[Row]):
    """All rows of a list with `limit` and `total_count`, as every list but that of keys has."""

    def __init__(
        self,
        caller: Caller,
        operation: Operation[OnePage, Any],
        what: str,
        options: CallOptions,
    ) -> None:
        super().__init__()
        self._caller = caller
        self._operation: Operation[OnePage, RowsOfPage[Row]] = operation
        self._what = what
        self._options = options
        self._offset = 0
        self._seen: set[str] = set()
        self._totals: set[int | None] = set()

    @property
    def complete(self) -> bool:
        """Whether the walk is over and the list did not change during it, by its total."""
        return self._at_end and self._totals <= {None, len(self._seen)}

    async def _read_page(self) -> list[Row]:
        params = OnePage(offset=self._offset, limit=PAGE_SIZE)
        page = await self._caller.call(self._operation, params, self._options)
        self.pages += 1
        self._totals.add(page.total_count)
        new = [row for row in page.data if row.id not in self._seen]
        self._seen.update(row.id for row in new)
        self._offset += len(page.data)
        total = page.total_count
        self._at_end = not page.data if total is None else self._offset >= total
        if not (new or self._at_end):
            raise PagingError(
                f"a page brings no new {self._what}, and there should be more",
                operation=self._operation.name,
                offset=params.offset,
            )
        return new


class WorkspaceWalk(PagedWalk[Workspace]):
    """All workspaces; made by `client.workspaces.iter()`."""

    def __init__(self, caller: Caller, options: CallOptions) -> None:
        super().__init__(caller, LIST_WORKSPACES, "workspace", options)


class KeyAssignmentWalk(PagedWalk[GuardrailKeyAssignment]):
    """All assignments of guardrails to keys; a rotation looks for its key among them."""

    def __init__(self, caller: Caller, options: CallOptions) -> None:
        super().__init__(caller, LIST_KEY_ASSIGNMENTS, "assignment", options)
