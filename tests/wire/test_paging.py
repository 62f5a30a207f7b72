import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calls import ClientFor, pages_of, record
from support.leaks import running_tasks
from support.server import ScriptedServer
from support.steps import reply

from openrouter_async import (
    AsyncOpenRouter,
    InternalServerResponseError,
    OpenRouter,
    PagingError,
    ResponseValidationError,
)
from openrouter_async.paging import KeyWalk
from openrouter_async.sandbox import Sandbox

ALL = {"include_disabled": True, "include_expired": True}
at_once = pytest.mark.parametrize("concurrency", [1, 16])


def default_keys(box: Sandbox) -> list[str]:
    """The hashes of the default workspace's keys, newest first."""
    home = box.workspaces[0].id
    return [key.hash for key in box.keys if key.workspace_id == home]


@at_once
async def test_a_walk_over_real_pages(client_for: ClientFor, concurrency: int) -> None:
    """Every key once, in order, whatever is fetched at once."""
    with Sandbox(keys=2000) as box:
        client = client_for(box.url, api_key=box.management_key)
        walk = client.api_keys.iter(**ALL, concurrency=concurrency)
        assert [key.hash async for key in walk] == default_keys(box)
        assert walk.complete
        assert not running_tasks()


@at_once
async def test_deleted_and_created_meanwhile(client_for: ClientFor, concurrency: int) -> None:
    """A burst of deletions between two pages is noticed and made good."""
    async with Sandbox(keys=800) as box:
        client = client_for(box.url, api_key=box.management_key)
        before = default_keys(box)
        walk = client.api_keys.iter(**ALL, concurrency=concurrency)
        seen = []
        async for key in walk:
            seen.append(key.hash)
            if len(seen) == 150:
                for hash in before[20:60]:
                    await client.api_keys.delete(hash)
                await client.api_keys.create("new")
        assert walk.complete
        assert len(seen) == len(set(seen))
        assert set(before) - set(before[20:60]) <= set(seen)


@at_once
async def test_the_blocking_walk(concurrency: int) -> None:
    """The same from another thread."""
    async with Sandbox(keys=700) as box:

        def walk() -> list[str]:
            with OpenRouter(box.management_key, server_url=box.url) as client:
                keys = client.api_keys.iter(**ALL, concurrency=concurrency)
                hashes = [key.hash for key in keys]
                assert keys.complete
                return hashes

        assert await asyncio.to_thread(walk) == default_keys(box)


def test_a_blocking_walk_left_early() -> None:
    """Closed or forgotten, it ends its requests, and the client closes as always."""
    with Sandbox(keys=3000) as box, OpenRouter(box.management_key, server_url=box.url) as client:
        keys = client.api_keys.iter(**ALL, concurrency=16)
        next(keys)
        keys.close()
        for _ in client.api_keys.iter(**ALL, concurrency=16):
            break
        gc.collect()
        assert client.api_keys.list().data


async def test_a_failing_page_can_be_asked_for_again(client_for: ClientFor) -> None:
    """The walk goes on where it was."""
    async with Sandbox(keys=700) as box:
        client = client_for(box.url, api_key=box.management_key, retries=None)
        walk = client.api_keys.iter(**ALL, concurrency=4)
        seen = [key.hash for key in await walk.next_page()]
        box.fail("list", status=500)
        with pytest.raises(InternalServerResponseError):
            await _read(walk, seen)
        seen += [key.hash async for key in walk]
        assert seen == default_keys(box)


async def _read(walk: KeyWalk, into: list[str]) -> None:
    while not walk.ended:
        into += [key.hash for key in await walk.next_page()]


@at_once
async def test_a_server_that_ignores_offset(client_for: ClientFor, concurrency: int) -> None:
    """It is found out, by an error that says so, after a few pages."""
    page = {"data": [record(hash=f"{number:064x}") for number in range(100)]}
    async with ScriptedServer(handler=lambda _: reply(json=page)) as server:
        walk = client_for(server).api_keys.iter(concurrency=concurrency)
        with pytest.raises(PagingError, match="the server seems to ignore offset"):
            async for _ in walk:
                pass
        assert not walk.complete
        assert len(server.requests) <= 4 + concurrency


@at_once
async def test_bad_records(client_for: ClientFor, concurrency: int) -> None:
    """One of them is an error, or set aside with its hash and row."""
    rows = [record(hash=f"{number:064x}") for number in range(100)]
    rows[42]["name"] = None
    async with ScriptedServer(handler=pages_of(rows[:99])) as server:
        client = client_for(server)
        with pytest.raises(ResponseValidationError):
            await anext(client.api_keys.iter(concurrency=concurrency))
        walk = client.api_keys.iter(lenient=True, concurrency=concurrency)
        assert len([key async for key in walk]) == 98
        [problem] = walk.problems
        assert (problem.row, problem.hash) == (42, f"{42:064x}")
        assert problem.message == "response.data[42].name: expected a string, got null"


async def test_a_hash_in_the_shape_of_a_key_is_not_told(client_for: ClientFor) -> None:
    """An odd record may have anything there."""
    rows = [record(hash="sk-or-v1-" + "5e" * 32, name=None), record(hash=None)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        walk = client_for(server).api_keys.iter(lenient=True)
        assert [key async for key in walk] == []
        assert [problem.hash for problem in walk.problems] == [None, None]


@at_once
async def test_a_service_with_fifty_keys_on_a_page(client_for: ClientFor, concurrency: int) -> None:
    """All thousand come; the last request proves that there are no more."""
    rows = [record(hash=f"{number:064x}") for number in range(1000)]
    async with ScriptedServer(handler=pages_of(rows, 50)) as server:
        walk = client_for(server).api_keys.iter(concurrency=concurrency)
        assert [key.hash async for key in walk] == [row["hash"] for row in rows]
        assert walk.complete
        assert len(server.requests) <= 23 + 1 + concurrency


FEW = [(90, 2), (250, 6), (1000, 15), (10_000, 112)]


@pytest.mark.parametrize(("count", "most"), FEW)
async def test_few_requests_on_the_wire(client_for: ClientFor, count: int, most: int) -> None:
    """Hardly more than there are pages, with the concurrency that `iter` has by itself."""
    rows = [record(hash=f"{number:064x}") for number in range(count)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        walk = client_for(server).api_keys.iter()
        assert [key.hash async for key in walk] == [row["hash"] for row in rows]
        assert walk.complete
        assert len(server.requests) <= most


async def test_one_page_at_a_time(client_for: ClientFor) -> None:
    """Without concurrency the next page is requested when it is needed."""
    rows = [record(hash=f"{number:064x}") for number in range(400)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        walk = client_for(server).api_keys.iter(concurrency=1)
        for read in (1, 2, 3):
            await walk.next_page()
            assert len(server.requests) == read
        assert len([key async for key in walk]) == 400 - 290
        offsets = [int(request.target.split("offset=")[1]) for request in server.requests]
        assert offsets == [0, 95, 190, 285, 380, 395]


async def test_a_loop_that_is_left(client_for: ClientFor) -> None:
    """A `break` on the first page has cost few requests, and no more are made."""
    rows = [record(hash=f"{number:064x}") for number in range(2000)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        client = client_for(server)
        async for _ in client.api_keys.iter():
            break
        gc.collect()
        for _ in range(20):
            await client.api_keys.list(offset=5)
        offsets = [request.target.split("offset=")[1] for request in server.requests]
        assert len(offsets) - offsets.count("5") <= 4


async def test_ninety_keys_are_two_requests(client_for: ClientFor) -> None:
    """Whatever the concurrency."""
    rows = [record(hash=f"{number:064x}") for number in range(90)]
    async with ScriptedServer(handler=pages_of(rows)) as server:
        walk = client_for(server).api_keys.iter(concurrency=16)
        assert len([key async for key in walk]) == 90
        assert walk.complete
        assert [request.target.split("offset=")[1] for request in server.requests] == ["0", "85"]


async def test_a_short_page_that_is_repeated(client_for: ClientFor) -> None:
    """A server that ignores offset may have more than it shows: the walk is not complete."""
    rows = [record(hash=f"{number:064x}") for number in range(50)]
    async with ScriptedServer(handler=lambda _: reply(json={"data": rows})) as server:
        walk = client_for(server).api_keys.iter()
        assert len([key async for key in walk]) == 50
        assert not walk.complete


def test_a_blocking_walk_shared_by_threads() -> None:
    """Each key comes to one of them, once."""
    with Sandbox(keys=1500) as box, OpenRouter(box.management_key, server_url=box.url) as client:
        keys = client.api_keys.iter(**ALL, concurrency=4)
        with ThreadPoolExecutor(8) as threads:
            parts = [threads.submit(lambda: [key.hash for key in keys]) for _ in range(8)]
            seen = [hash for part in parts for hash in part.result(timeout=60)]
        assert sorted(seen) == sorted(default_keys(box))
        assert keys.complete


def test_closing_a_blocking_walk_while_a_thread_waits_for_a_row() -> None:
    """Its loop ends, and nothing is raised."""
    with Sandbox(keys=300) as box, OpenRouter(box.management_key, server_url=box.url) as client:
        box.fail("list", delay=30)
        keys = client.api_keys.iter(**ALL)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(list, keys)
            while not box.requests:
                time.sleep(0.01)
            keys.close()
            assert waiting.result(timeout=10) == []


async def test_closing_the_client_during_a_walk(client_for: ClientFor) -> None:
    """What was fetched ahead ends with it."""
    with Sandbox(keys=3000) as box:
        client: AsyncOpenRouter = client_for(box.url, api_key=box.management_key)
        walk = client.api_keys.iter(**ALL, concurrency=16)
        await walk.next_page()
        await walk.aclose()
        await client.close()
        assert not running_tasks()
