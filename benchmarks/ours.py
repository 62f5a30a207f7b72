"""Our clients, used as the README shows them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import cycle
from typing import Final

from benchmarks import samples
from benchmarks.certificates import client_side
from benchmarks.measure import AsyncCall, Call
from openrouter_async import AsyncOpenRouter, OpenRouter, RetryConfig, _converter
from openrouter_async.models import ListResponse

IMPORT: Final = "from openrouter_async import AsyncOpenRouter, APIKey"
IMPORT_BLOCKING: Final = "from openrouter_async import OpenRouter"
IMPORT_COMMAND: Final = "from openrouter_async.cli._app import run"
FIRST_CALL: Final = """
import sys
from openrouter_async import OpenRouter
with OpenRouter(api_key=sys.argv[1], server_url=sys.argv[2]) as client:
    client.api_keys.get(hash=sys.argv[3])
"""
FIRST_CALL_ASYNC: Final = """
import asyncio, sys
from openrouter_async import AsyncOpenRouter
async def main():
    async with AsyncOpenRouter(api_key=sys.argv[1], server_url=sys.argv[2]) as client:
        await client.api_keys.get(hash=sys.argv[3])
asyncio.run(main())
"""
FIRST_COMMAND: Final = """
import os, sys
from openrouter_async.cli import main
os.environ["OPENROUTER_API_KEY"] = sys.argv[1]
sys.argv[1:] = ["get", sys.argv[3], "--server-url", sys.argv[2]]
sys.exit(main())
"""


def decode_page(body: bytes) -> object:
    """Decode a list as the client does after it has read the response."""
    return _converter.decode(ListResponse, body)


def _client(url: str) -> AsyncOpenRouter:
    return AsyncOpenRouter(api_key=samples.API_KEY, server_url=url, ssl=client_side(url))


@asynccontextmanager
async def async_get(url: str) -> AsyncIterator[AsyncCall]:
    """`get`."""
    hashes = cycle(samples.HASHES)
    async with _client(url) as client:
        yield lambda: client.api_keys.get(hash=next(hashes))


@asynccontextmanager
async def async_get_again(url: str) -> AsyncIterator[AsyncCall]:
    """`get` with retries after at most 10 ms: their cost is of interest, not their wait."""
    hashes = cycle(samples.HASHES)
    retries = RetryConfig(initial_interval=0.01, max_interval=0.01)
    async with AsyncOpenRouter(api_key=samples.API_KEY, server_url=url, retries=retries) as client:
        yield lambda: client.api_keys.get(hash=next(hashes))


@asynccontextmanager
async def async_list(url: str) -> AsyncIterator[AsyncCall]:
    """`list`."""
    async with _client(url) as client:
        yield client.api_keys.list


@asynccontextmanager
async def async_create(url: str) -> AsyncIterator[AsyncCall]:
    """`create` with all of its parameters."""
    async with AsyncOpenRouter(api_key=samples.API_KEY, server_url=url) as client:
        yield lambda: client.api_keys.create(**samples.CREATE)


@contextmanager
def blocking_get(url: str) -> Iterator[Call]:
    """`get`."""
    hashes = cycle(samples.HASHES)
    with OpenRouter(api_key=samples.API_KEY, server_url=url) as client:
        yield lambda: client.api_keys.get(hash=next(hashes))


@contextmanager
def blocking_list(url: str) -> Iterator[Call]:
    """`list`."""
    with OpenRouter(api_key=samples.API_KEY, server_url=url) as client:
        yield client.api_keys.list
