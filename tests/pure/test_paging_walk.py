import asyncio
import gc
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from support.leaks import running_tasks
from support.listing import ChangingList

from openrouter_async import (
    APIConnectionError,
    InvalidRequestError,
    PagingError,
    ResponseValidationError,
)
from openrouter_async._caller import Throttle
from openrouter_async._operations import ListKeys
from openrouter_async.api_keys import APIKeys
from openrouter_async.models import ListWorkspacesResponse, Workspace
from openrouter_async.paging import KeyWalk, WorkspaceWalk

CONCURRENCIES = [1, 2, 16]
at_once = pytest.mark.parametrize("concurrency", CONCURRENCIES)


def walk_over(keys: ChangingList, concurrency: int = 1, *, lenient: bool = False) -> KeyWalk:
    """A walk over all pages of a list."""
    throttle = Throttle(keys, concurrency=concurrency)
    return KeyWalk(throttle, ListKeys(), {}, lenient=lenient, window=lambda: concurrency)


async def hashes_of(walk: KeyWalk) -> list[str]:
    """Walk to the end."""
    return [key.hash async for key in walk]


async def collect(walk: KeyWalk, into: list[str]) -> None:
    """Walk as far as it goes."""
    async for key in walk:
        into.append(key.hash)  # noqa: PERF401  # what came before an error counts


def now_and_then(
    change: Callable[[ChangingList], None], most: int = 1000
) -> Callable[[ChangingList], None]:
    """Do so after three pages in ten, so many times at most."""
    times = 0

    def after_page(keys: ChangingList) -> None:
        nonlocal times
        if times < most and keys.random.random() < 0.3:
            times += 1
            change(keys)

    return after_page


def once_after(
    pages: int, change: Callable[[ChangingList], None]
) -> Callable[[ChangingList], None]:
    """Do so once, after so many pages."""

    def after_page(keys: ChangingList) -> None:
        if len(keys.requests) == pages:
            change(keys)

    return after_page


@at_once
@pytest.mark.parametrize("count", [0, 1, 94, 95, 96, 99, 100, 101, 190, 195, 200, 1000, 1234])
async def test_every_key_comes_once_in_order(count: int, concurrency: int) -> None:
    """Whatever the length of the list, also where it ends with a whole page."""
    keys = ChangingList(count)
    walk = walk_over(keys, concurrency)
    assert await hashes_of(walk) == keys.original
    assert walk.complete
    assert walk.refetched == 0
    assert keys.most_under_way <= concurrency
    assert not running_tasks()


async def test_one_at_a_time_asks_for_no_page_in_vain() -> None:
    """Without concurrency there are as many requests as pages, and one that proves the end."""
    keys = ChangingList(1000)
    walk = walk_over(keys)
    await hashes_of(walk)
    assert keys.requests == [*range(0, 1000, 95), 995]
    assert walk.pages == 12


async def test_a_short_list_is_two_requests() -> None:
    """The second one proves that nothing is behind; nothing else is fetched ahead."""
    keys = ChangingList(90)
    await hashes_of(walk_over(keys, 16))
    assert keys.requests == [0, 85]


FEW = [(0, 1), (1, 2), (90, 2), (100, 4), (250, 6), (1000, 15), (10_000, 112)]


@pytest.mark.parametrize(("count", "most"), FEW)
async def test_few_requests_go_beyond_the_end(count: int, most: int) -> None:
    """The end is searched for ahead of the pages, so that few requests are in vain."""
    for seed in range(20 if count <= 1000 else 5):
        keys = ChangingList(count, seed=seed)
        await hashes_of(walk_over(keys, 16))
        assert len(keys.requests) <= most, seed
        assert len(set(keys.requests)) == len(keys.requests)


@at_once
@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 101, 1000])
@pytest.mark.parametrize("page_size", [2, 7, 10, 50, 99])
async def test_pages_shorter_than_expected(page_size: int, count: int, concurrency: int) -> None:
    """How many rows a full page has is up to the service; a short page is not the last."""
    keys = ChangingList(count, page_size=page_size)
    walk = walk_over(keys, concurrency)
    assert await hashes_of(walk) == keys.original
    assert walk.complete
    assert walk.refetched == 0
    assert not running_tasks()


async def test_pages_of_one_row_are_not_believed() -> None:
    """They can share no row, so nothing can be verified: the walk is not complete."""
    walk = walk_over(ChangingList(10, page_size=1))
    assert len(await hashes_of(walk)) < 10
    assert not walk.complete


@at_once
@pytest.mark.parametrize("length", [1, 3, 99])
async def test_one_short_page_whatever_the_offset(length: int, concurrency: int) -> None:
    """A mocked server, which answers the same to all, ends the walk; it may hide keys."""
    keys = ChangingList(length)
    keys.answer = lambda _: keys.slice(0)
    walk = walk_over(keys, concurrency)
    assert await hashes_of(walk) == list(keys.original)
    assert not walk.complete


@at_once
async def test_pages_of_changing_length(concurrency: int) -> None:
    """A service that bounds bytes rather than rows has pages of any length."""
    keys = ChangingList(1000)
    keys.answer = lambda offset: keys.rows[offset : offset + 20 + (offset * 7919) % 60]
    walk = walk_over(keys, concurrency)
    assert await hashes_of(walk) == keys.original
    assert walk.complete


async def test_the_window_is_full() -> None:
    """As many pages as allowed are fetched at once."""
    keys = ChangingList(5000)
    await hashes_of(walk_over(keys, 16))
    assert keys.most_under_way == 16
    assert len(keys.requests) <= 54 + 6


async def turns(count: int = 200) -> None:
    """Let everything happen that does not hang."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_slow_page_does_not_hold_up_the_others() -> None:
    """They are fetched as long as there is room for them, and come in order all the same."""
    keys = ChangingList(20_000)
    answered = asyncio.Event()
    keys.hanging = {2850: answered}
    walk = walk_over(keys, 4)
    seen: list[str] = []
    reading = asyncio.create_task(collect(walk, seen))
    await turns(2000)
    assert seen == keys.original[:2855]
    in_order = {offset for offset in keys.requests if 2850 < offset <= 2850 + 95 * 23}
    assert in_order >= set(range(2945, 2850 + 95 * 23, 95))
    assert keys.under_way == 1
    await turns()
    assert keys.under_way == 1
    answered.set()
    await reading
    assert seen == keys.original
    assert walk.complete


async def test_a_short_page_ends_the_search_out_of_turn() -> None:
    """What is behind it is not requested, though a page before it has not arrived."""
    keys = ChangingList(3000)
    answered = asyncio.Event()
    keys.hanging = {950: answered}
    walk = walk_over(keys, 16)
    reading = asyncio.create_task(hashes_of(walk))
    await turns(2000)
    assert sorted(keys.requests)[-4] <= 3000 + 95
    assert len(keys.requests) <= 32 + 6
    answered.set()
    assert await reading == keys.original
    assert len(keys.requests) <= 33 + 6


async def test_few_pages_are_ahead_of_a_walk_that_is_left_early() -> None:
    """However long its consumer takes over the first page, and none is in flight at the end."""
    keys = ChangingList(20_000)
    walk = walk_over(keys, 16)
    await anext(walk)
    await turns()
    assert len(keys.requests) <= 1 + 8
    for _ in range(950):
        await anext(walk)
    await turns()
    assert len(keys.requests) <= 11 + 2 * 11 + 4
    await walk.aclose()
    assert keys.under_way == 0


async def test_a_window_that_grows_is_filled() -> None:
    """At once, and not when the next response arrives."""
    keys = ChangingList(20_000)
    window = 4
    walk = KeyWalk(keys, ListKeys(), {}, window=lambda: window)
    for _ in range(20):
        await walk.next_page()
    keys.hang_after = len(keys.requests)
    await turns()
    assert keys.under_way == 4
    window = 8
    walk.fetch_ahead()
    await turns()
    assert keys.under_way == 8
    await walk.aclose()


async def test_concurrency_comes_back_after_a_gap() -> None:
    """After pages that did not join on, the window is one page, and grows again."""
    most_later = 0

    def after_page(keys: ChangingList) -> None:
        nonlocal most_later
        if len(keys.requests) == 20:
            _delete_first(keys, 500)
        elif len(keys.requests) == 60:
            keys.most_under_way = 0

    keys = ChangingList(20_000, after_page=after_page)
    walk = walk_over(keys, 16)
    await hashes_of(walk)
    assert walk.refetched > 0
    assert keys.most_under_way > 12


async def test_pages_fetched_before_a_gap_are_dropped() -> None:
    """They lie elsewhere by now, and are cancelled rather than waited for."""
    keys = ChangingList(5000)
    walk = walk_over(keys, 8)
    for _ in range(8):
        await walk.next_page()
    assert len(walk._prefetched) >= 8
    _delete_first(keys, 2000)
    while not walk.refetched:
        await walk.next_page()
    assert len(walk._prefetched) <= 4
    await walk.aclose()
    assert keys.under_way == 0


KINDS = {
    "create": lambda burst: lambda keys: keys.create(burst),
    "delete": lambda burst: lambda keys: keys.delete(burst),
    "delete near the top": lambda burst: lambda keys: keys.delete(burst, among=2 * burst),
    "both": lambda burst: lambda keys: (keys.create(burst), keys.delete(burst)),
}


@at_once
@pytest.mark.parametrize("page_size", [50, 100])
@pytest.mark.parametrize(("burst", "most"), [(1, 1000), (15, 30), (150, 8)])
async def test_no_stable_key_is_missed(
    burst: int, most: int, page_size: int, concurrency: int
) -> None:
    """Over many runs: nothing missed, nothing twice, and nobody is left in doubt."""
    for seed in range(20):
        change = list(KINDS.values())[seed % len(KINDS)](burst)
        keys = ChangingList(
            1500, seed=seed, page_size=page_size, after_page=now_and_then(change, most)
        )
        walk = walk_over(keys, concurrency)
        seen = await hashes_of(walk)
        assert len(seen) == len(set(seen)), seed
        assert keys.stable <= set(seen), seed
        assert walk.complete, seed
        assert not running_tasks()


@at_once
@pytest.mark.parametrize("kind", ["create", "delete", "both"])
async def test_no_stable_key_is_missed_on_pages_of_changing_length(
    kind: str, concurrency: int
) -> None:
    """A short page of known rows is not the end because it is short: keys may have shifted it."""
    for seed in range(30):
        keys = ChangingList(1000, seed=seed, after_page=now_and_then(KINDS[kind](70), 12))
        keys.answer = _pages_of_changing_length(keys, seed)
        walk = walk_over(keys, concurrency)
        seen = await hashes_of(walk)
        assert keys.stable <= set(seen), seed
        assert len(seen) == len(set(seen)), seed
        assert walk.complete, seed


def _pages_of_changing_length(keys: ChangingList, salt: int) -> Callable[[int], list[Any]]:
    return lambda offset: keys.rows[offset : offset + 20 + hash((offset, salt)) % 61]


@at_once
@pytest.mark.parametrize("burst", [1, 15, 150, 1500, 2500])
async def test_keys_deleted_between_two_pages(burst: int, concurrency: int) -> None:
    """However many rows a page jumps over, what lies between is fetched."""
    keys = ChangingList(5000, after_page=once_after(30, lambda keys: _delete_first(keys, burst)))
    walk = walk_over(keys, concurrency)
    seen = await hashes_of(walk)
    assert keys.stable <= set(seen)
    assert len(seen) == len(set(seen))
    assert walk.complete
    if concurrency == 1:
        assert (walk.refetched > 0) == (burst > 5)


def _delete_first(keys: ChangingList, count: int) -> None:
    del keys.rows[:count]


@at_once
@pytest.mark.parametrize("burst", [1, 95, 100, 150, 500, 1000])
async def test_keys_created_between_two_pages(burst: int, concurrency: int) -> None:
    """Many new keys push known rows onto many pages; they are no duplicates, and no error."""
    keys = ChangingList(5000, after_page=once_after(30, lambda keys: keys.create(burst)))
    walk = walk_over(keys, concurrency)
    seen = await hashes_of(walk)
    assert set(keys.original) <= set(seen)
    assert len(seen) == len(set(seen))
    assert walk.complete


@at_once
async def test_many_keys_created_at_the_beginning(concurrency: int) -> None:
    """When the second page has only keys newer than the first, the walk starts anew."""
    keys = ChangingList(1000, after_page=once_after(1, lambda keys: keys.create(700)))
    walk = walk_over(keys, concurrency)
    seen = await hashes_of(walk)
    assert set(keys.original) <= set(seen)
    assert len(seen) == len(set(seen))
    assert walk.complete


@at_once
async def test_an_empty_page_in_the_middle_is_not_the_end(concurrency: int) -> None:
    """It shares no row with the page before, so the rows are fetched again."""
    keys = ChangingList(1500)
    glitches = {380, 760}

    def answer(offset: int) -> list[object]:
        if offset in glitches:
            glitches.remove(offset)
            return []
        return keys.slice(offset)

    keys.answer = answer
    walk = walk_over(keys, concurrency)
    assert await hashes_of(walk) == keys.original
    assert walk.complete
    assert walk.refetched > 0


@at_once
async def test_the_whole_list_is_deleted(concurrency: int) -> None:
    """The walk ends, with what it had seen."""
    keys = ChangingList(1500, after_page=once_after(1, lambda keys: keys.rows.clear()))
    walk = walk_over(keys, concurrency)
    assert await hashes_of(walk) == keys.original[:100]
    assert walk.complete


@at_once
async def test_seams_that_never_fit_leave_doubt(concurrency: int) -> None:
    """A walk over a list that vanishes too fast ends too, and is not called complete."""

    def after_page(keys: ChangingList) -> None:
        if len(keys.requests) > 65:
            _delete_first(keys, 3000)

    keys = ChangingList(20_000, after_page=after_page)
    walk = walk_over(keys, concurrency)
    seen = await hashes_of(walk)
    assert len(seen) == len(set(seen))
    assert walk.ended
    assert not walk.complete


@at_once
async def test_a_server_that_ignores_offset(concurrency: int) -> None:
    """The same page again and again is an error, soon."""
    keys = ChangingList(1500)
    keys.answer = lambda _: keys.slice(0)
    walk = walk_over(keys, concurrency)
    seen: list[str] = []
    with pytest.raises(PagingError, match="seems to ignore offset"):
        await collect(walk, seen)
    assert seen == keys.original[:100]
    if concurrency == 1:
        assert len(keys.requests) == 1 + 3
    assert len(keys.requests) <= 4 + 16
    assert not walk.complete
    assert not running_tasks()


@at_once
async def test_a_server_that_begins_anew(concurrency: int) -> None:
    """Known pages again and again are an error, though they differ."""
    keys = ChangingList(1000)
    keys.answer = lambda offset: (keys.rows * 2)[offset % 1000 :][:100]
    with pytest.raises(PagingError):
        await hashes_of(walk_over(keys, concurrency))
    assert len(keys.requests) < 100 + 2 * concurrency


@at_once
async def test_an_error_does_not_end_the_walk(concurrency: int) -> None:
    """It leaves nothing running, and the walk goes on where it was."""
    keys = ChangingList(1500)
    error = keys.failures[4] = APIConnectionError("gone")
    walk = walk_over(keys, concurrency)
    seen: list[str] = []
    with pytest.raises(APIConnectionError) as caught:
        await collect(walk, seen)
    assert caught.value is error
    assert not running_tasks()
    seen += await hashes_of(walk)
    assert seen == keys.original
    assert walk.complete


@at_once
async def test_a_walk_shared_by_workers(concurrency: int) -> None:
    """Each row comes to one of them, once."""
    keys = ChangingList(1500)
    walk = walk_over(keys, concurrency)
    seen: list[str] = []

    async def work() -> int:
        before = len(seen)
        async for key in walk:
            seen.append(key.hash)
            await asyncio.sleep(0)
        return len(seen) - before

    await asyncio.gather(*(work() for _ in range(7)))
    assert sorted(seen) == sorted(keys.original)
    assert walk.complete
    assert len(keys.requests) <= 17 + 16


async def test_pages_read_by_workers() -> None:
    """`next_page` may be shared as well."""
    keys = ChangingList(1500)
    walk = walk_over(keys, 4)
    seen: list[str] = []

    async def work() -> None:
        while not walk.ended:
            seen.extend([key.hash for key in await walk.next_page()])

    await asyncio.gather(*(work() for _ in range(5)))
    assert sorted(seen) == sorted(keys.original)
    assert walk.complete


@at_once
async def test_a_cancelled_worker_takes_no_rows_with_it(concurrency: int) -> None:
    """The others go on, and nothing is lost, whenever it happens."""
    for turns in range(25):
        keys = ChangingList(500, seed=turns)
        walk = walk_over(keys, concurrency)
        seen: list[str] = []
        workers = [asyncio.create_task(collect(walk, seen)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        workers[0].cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert sorted(seen) == sorted(keys.original), turns
        assert walk.complete
        assert not running_tasks()


@at_once
async def test_aclose_while_others_wait_for_a_row(concurrency: int) -> None:
    """Their loops end; nobody sees a stray cancellation."""
    for hang_after in (0, 1, 3):
        keys = ChangingList(5000)
        keys.hang_after = hang_after
        walk = walk_over(keys, concurrency)
        seen: list[str] = []
        workers = [asyncio.create_task(collect(walk, seen)) for _ in range(3)]
        while len(keys.requests) <= hang_after:
            await asyncio.sleep(0)
        await walk.aclose()
        await asyncio.wait_for(asyncio.gather(*workers), 5)
        assert not running_tasks()
        assert keys.under_way == 0
        assert not walk.complete
        assert await walk.next_page() == []


async def test_aclose_of_a_walk_over_workspaces_while_another_waits() -> None:
    """It ends the request under way as well."""

    class Hanging(Spaces):
        async def call(self, operation: Any, given: Any, options: Any = None) -> Any:
            await super().call(operation, given)
            return await asyncio.Event().wait()

    walk = WorkspaceWalk(Hanging(3), {})
    waiting = asyncio.create_task(anext(walk, None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await walk.aclose()
    assert await asyncio.wait_for(waiting, 5) is None
    assert not running_tasks()


async def test_aclose_ends_what_is_under_way() -> None:
    """Also twice."""
    keys = ChangingList(5000)
    walk = walk_over(keys, 16)
    await anext(walk)
    assert running_tasks()
    await walk.aclose()
    await walk.aclose()
    assert not running_tasks()
    assert keys.under_way == 0
    assert not walk.complete
    with pytest.raises(StopAsyncIteration):
        await anext(walk)


async def test_a_forgotten_walk_ends_by_itself() -> None:
    """A `break` without `aclose` leaves no task once the walk is gone."""
    keys = ChangingList(5000)
    keys.hang_after = 1
    walk = walk_over(keys, 16)
    await walk.next_page()
    assert len(running_tasks()) == 3
    del walk
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not running_tasks()
    assert keys.under_way == 0


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_cancelling_leaves_nothing(turns: int) -> None:
    """The consumer's cancellation arrives as such, whenever it comes."""
    keys = ChangingList(5000)
    walk = walk_over(keys, 16)
    task = asyncio.create_task(hashes_of(walk))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running_tasks()
    assert keys.under_way == 0


@at_once
async def test_a_record_that_cannot_be_read_is_told_once(concurrency: int) -> None:
    """Also where it stands on two pages; the rows around it come all the same."""
    keys = ChangingList(500)
    keys.unreadable = set(keys.original[96:99]) | {keys.original[300]}
    walk = walk_over(keys, concurrency, lenient=True)
    assert await hashes_of(walk) == [h for h in keys.original if h not in keys.unreadable]
    assert {problem.hash for problem in walk.problems} == keys.unreadable
    assert len(walk.problems) == 4
    assert walk.complete


async def test_an_overlap_of_unreadable_records_is_an_overlap() -> None:
    """Their hashes verify the seam as well."""
    keys = ChangingList(500)
    keys.unreadable = set(keys.original[90:100])
    walk = walk_over(keys, lenient=True)
    await hashes_of(walk)
    assert (walk.refetched, len(walk.problems), walk.complete) == (0, 10, True)


async def test_problems_without_a_hash_are_told_by_their_row() -> None:
    """A record whose hash cannot be read is one problem, not one on each page it stands on."""
    keys = ChangingList(300)
    odd = keys.original[97]
    keys.unreadable = {odd}
    genuine = keys.call

    async def call(*args: object, **kwargs: object) -> object:
        page = await genuine(*args, **kwargs)
        for problem in page.problems:
            problem.hash = None
        return page

    keys.call = call
    walk = walk_over(keys, lenient=True)
    assert len(await hashes_of(walk)) == 299
    assert [str(problem) for problem in walk.problems] == ["response.data[97].name: missing"]


async def test_memory_is_constant() -> None:
    """However long the list, only the last few thousand hashes are remembered."""
    keys = ChangingList(20_000)
    walk = walk_over(keys, 16)
    assert len(await hashes_of(walk)) == 20_000
    assert len(walk._seen) == 4096


@pytest.mark.parametrize("wrong", [0, -1, True, "4", 1.5, None])
def test_concurrency_is_checked(wrong: object) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequestError, match="concurrency must be an integer of at least 1"):
        APIKeys(ChangingList(1)).iter(concurrency=wrong)


class Spaces:
    """So many workspaces, fifty on a page, whatever is asked for."""

    def __init__(self, count: int, *, total: bool = True) -> None:
        self.all = [Workspace(id=str(number), name=str(number)) for number in range(count)]
        self.total = total
        self.count = count
        self.offsets: list[int] = []

    async def call(self, operation: Any, given: Any, options: Any = None) -> Any:
        """Answer a request."""
        self.offsets.append(given.offset)
        return ListWorkspacesResponse(
            data=self.all[given.offset : given.offset + 50],
            total_count=self.count if self.total else None,
        )


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 250])
async def test_every_workspace_comes_once(count: int) -> None:
    """By the total, with no request in vain."""
    spaces = Spaces(count)
    walk = WorkspaceWalk(spaces, {})
    assert [space async for space in walk] == spaces.all
    assert walk.pages == len(spaces.offsets) == max(1, -(-count // 50))


@pytest.mark.parametrize("count", [0, 30, 50, 120])
async def test_an_empty_page_of_workspaces_is_the_last_where_no_total_is_told(count: int) -> None:
    """How many there are on a page is up to the service."""
    spaces = Spaces(count, total=False)
    walk = WorkspaceWalk(spaces, {})
    assert [space async for space in walk] == spaces.all
    assert spaces.offsets == sorted({0, *range(0, count, 50), count})
    assert walk.pages == len(spaces.offsets)


async def test_an_empty_page_of_workspaces_before_the_end() -> None:
    """By the total there should be more: an error, and no shorter list."""
    spaces = Spaces(120)
    del spaces.all[50:]
    spaces.count = 120
    walk = WorkspaceWalk(spaces, {})
    with pytest.raises(PagingError, match="there should be more"):
        [space async for space in walk]


@pytest.mark.parametrize(("change", "complete"), [(0, True), (-1, False), (1, False)])
async def test_workspaces_that_change_while_they_are_read(change: int, complete: Any) -> None:
    """The total tells that one may have been missed."""
    spaces = Spaces(120)
    walk = WorkspaceWalk(spaces, {})
    await walk.next_page()
    assert not walk.complete
    if change < 0:
        del spaces.all[0]
    else:
        spaces.all += [Workspace(id="new", name="new")] * change
    spaces.count = len(spaces.all)
    assert len([space async for space in walk]) == 70 + change
    assert walk.complete is complete


async def test_workspaces_of_a_server_that_ignores_offset() -> None:
    """The same page again is an error."""
    spaces = Spaces(120)
    genuine = spaces.call

    async def call(operation: Any, given: Any, options: Any = None) -> Any:
        return await genuine(operation, attrs.evolve(given, offset=0))

    spaces.call = call  # type: ignore[method-assign]
    with pytest.raises(PagingError, match="a page brings no new workspace"):
        [space async for space in WorkspaceWalk(spaces, {})]


async def test_a_bad_record_is_an_error_unless_lenient() -> None:
    """It is the answer's own error."""
    keys = ChangingList(500)
    keys.failures[1] = ResponseValidationError("response.data[3].name: missing")
    with pytest.raises(ResponseValidationError):
        await hashes_of(walk_over(keys))
