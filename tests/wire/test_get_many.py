import asyncio
from typing import Any

import pytest
from support.calls import ClientFor, problem, record
from support.leaks import no_leaks, running_tasks
from support.server import ScriptedServer
from support.steps import Step, reply
from support.wire import Request

from openrouter_async import (
    ClientClosedError,
    ConfigurationError,
    InternalServerResponseError,
    InvalidRequestError,
    NotFoundResponseError,
    OpenRouter,
)
from openrouter_async.bulk import KeyOutcome, KeyState
from openrouter_async.sandbox import Sandbox

HASHES = [f"{number:064x}" for number in range(60)]


def answer(request: Request) -> Step:
    """Every third key is gone, every fifth answer fails."""
    hash = request.target.rpartition("/")[2]
    number = int(hash, 16)
    if number % 5 == 4:
        return reply(500, json=problem(500))
    if number % 3 == 2:
        return reply(404, json=problem(404))
    return reply(json={"data": record(hash=hash, name=f"key {number}")})


async def test_one_outcome_for_each_in_order(client_for: ClientFor) -> None:
    """Found, gone or failed; a hash that is there twice is asked for twice."""
    async with ScriptedServer(handler=answer) as server:
        client = client_for(server, retries=None)
        outcomes = await client.api_keys.get_many([*HASHES, HASHES[0]], concurrency=7)
    assert [outcome.hash for outcome in outcomes] == [*HASHES, HASHES[0]]
    for number, outcome in enumerate(outcomes[:-1]):
        if number % 5 == 4:
            assert outcome.state is KeyState.FAILED
            assert isinstance(outcome.error, InternalServerResponseError)
            assert outcome.key is None
        elif number % 3 == 2:
            assert outcome.state == "gone"
            assert isinstance(outcome.error, NotFoundResponseError)
        else:
            assert outcome.state == "found"
            assert outcome.key is not None
            assert outcome.key.name == f"key {number}"
            assert outcome.error is None
    assert len(server.requests) == 61


async def test_from_the_sandbox(client_for: ClientFor) -> None:
    """All of a known list, through the blocking client too."""
    async with Sandbox(keys=120) as box:
        hashes = [key.hash for key in box.keys]
        client = client_for(box.url, api_key=box.management_key)
        outcomes = await client.api_keys.get_many(hashes)
        assert [outcome.key for outcome in outcomes] == box.keys

        def blocking() -> list[KeyOutcome]:
            with OpenRouter(box.management_key, server_url=box.url) as client:
                return client.api_keys.get_many(iter(hashes), concurrency=3)

        assert await asyncio.to_thread(blocking) == outcomes


async def test_nothing_to_get(client_for: ClientFor) -> None:
    """No hash is no request."""
    async with ScriptedServer(handler=answer) as server:
        assert await client_for(server).api_keys.get_many([]) == []
        assert not server.requests


@pytest.mark.parametrize("concurrency", [1, 5, 100])
async def test_requests_at_once_are_bounded(client_for: ClientFor, concurrency: int) -> None:
    """And the bound is used."""
    async with Sandbox(keys=60) as box:
        client = client_for(box.url, api_key=box.management_key)
        under_way, most = 0, 0
        call = client.call

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            try:
                return await call(*args, **options)
            finally:
                under_way -= 1

        client.call = counted  # type: ignore[method-assign]
        await client.api_keys.get_many([key.hash for key in box.keys], concurrency=concurrency)
        assert most == min(concurrency, 61)


async def test_progress(client_for: ClientFor) -> None:
    """Each outcome as it comes; what the function raises does not matter."""
    told: list[tuple[KeyOutcome, int, int]] = []

    def progress(outcome: KeyOutcome, done: int, of: int) -> None:
        told.append((outcome, done, of))
        raise ValueError("an observer's own mistake")

    async with ScriptedServer(handler=answer) as server:
        client = client_for(server, retries=None)
        outcomes = await client.api_keys.get_many(HASHES, progress=progress)
    assert [(done, of) for _, done, of in told] == [(n, 60) for n in range(1, 61)]
    assert sorted((outcome for outcome, _, _ in told), key=lambda each: each.hash) == outcomes


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        ([*HASHES[:3], "../x"], "hashes[3] must be a key's hash"),
        (
            [HASHES[0], "sk-or-v1-" + "5e" * 32],
            "hashes[1] must be a key's hash, not the key itself",
        ),
        ([None], "hashes[0] must be"),
        (HASHES[0], "hashes must be an iterable of hashes"),
        (b"bytes", "hashes must be an iterable of hashes"),
        (None, "hashes must be an iterable of hashes"),
    ],
)
async def test_hashes_are_checked_first(client_for: ClientFor, hashes: Any, message: str) -> None:
    """The place is named, and nothing is sent."""
    async with ScriptedServer(handler=answer) as server:
        with pytest.raises(InvalidRequestError) as caught:
            await client_for(server).api_keys.get_many(hashes)
        assert message in str(caught.value)
        assert "5e5e" not in str(caught.value)
        assert not server.requests


async def test_settings_are_checked(client_for: ClientFor) -> None:
    """Before anything is sent."""
    async with ScriptedServer(handler=answer) as server:
        keys = client_for(server).api_keys
        with pytest.raises(InvalidRequestError, match="concurrency must be an integer"):
            await keys.get_many(HASHES, concurrency=0)
        with pytest.raises(ConfigurationError, match="progress must be callable"):
            await keys.get_many(HASHES, progress=3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="timeuot"):
            await keys.get_many(HASHES, timeuot=3)  # type: ignore[call-arg]
        assert not server.requests


async def test_a_closed_client_is_no_outcome(client_for: ClientFor) -> None:
    """It is raised, once."""
    async with ScriptedServer(handler=answer) as server:
        client = client_for(server)
        await client.close()
        with pytest.raises(ClientClosedError):
            await client.api_keys.get_many(HASHES)
        assert not running_tasks() or not server.requests


async def test_cancelling_leaves_nothing(client_for: ClientFor) -> None:
    """No task goes on."""
    async with Sandbox(keys=60) as box:
        client = client_for(box.url, api_key=box.management_key)
        await client.api_keys.list()
        async with no_leaks():
            hashes = [key.hash for key in box.keys] * 10
            task = asyncio.create_task(client.api_keys.get_many(hashes))
            while len(box.requests) < 100:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.close()
        assert len(box.requests) < 500
