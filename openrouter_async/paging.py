"""Walks over all pages of a list, though it changes meanwhile.

The service pages by offset only: a key created between two pages shifts every row (a duplicate),
a deleted one makes a row be skipped (a loss). So neighbouring pages overlap by a few rows, and a
page joins on only if it shares a row with what was seen: then nothing lies between the two, since
each page is a piece of one list without gaps. Where it does not, a page from further back is
fetched in between. This holds whatever the order in which the pages were fetched, so that several
may be fetched at once.

How many rows a full page has is up to the service, so a short page is not the last because it is
short. The list ends with a page that joins on, has no new row and fewer rows than another page had:
the service had no more to return, and all of it was seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

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
from openrouter_async._prefetch import Page, Prefetcher, RecentHashes, fetch_page
from openrouter_async.errors import PagingError, ResponseValidationError
from openrouter_async.models import APIKey, GuardrailKeyAssignment, Workspace

if TYPE_CHECKING:
    from openrouter_async._caller import Caller

T = TypeVar("T")
Row = TypeVar("Row", bound="Numbered")

OVERLAP: Final = 5
"""Rows that a page shares with the one before: so many deletions between the two do no harm.

Half of the page where that is less."""
REMEMBERED: Final = 4096
"""Rows in which duplicates are looked for; enough for those at seams, at constant memory."""
_NO_BOUND: Final = 1024
MOST_EQUAL_PAGES: Final = 3
"""Pages in a row that are the same as the one before: the server ignores `offset`."""
MOST_STALE_ROWS: Final = 2 * REMEMBERED
"""Rows in a row that are not new: more than there are where the walk had to start anew."""


class Walk(AsyncIterator[T], Generic[T]):
    """An iteration over the rows of all pages: `async for row in walk`.

    Several tasks may iterate over one walk: each row comes once, to one of them.
    """

    def __init__(self) -> None:
        self.pages: int = 0
        """How many pages were read so far, without those that were fetched in vain."""
        self._rows: deque[T] = deque()
        self._at_end = False
        self._closed = False
        self._turn = asyncio.Lock()
        """Held by the task that reads the next page."""
        self._reading: asyncio.Task[list[T]] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._rows:
            async with self._turn:
                if self._rows:
                    break
                if self.ended:
                    raise StopAsyncIteration
                self._rows.extend(await self._read_unless_closed())
        return self._rows.popleft()

    async def next_page(self) -> list[T]:
        """Return the rows that nobody has taken yet, or else the new ones of one more page.

        None come after the end, and where the walk is closed meanwhile; `ended` tells whether there
        may be more.
        """
        async with self._turn:
            if not (self._rows or self.ended):
                return await self._read_unless_closed()
            rows = list(self._rows)
            self._rows.clear()
            return rows

    async def _read_unless_closed(self) -> list[T]:
        """Read a page in a task of its own, so that `aclose` ends it and not its consumer."""
        reading = self._reading = asyncio.create_task(self._read_page())
        try:
            await asyncio.wait([reading])
        except BaseException:
            await _cancel(reading)
            if not (reading.cancelled() or reading.exception()):
                self._rows.extend(reading.result())  # somebody else may go on
            await self._release()
            raise
        finally:
            self._reading = None
        return [] if reading.cancelled() else reading.result()

    async def _read_page(self) -> list[T]:
        """Read one more page and return its new rows; sets `_at_end` behind the last one."""
        raise NotImplementedError

    async def _release(self) -> None:
        """End the requests that were begun ahead of their turn."""

    @property
    def ended(self) -> bool:
        """Whether the last page was read, or the walk was closed."""
        return self._at_end or self._closed

    async def aclose(self) -> None:
        """End the walk, also for a task that waits for a row; nothing more is fetched."""
        self._closed = True
        self._rows.clear()
        if self._reading is not None:
            await _cancel(self._reading)
        await self._release()


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended; what it raises is of no interest any more."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


class KeyWalk(Walk[APIKey]):
    """All keys that `list` would show, newest first; made by `client.api_keys.iter()`.

    A record that cannot be read raises `ResponseValidationError`; with `lenient=True` it is set
    aside in `problems`. Raises `PagingError` when page after page brings nothing new. After an
    error the walk can go on where it was. With concurrency, a walk that is left early should be
    closed by `aclose()`; one that is forgotten ends its requests by itself.
    """

    def __init__(
        self,
        caller: Caller,
        given: ListKeys,
        options: CallOptions,
        *,
        lenient: bool = False,
        window: Callable[[], int] = lambda: 1,
    ) -> None:
        """Fetch nothing yet; `window` tells, whenever it matters, how many pages at once."""
        super().__init__()
        self.refetched: int = 0
        """How many pages were fetched again because the list changed meanwhile."""
        self.problems: list[ResponseValidationError] = []
        """Records that could not be read; stays empty unless `lenient`."""
        self._window = window
        self._prefetched = Prefetcher(partial(fetch_page, caller, given, options, lenient=lenient))
        self._pace = 1
        """How many pages to fetch at once at most: 1 where the end may be near and after a gap."""
        self._full = PAGE_SIZE
        """How many rows a full page is taken to have, until a shorter one turns out to be full."""
        self._longest = 0
        """How many rows the longest page had."""
        self._next = 0
        """The offset at which the page after the last one should begin."""
        self._end_of_last = 0
        """The offset behind the last row of the last page."""
        self._last: list[str | None] = []
        """The hashes of the last page."""
        self._repeats = False
        """Whether the last page was the same as the one before."""
        self._stale_pages = self._stale_rows = 0
        """How many pages in a row brought no new hash, and their rows."""
        self._seen = RecentHashes(REMEMBERED)
        self._verified = True

    @property
    def complete(self) -> bool:
        """Whether the walk is over, and every seam between two pages and the end were verified.

        It assumes that the service's order is stable; a key that was moved to another workspace
        meanwhile is outside the promise.
        """
        return self._at_end and self._verified

    async def _read_page(self) -> list[APIKey]:
        """Return the new keys of the next page and of any prefetched pages that have arrived."""
        try:
            if self._is_stuck():
                return []
            new = self._take(await self._next_that_joins_on())
            while not self._at_end and (page := self._prefetched.first_if_here(self._joins_on)):
                new += self._take(page)
        except BaseException:
            await self._release()
            raise
        if self._at_end:
            await self._release()
        else:
            self._fetch_ahead()
        return new

    async def _release(self) -> None:
        await self._prefetched.close()

    def _fetch_ahead(self) -> None:
        """Fill the window with requests; without concurrency each page is fetched on demand."""
        window = min(self._window(), self._pace)
        while window > 1 and len(self._prefetched) < window:
            last = self._prefetched.last_offset
            self._prefetched.start(self._next if last is None else last + _stride(self._full))

    async def _next_that_joins_on(self) -> Page:
        """Return the next page, from further back where that is needed to leave no gap.

        A page at the very beginning always joins on: the walk starts anew there.
        """
        offset = self._prefetched.first_offset
        if offset is None or offset > self._next:
            page = await self._fetch(self._next)
        else:
            page = await self._prefetched.first()
        if self._joins_on(page):
            return page
        self._pace = 1
        back = OVERLAP
        while back <= REMEMBERED - PAGE_SIZE:
            self.refetched += 1
            earlier = await self._fetch(max(0, self._next - back))
            if earlier.offset == 0 or self._joins_on(earlier):
                return earlier
            back = 2 * back + OVERLAP
        self._verified = False
        return page

    async def _fetch(self, offset: int) -> Page:
        """Fetch a page in place of those that were fetched ahead, which lie elsewhere by now."""
        await self._prefetched.close()
        self._prefetched.start(offset)
        return await self._prefetched.first()

    def _joins_on(self, page: Page) -> bool:
        """Return whether the page shares a row with what was seen; the first one always joins on.

        So does an empty one behind a page of a single row, which leaves nothing to share.
        """
        if not self._seen or any(row in self._seen for row in page.rows):
            return True
        return not page.length and page.offset == self._next == self._end_of_last

    def _is_stuck(self) -> bool:
        """End the walk, or raise `PagingError`, when nothing new comes any more.

        A short page that comes whatever the offset may be all there is, as of a mocked server; the
        walk ends, but it is not `complete`.
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
        """Remember the page and return its new keys."""
        self.pages += 1
        new = [key for key in page.keys if self._seen.add(key.hash)]
        problems = [problem for problem in page.problems if self._seen.add(page.id_of(problem))]
        self.problems += problems
        length = page.length
        self._longest = max(self._longest, length)
        if (new or problems) and 0 < len(self._last) < self._full:
            self._full = self._longest  # the page before was short, and not the last
        if new or any(problem.hash for problem in problems):
            self._stale_pages = self._stale_rows = 0
        else:
            self._stale_pages += 1
            self._stale_rows += length
            self._at_end = not problems and (length < self._longest or not length)
        self._pace = min(self._pace + 1, _NO_BOUND) if length >= self._full else 1
        self._repeats = page.hashes == self._last
        self._last = page.hashes
        self._end_of_last = page.offset + length
        self._next = page.offset + _stride(length)
        return new


class Numbered(Protocol):
    """A row that has an id."""

    @property
    def id(self) -> str:
        """What tells it from all others."""
        ...


class RowsOfPage(Protocol[Row]):
    """A page that says how many rows there are on all pages."""

    @property
    def data(self) -> list[Row]:
        """Its rows."""
        ...

    @property
    def total_count(self) -> int | None:
        """How many rows there are; None: the service did not say."""
        ...


def _stride(length: int) -> int:
    """Return how far from the beginning of a page of so many rows the next one begins."""
    return length - min(OVERLAP, length // 2)


class PagedWalk(Walk[Row], Generic[Row]):
    """All rows of a list whose pages have `limit` and `total_count`, as all but that of keys do."""

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
        """Whether the walk is over and the list did not change meanwhile, by its total."""
        return self._at_end and self._totals <= {None, len(self._seen)}

    async def _read_page(self) -> list[Row]:
        given = OnePage(offset=self._offset, limit=PAGE_SIZE)
        page = await self._caller.call(self._operation, given, self._options)
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
                offset=given.offset,
            )
        return new


class WorkspaceWalk(PagedWalk[Workspace]):
    """All workspaces; made by `client.workspaces.iter()`."""

    def __init__(self, caller: Caller, options: CallOptions) -> None:
        super().__init__(caller, LIST_WORKSPACES, "workspace", options)


class KeyAssignmentWalk(PagedWalk[GuardrailKeyAssignment]):
    """All guardrails that are assigned to keys: a rotation looks for its key among them."""

    def __init__(self, caller: Caller, options: CallOptions) -> None:
        super().__init__(caller, LIST_KEY_ASSIGNMENTS, "assignment", options)
