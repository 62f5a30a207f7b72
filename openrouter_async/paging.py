"""Walks over all pages of a list, though it changes meanwhile.

The service pages by offset only: a key created between two pages shifts every row (a duplicate),
a deleted one makes a row be skipped (a loss). So neighbouring pages overlap by a few rows, and a
page joins on only if it shares a row with what was seen: then nothing lies between the two, since
each page is a piece of one list without gaps. Where it does not, a page from further back is
fetched in between. This holds whatever the order in which the pages were fetched, so that several
may be fetched at once.
"""

from __future__ import annotations

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
from openrouter_async._pages import Ahead, Memory, Page, fetch_page
from openrouter_async.errors import PagingError, ResponseValidationError
from openrouter_async.models import APIKey, GuardrailKeyAssignment, Workspace

if TYPE_CHECKING:
    from openrouter_async._core import Caller

T = TypeVar("T")
Row = TypeVar("Row", bound="Numbered")

OVERLAP: Final = 5
"""Rows that a page shares with the one before: so many deletions between the two do no harm."""
REMEMBERED: Final = 4096
"""Rows in which duplicates are looked for; enough for those at seams, at constant memory."""
_NO_BOUND: Final = 1024
MOST_EQUAL_PAGES: Final = 3
"""Pages in a row that are the same as the one before: the server ignores `offset`."""
MOST_STALE_PAGES: Final = 2 * REMEMBERED // PAGE_SIZE
"""Pages in a row without a new row: more than there are where the walk had to start anew."""


class Walk(AsyncIterator[T], Generic[T]):
    """An iteration over the rows of all pages: `async for row in walk`."""

    def __init__(self) -> None:
        self.pages: int = 0
        """How many pages were read so far, without those that were fetched in vain."""
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
        """Read one more page and give its new rows; `ended` tells whether there may be more."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether the last page was read, or the walk was closed."""
        return self._ended

    async def aclose(self) -> None:
        """End the walk; nothing more is fetched."""
        self._ended = True
        self._rows.clear()


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
        self._fetch = partial(fetch_page, caller, given, options, lenient=lenient)
        self._ahead = Ahead(self._fetch, PAGE_SIZE - OVERLAP)
        self._pace = _NO_BOUND
        """How many pages the list's changes allow to fetch at once: 1 after a gap, then growing."""
        self._next = 0
        """The offset at which the page after the last one should begin."""
        self._last: list[str | None] = []
        """The hashes of the last page."""
        self._repeats = False
        """Whether the last page was the same as the one before."""
        self._stale_pages = 0
        """How many pages in a row brought nothing new."""
        self._at_end = False
        self._seen = Memory(REMEMBERED)
        self._verified = True

    @property
    def complete(self) -> bool:
        """Whether the walk is over and every seam between two pages was verified.

        It assumes that the service's order is stable; a key that was moved to another workspace
        meanwhile is outside the promise.
        """
        return self._at_end and self._verified

    async def next_page(self) -> list[APIKey]:
        """Wait for one more page, take those along that are there too, and give their new keys."""
        try:
            self._check_progress()
            new = self._take(await self._next_that_joins_on())
            while not self._at_end and (page := self._ahead.first_if_here(self._joins_on)):
                new += self._take(page)
        except BaseException:
            await self._ahead.close()
            raise
        if self._at_end:
            await self.aclose()
        else:
            self._fetch_ahead()
        return new

    async def aclose(self) -> None:
        """End the walk; nothing more is fetched."""
        await super().aclose()
        await self._ahead.close()

    def _fetch_ahead(self) -> None:
        """Fill the window with requests; without concurrency each page is fetched on demand."""
        window = min(self._window(), self._pace)
        while window > 1 and len(self._ahead) < window:
            self._ahead.start(self._next)
        self._pace = min(self._pace + 1, _NO_BOUND)

    async def _next_that_joins_on(self) -> Page:
        """Give the next page, from further back where that is needed to leave no gap.

        A page at the very beginning always joins on: the walk starts anew there.
        """
        if not self._ahead:
            self._ahead.start(self._next)
        page = await self._ahead.first()
        if self._joins_on(page):
            return page
        self._pace = 1
        await self._ahead.close()  # what was fetched before the list has moved
        back = OVERLAP
        while back <= REMEMBERED - PAGE_SIZE:
            self.refetched += 1
            earlier = await self._fetch(max(0, self._next - back))
            if earlier.offset == 0 or self._joins_on(earlier):
                return earlier
            back = 2 * back + OVERLAP
        self._verified = False
        return page

    def _joins_on(self, page: Page) -> bool:
        """Say whether the page shares a row with what was seen; the first one always joins on."""
        return not self._seen or any(hash in self._seen for hash in page.hashes)

    def _check_progress(self) -> None:
        """Raise `PagingError` when nothing new comes any more."""
        most = MOST_EQUAL_PAGES if self._repeats else MOST_STALE_PAGES
        if self._stale_pages >= most:
            raise PagingError(
                "page after page brings no new key: the server seems to ignore offset",
                operation=LIST.name,
                offset=self._next,
            )

    def _take(self, page: Page) -> list[APIKey]:
        """Remember the page and give its new keys."""
        self.pages += 1
        new = [key for key in page.keys if self._seen.add(key.hash)]
        problems = [
            problem
            for problem in page.problems
            if self._seen.add(problem.hash or f"row {page.offset + (problem.row or 0)}")
        ]
        self.problems += problems
        self._stale_pages = 0 if new or problems else self._stale_pages + 1
        self._repeats = page.hashes == self._last
        self._last = page.hashes
        self._next = page.offset + page.length - OVERLAP
        self._at_end = page.length < PAGE_SIZE
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
        return self._ended and self._totals <= {None, len(self._seen)}

    async def next_page(self) -> list[Row]:
        """Fetch one more page and give its new rows."""
        given = OnePage(offset=self._offset, limit=PAGE_SIZE)
        page = await self._caller.call(self._operation, given, self._options)
        self.pages += 1
        self._totals.add(page.total_count)
        new = [row for row in page.data if row.id not in self._seen]
        self._seen.update(row.id for row in new)
        self._offset += len(page.data)
        whole = page.total_count is not None and self._offset >= page.total_count
        if not page.data or whole or (page.total_count is None and len(page.data) < PAGE_SIZE):
            self._ended = True
        elif not new:
            raise PagingError(
                f"a page brings no new {self._what}: the server seems to ignore offset",
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
