"""Opening and closing clients over and over leaves nothing behind."""

from support.leaks import no_leaks

from openrouter_async import AsyncOpenRouter, OpenRouter
from openrouter_async.sandbox import EXAMPLE_HASH, Sandbox


async def test_a_thousand_openings() -> None:
    """Neither descriptors nor tasks grow, and every client answers."""
    async with Sandbox() as box, no_leaks():
        for _ in range(1000):
            async with AsyncOpenRouter(box.management_key, server_url=box.url) as client:
                assert (await client.api_keys.get(EXAMPLE_HASH)).data.hash == EXAMPLE_HASH


def test_two_hundred_blocking_openings() -> None:
    """The same with a thread for each client."""
    with Sandbox() as box:
        for _ in range(200):
            with OpenRouter(box.management_key, server_url=box.url) as client:
                assert client.api_keys.get(EXAMPLE_HASH).data.hash == EXAMPLE_HASH


async def test_five_thousand_updates() -> None:
    """Fifty at a time, without one error."""
    async with (
        Sandbox(keys=4999) as box,
        AsyncOpenRouter(box.management_key, server_url=box.url, total_timeout=120) as client,
    ):
        items = [{"hash": key.hash, "limit": 7} for key in box.keys]
        outcomes = await client.api_keys.update_many(items, concurrency=50)
        assert {str(outcome.status) for outcome in outcomes} == {"ok"}
        assert {key.limit for key in box.keys} == {7}
        assert len(box.requests) == 5000
