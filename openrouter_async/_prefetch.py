"""Pages of keys: how one is fetched, those that are fetched before their turn, what was seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from openrouter_async._operations import LIST, ListKeys, Operation
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
"""`list`, but records that cannot be read are set aside."""


def _hashes_of(page: Page) -> list[str | None]:
    return [*(key.hash for key in page.keys), *(problem.hash for problem in page.problems)]


@attrs.frozen(kw_only=True)
class Page:
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
        """How many rows it has, readable or not."""
        return len(self.hashes)

    @property
    def rows(self) -> Iterator[str]:
        """What identifies each row."""
        yield from (key.hash for key in self.keys)
        yield from map(self.id_of, self.problems)

    def id_of(self, problem: ResponseValidationError) -> str:
        """Return the hash of a record that cannot be read, or else its place in the list."""
        return problem.hash or f"row {self.offset + (problem.row or 0)}"


Fetch: TypeAlias = Callable[[int], Coroutine[Any, Any, Page]]


async def fetch_page(
    caller: Caller, given: ListKeys, options: CallOptions, offset: int, *, lenient: bool
) -> Page:
    """Fetch one page; a record that cannot be read raises unless `lenient`."""
    given = attrs.evolve(given, offset=offset)
    if lenient:
        lax = await caller.call(LENIENT_LIST, given, options)
        return Page(offset=offset, keys=lax.data, problems=lax.problems)
    return Page(offset=offset, keys=(await caller.call(LIST, given, options)).data, problems=[])


class Prefetcher:
    """Pages that are fetched before their turn, in the order of their offsets.

    It knows nothing of the walk, so that a forgotten walk is freed, and its requests with it.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._tasks: deque[tuple[int, asyncio.Task[Page]]] = deque()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def first_offset(self) -> int | None:
        """Where the first page begins; None if there is none."""
        return self._tasks[0][0] if self._tasks else None

    @property
    def last_offset(self) -> int | None:
        """Where the last page begins; None if there is none."""
        return self._tasks[-1][0] if self._tasks else None

    def start(self, offset: int) -> None:
        """Fetch one more page, the last of them."""
        task = asyncio.create_task(self._fetch(offset))
        task.add_done_callback(_look_at)
        self._tasks.append((offset, task))

    async def first(self) -> Page:
        """Wait for the first page and take it away; raises what its request raised."""
        page = await self._tasks[0][1]
        self._tasks.popleft()
        return page

    def first_if_here(self, wanted: Callable[[Page], bool]) -> Page | None:
        """Take the first page away if it has come and is wanted; an error stays where it is."""
        task = self._tasks[0][1] if self._tasks else None
        if task is None or not task.done() or task.cancelled() or task.exception():
            return None
        page = task.result()
        if not wanted(page):
            return None
        self._tasks.popleft()
        return page

    async def close(self) -> None:
        """Cancel what is under way, and wait until that is done."""
        tasks = [task for _, task in self._tasks]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def __del__(self) -> None:
        for _, task in self._tasks:
            cancel_from_anywhere(task)


def cancel_from_anywhere(task: asyncio.Task[Any]) -> None:
    """Cancel a task that nobody waits for any more, also from another thread than its loop's."""
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the task with it
        task.get_loop().call_soon_threadsafe(task.cancel)


def _look_at(task: asyncio.Task[Page]) -> None:
    """Take note of an error that nobody may ask for; otherwise asyncio complains of it."""
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
