"""The official SDK, used as its documentation shows it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import cycle
from typing import Any, Final

import httpx
from openrouter import OpenRouter, operations
from openrouter.utils.serializers import unmarshal_json

from benchmarks import samples
from benchmarks.certificates import client_side
from benchmarks.measure import AsyncCall, Call

IMPORT: Final = "from openrouter import OpenRouter"
FIRST_CALL: Final = """
import sys
from openrouter import OpenRouter
with OpenRouter(api_key=sys.argv[1], server_url=sys.argv[2]) as client:
    client.api_keys.get(hash=sys.argv[3])
"""


def decode_page(body: bytes) -> object:
    """Decode a list as the SDK does after it has read the response."""
    return unmarshal_json(body, operations.ListResponse)


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[OpenRouter]:
    async with AsyncExitStack() as stack:
        options: dict[str, Any] = {}
        if context := client_side(url):  # the SDK's own client, but for the certificate
            http = httpx.AsyncClient(follow_redirects=True, verify=context)
            options["async_client"] = await stack.enter_async_context(http)
        client = OpenRouter(api_key=samples.API_KEY, server_url=url, **options)
        yield await stack.enter_async_context(client)


@asynccontextmanager
async def async_get(url: str) -> AsyncIterator[AsyncCall]:
    """`get_async`."""
    hashes = cycle(samples.HASHES)
    async with _client(url) as client:
        yield lambda: client.api_keys.get_async(hash=next(hashes))


@asynccontextmanager
async def async_list(url: str) -> AsyncIterator[AsyncCall]:
    """`list_async`."""
    async with _client(url) as client:
        yield client.api_keys.list_async


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
