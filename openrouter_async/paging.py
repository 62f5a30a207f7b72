"""Walks over all pages of a list, though it changes meanwhile.

The service pages by offset only: a key created between two pages shifts every row (a duplicate),
a deleted one makes a row be skipped (a loss). So neighbouring pages overlap by a few rows, and a
page joins on only if it shares a row with what was seen: then nothing lies between the two, since
each page is a piece of one list without gaps. Where it does not, a page from further back is
fetched in between. This holds whatever the order in which the pages were fetched, so that several
may be fetched at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, TypeVar

import attrs

from openrouter_async._operations import (
    LIST,
    LIST_WORKSPACES,
    PAGE_SIZE,
    ListKeys,
    ListWorkspaces,
    Operation,
)
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
MOST_EQUAL_PAGES: Final = 3
"""Pages in a row that are the same as the one before: the server ignores `offset`."""
MOST_STALE_PAGES: Final = REMEMBERED // PAGE_SIZE
"""Pages in a row without a new row; so many keys are not created between two pages."""

LENIENT_LIST: Final = Operation(
    name=LIST.name, method=LIST.method, path=LIST.path, takes=LIST.takes,
    returns=LenientListResponse, success=LIST.success, retry=LIST.retry, doc=LIST.doc,
)  # fmt: skip


class Walk(AsyncIterator[T], Generic[T]):
    """An iteration over the rows of all pages: `async for row in walk`."""

    def __init__(self) -> None:
        self.pages: int = 0
        """How many pages were read so far."""
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
        self._fetch = partial(_fetch, caller, given, options, lenient)
        self._ahead = _Ahead(self._fetch)
        self._next = 0
        """The offset at which the page after the last one should begin."""
        self._last: list[str | None] = []
        """The hashes of the last page."""
        self._repeats = False
        """Whether the last page was the same as the one before."""
        self._stale_pages = 0
        """How many pages in a row brought nothing new."""
        self._at_end = False
        self._seen = _Memory(REMEMBERED)
        self._verified = True

    @property
    def complete(self) -> bool:
        """Whether the walk is over and every seam between two pages was verified.

        It assumes that the service's order is stable; a key that was moved to another workspace
        meanwhile is outside the promise.
        """
        return self._ended and self._verified

    async def next_page(self) -> list[APIKey]:
        """Wait for one more page, take those along that are there too, and give their new keys."""
        try:
            self._check_progress()
            new = self._take(await self._next_that_joins_on())
            while not self._at_end and self._joining_page_is_here():
                new += self._take(await self._next_that_joins_on())
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
        window = self._window()
        while window > 1 and len(self._ahead) < window:
            self._ahead.start_after(self._next)

    def _joining_page_is_here(self) -> bool:
        page = self._ahead.first_if_here()
        return page is not None and self._joins_on(page)

    async def _next_that_joins_on(self) -> _Page:
        """Give the next page that leaves no gap; one that leaves a gap waits until it is filled."""
        while True:
            if not self._ahead:
                self._ahead.start_after(self._next)
            page = await self._ahead.first()
            if self._joins_on(page):
                break
            if page.offset >= self._next:
                return await self._from_further_back(page)
            self._ahead.drop_first()  # others that were fetched later have overtaken it
        self._ahead.drop_first()
        self.pages += 1
        return page

    async def _from_further_back(self, page: _Page) -> _Page:
        """Fetch what lies before a page that does not join on, or give the page and be unsure.

        A page at the very beginning always joins on: the walk starts anew there.
        """
        back = OVERLAP if page.offset == self._next else 0
        while back <= REMEMBERED - PAGE_SIZE:
            self.refetched += 1
            self.pages += 1
            between = await self._fetch(max(0, self._next - back))
            if between.offset == 0 or self._joins_on(between):
                return between
            back = 2 * back + OVERLAP
        self._verified = False
        self._ahead.drop_first()
        return page

    def _joins_on(self, page: _Page) -> bool:
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

    def _take(self, page: _Page) -> list[APIKey]:
        """Remember the page and give its new keys."""
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


def _hashes_of(page: _Page) -> list[str | None]:
    return [*(key.hash for key in page.keys), *(problem.hash for problem in page.problems)]


@attrs.frozen(kw_only=True)
class _Page:
    """A page, and where it was asked for."""

    offset: int
    keys: list[APIKey]
    problems: list[ResponseValidationError]
    hashes: list[str | None] = attrs.field(
        init=False, default=attrs.Factory(_hashes_of, takes_self=True)
    )
    """Of keys and problems, as far as they can be read."""

    @property
    def length(self) -> int:
        return len(self.hashes)


_Fetch: TypeAlias = Callable[[int], Coroutine[Any, Any, _Page]]


async def _fetch(
    caller: Caller,
    given: ListKeys,
    options: CallOptions,
    lenient: bool,  # noqa: FBT001  # bound by position
    offset: int,
) -> _Page:
    given = attrs.evolve(given, offset=offset)
    if lenient:
        lax = await caller.call(LENIENT_LIST, given, options)
        return _Page(offset=offset, keys=lax.data, problems=lax.problems)
    return _Page(offset=offset, keys=(await caller.call(LIST, given, options)).data, problems=[])


class _Ahead:
    """Pages that are fetched before their turn, in the order of their offsets.

    It knows nothing of the walk, so that a forgotten walk is freed, and its requests with it.
    """

    def __init__(self, fetch: _Fetch) -> None:
        self._fetch = fetch
        self._tasks: deque[asyncio.Task[_Page]] = deque()
        self._offset = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def start_after(self, offset: int) -> None:
        """Fetch one more page: at `offset` if it is the only one, else after the last of them."""
        self._offset = self._offset + PAGE_SIZE - OVERLAP if self._tasks else offset
        task = asyncio.create_task(self._fetch(self._offset))
        task.add_done_callback(_look_at)
        self._tasks.append(task)

    async def first(self) -> _Page:
        """Wait for the first page."""
        return await self._tasks[0]

    def first_if_here(self) -> _Page | None:
        """Give the first page if it came already; None also if there is an error instead."""
        task = self._tasks[0] if self._tasks else None
        here = task is not None and task.done() and not task.cancelled() and not task.exception()
        return task.result() if task is not None and here else None

    def drop_first(self) -> None:
        self._tasks.popleft()

    async def close(self) -> None:
        """Cancel what is under way, and wait until that is done."""
        tasks = list(self._tasks)
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def __del__(self) -> None:
        for task in self._tasks:
            cancel_from_anywhere(task)


def cancel_from_anywhere(task: asyncio.Task[Any]) -> None:
    """Cancel a task that nobody waits for any more, also from another thread than its loop's."""
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the task with it
        task.get_loop().call_soon_threadsafe(task.cancel)


def _look_at(task: asyncio.Task[_Page]) -> None:
    """Take note of an error that nobody may ask for; otherwise asyncio complains of it."""
    if not task.cancelled():
        task.exception()


class _Memory:
    """The last few hashes that were seen."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._order: deque[str] = deque()
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, hash: str | None) -> bool:
        return hash in self._known

    def add(self, hash: str) -> bool:
        """Remember one more and forget the oldest; False for one that is known."""
        if hash in self._known:
            return False
        if len(self._order) == self._size:
            self._known.remove(self._order.popleft())
        self._order.append(hash)
        self._known.add(hash)
        return True


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
