"""Pages of keys: how one is fetched, which are fetched before their turn, and what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from openrouter_async._operations import LIST, PAGE_SIZE, ListKeys, Operation
from openrouter_async._options import CallOptions
from openrouter_async.errors import ResponseValidationError
from openrouter_async.models import APIKey, LenientListResponse

if TYPE_CHECKING:
    from openrouter_async._caller import Caller

LENIENT_LIST: Final = Operation(
    name=LIST.name, method=LIST.method, path=LIST.path, takes=LIST.takes,
    returns=LenientListResponse, success=LIST.success, retry=LIST.retry, errors=LIST.errors,
    doc=LIST.doc,
)  # fmt: skip
"""`list`, except that records that cannot be read are set aside."""
OVERLAP: Final = 5
"""Rows that a page shares with the one before: so many deletions between the two do no harm.

Half of the page where that is less."""
FIRST_AHEAD: Final = 4
"""Pages that may be ahead of the walk after the first one; one more with each page taken."""
WINDOWS_AHEAD: Final = 6
"""Pages that may ever be ahead of the walk, in flight or waiting, in windows."""
KNOWN_AHEAD: Final = 48
"""Pages that should be known to exist before they are requested, so that the window stays full."""
PROBE_STEP: Final = 16
"""Pages between two probes for the end of the list, at most."""
PROBES: Final = 2
"""Probes that may be in flight while there are known pages to request."""


def stride(length: int) -> int:
    """Return how far behind the beginning of a page of so many rows the next one begins."""
    return length - min(OVERLAP, length // 2)


def _hashes_of(page: Page) -> list[str | None]:
    return [*(key.hash for key in page.keys), *(problem.hash for problem in page.problems)]


@attrs.frozen(kw_only=True)
class Page:
    """A page and the offset that it was requested at."""

    offset: int
    keys: list[APIKey]
    problems: list[ResponseValidationError]
    hashes: list[str | None] = attrs.field(
        init=False, default=attrs.Factory(_hashes_of, takes_self=True)
    )
    """Of keys and problems, as far as they can be read."""

    @property
    def length(self) -> int:
        """How many rows it has, readable or not."""
        return len(self.hashes)

    @property
    def rows(self) -> Iterator[str]:
        """What identifies each row: first the keys, then the problems."""
        yield from (key.hash for key in self.keys)
        yield from map(self.id_of, self.problems)

    @property
    def last_row(self) -> str | None:
        """What identifies the row at its end; None if it is empty."""
        for problem in self.problems:
            if problem.row == self.length - 1:
                return self.id_of(problem)
        return self.keys[-1].hash if self.keys else None

    def id_of(self, problem: ResponseValidationError) -> str:
        """Return the hash of a record that cannot be read, or else its place in the list."""
        return problem.hash or f"row {self.offset + (problem.row or 0)}"


Fetch: TypeAlias = Callable[[int], Coroutine[Any, Any, Page]]


async def fetch_page(
    caller: Caller, params: ListKeys, options: CallOptions, offset: int, *, lenient: bool
) -> Page:
    """Fetch one page; a record that cannot be read raises unless `lenient`."""
    params = attrs.evolve(params, offset=offset)
    if lenient:
        lax = await caller.call(LENIENT_LIST, params, options)
        return Page(offset=offset, keys=lax.data, problems=lax.problems)
    return Page(offset=offset, keys=(await caller.call(LIST, params, options)).data, problems=[])


class Prefetcher:
    """The pages of one list, fetched before the walk asks for them.

    Each response starts the next request; a page that arrives before its turn waits. Nearly all
    requests are for pages that exist, because the end of the list is searched for ahead of them:
    pages are probed at doubling distances, and by bisection once a short page was found, while
    those up to the last full one are fetched in order.

    It does not refer to the walk, so that a forgotten walk is freed, and its requests with it.
    """

    def __init__(self, fetch: Fetch, window: Callable[[], int]) -> None:
        """Fetch nothing yet; `window` returns how many requests may be in flight just now."""
        self._fetch = fetch
        self._window = window
        self._tasks: dict[int, asyncio.Task[Page]] = {}
        """Pages in flight or waiting for their turn, by offset."""
        self._in_flight: set[int] = set()
        """Those that have not arrived; a failed one stays."""
        self._plan(0, PAGE_SIZE)

    def _plan(self, offset: int, full: int) -> None:
        """Begin at an offset, without any knowledge of what is behind it."""
        self._full = full
        self._stride = stride(full)
        self._base = offset
        self._next = offset
        """The first page that was not requested."""
        self._known = offset
        """The last page that is known to exist."""
        self._probed = offset
        """The last page that was requested."""
        self._end: int | None = None
        """Where the first short page begins; None: not found yet."""
        self._proof: int | None = None
        """The page behind that one, which proves the end; None: no need to request it."""
        self._taken = 0

    def __len__(self) -> int:
        return len(self._tasks)

    async def take(self, offset: int, full: int) -> Page:
        """Wait for the first page and remove it; it begins at the offset or before.

        If that was not planned, or a full page has another length than was assumed, all others are
        dropped, since they are elsewhere in the list. Raises what the request raised.
        """
        if full != self._full or (self._first(offset) is None and offset != self._next):
            await self.restart(offset, full)
        first = self._first(offset)
        if first is None:
            first = offset
            self._start(offset)
        return self._remove(first, await self._tasks[first])

    def take_if_here(self, offset: int, wanted: Callable[[Page], bool]) -> Page | None:
        """Remove that page if it has arrived and is wanted; an error stays for `take`."""
        first = self._first(offset)
        if first is None or first in self._in_flight:
            return None
        page = self._tasks[first].result()
        return self._remove(first, page) if wanted(page) else None

    def _first(self, offset: int) -> int | None:
        """Return where the first page begins; None if there is none up to the offset."""
        first = min(self._tasks, default=None)
        return None if first is None or first > offset else first

    def _remove(self, first: int, page: Page) -> Page:
        del self._tasks[first]
        self._taken += 1
        return page

    async def restart(self, offset: int, full: int) -> None:
        """Drop all pages and begin anew at an offset."""
        await self.close()
        self._plan(offset, full)

    def fill(self) -> None:
        """Start as many requests as allowed; none without concurrency or after an error.

        They begin with few and grow with the pages taken, so that a walk that is left early has
        made few requests in vain.
        """
        window = self._window()
        if window == 1 or not self._taken or any(self._tasks[o].done() for o in self._in_flight):
            return
        most = min(self._taken + FIRST_AHEAD - 1, WINDOWS_AHEAD * window)
        while len(self._in_flight) < window:
            # Probes farther ahead do not count: otherwise they would hold up the pages in between.
            ahead = sum(offset < self._next for offset in self._tasks)
            offset = self._choose() if ahead < most else None
            if offset is None:
                break
            self._start(offset)

    def _choose(self) -> int | None:
        """Return which page to request; None: no other page is known to exist so far."""
        if self._proof is not None:
            proof, self._proof = self._proof, None
            return proof
        known = (self._known - self._next) // self._stride + 1
        probes = sum(offset > self._known for offset in self._in_flight)
        if known <= 0 or (known < KNOWN_AHEAD and probes < PROBES):
            probe = self._probe() if self._end is None else self._bisect(self._end)
            if probe is not None:
                return probe
        return self._next if known > 0 else None

    def _probe(self) -> int | None:
        """Return where to look for the end, at a doubled distance; None: that is too far yet."""
        known, probed = self._known - self._base, self._probed - self._base
        probe = probed + min(max(probed, self._stride), PROBE_STEP * self._stride)
        most = min(4 * (known + self._stride), known + KNOWN_AHEAD * self._stride)
        return self._base + probe if probe <= most else None

    def _bisect(self, end: int) -> int | None:
        """Return the page half way to the end; None: there is none in between."""
        out = [offset for offset in self._in_flight if self._known < offset < end]
        pages = (min(out, default=end) - self._known) // self._stride
        return self._known + pages // 2 * self._stride if pages > 1 else None

    def _start(self, offset: int) -> None:
        self._in_flight.add(offset)
        task = asyncio.create_task(_fetch_and_tell(self._fetch, offset, weakref.ref(self)))
        task.add_done_callback(_retrieve)
        self._tasks[offset] = task
        self._probed = max(self._probed, offset)
        while self._next in self._tasks:
            self._next += self._stride

    def arrived(self, page: Page) -> None:
        """Learn where the list ends, and request more."""
        self._in_flight.discard(page.offset)
        if page.length >= self._full:
            self._known = max(self._known, page.offset)
        elif self._end is None or page.offset < self._end:
            self._end = page.offset
            # A page of no more than the overlap is itself the proof.
            overlap = self._full - self._stride
            self._proof = self._end + stride(page.length) if page.length > overlap else None
        self.fill()

    async def close(self) -> None:
        """Cancel what is in flight, and wait until that is done."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._in_flight.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def __del__(self) -> None:
        for task in self._tasks.values():
            cancel_from_anywhere(task)


async def _fetch_and_tell(
    fetch: Fetch, offset: int, reference: weakref.ReferenceType[Prefetcher]
) -> Page:
    """Fetch a page for a prefetcher, which may be freed meanwhile."""
    page = await fetch(offset)
    prefetcher = reference()
    if prefetcher is not None:
        prefetcher.arrived(page)
    return page


def cancel_from_anywhere(task: asyncio.Task[Any]) -> None:
    """Cancel a task that nobody waits for any more, also from another thread than its loop's."""
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the task with it
        task.get_loop().call_soon_threadsafe(task.cancel)


def _retrieve(task: asyncio.Task[Page]) -> None:
    """Retrieve the exception so that asyncio does not log it as never retrieved."""
    if not task.cancelled():
        task.exception()


class RecentHashes:
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
