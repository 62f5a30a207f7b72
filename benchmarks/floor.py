"""The floor: the least that careful hand-written code does for one call.

An aiohttp session, one request, a status check, and msgspec into the same attrs classes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Final

import aiohttp
import msgspec
from attrs import frozen

from benchmarks import samples
from benchmarks.certificates import client_side
from benchmarks.measure import AsyncCall
from openrouter_async.models import APIKey, GetKeyResponse, ListResponse

HEADERS: Final = {"Authorization": f"Bearer {samples.API_KEY}"}
OK: Final = 200
CREATED: Final = 201


@frozen
class Created:
    """Response to a create, in a form that msgspec can decode."""

    data: APIKey
    key: str


IMPORT: Final = "import aiohttp, attrs, msgspec"
FIRST_CALL: Final = """
import asyncio, sys, aiohttp, msgspec
async def main():
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sys.argv[1]}"}) as session:
        async with session.get(f"{sys.argv[2]}/keys/{sys.argv[3]}") as response:
            msgspec.json.decode(await response.read())
asyncio.run(main())
"""
decode_page: Final[Callable[[bytes], object]] = msgspec.json.Decoder(ListResponse).decode


@asynccontextmanager
async def async_get(url: str) -> AsyncIterator[AsyncCall]:
    """`GET /keys/{hash}`."""
    decode = msgspec.json.Decoder(GetKeyResponse).decode
    hashes = cycle(samples.HASHES)
    async with _session(url) as session:

        async def call() -> object:
            async with session.get(f"{url}/keys/{next(hashes)}") as response:
                check(response.status, OK)
                return decode(await response.read())

        yield call


@asynccontextmanager
async def async_list(url: str) -> AsyncIterator[AsyncCall]:
    """`GET /keys`, a page of 100 records."""
    async with _session(url) as session:

        async def call() -> object:
            async with session.get(f"{url}/keys") as response:
                check(response.status, OK)
                return decode_page(await response.read())

        yield call


@asynccontextmanager
async def async_create(url: str) -> AsyncIterator[AsyncCall]:
    """`POST /keys`, on a new connection each time."""
    decode = msgspec.json.Decoder(Created).decode
    encode = msgspec.json.Encoder().encode
    headers = HEADERS | {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def call() -> object:
            async with session.post(f"{url}/keys", data=encode(samples.CREATE)) as response:
                check(response.status, CREATED)
                return decode(await response.read())

        yield call


def _session(url: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=client_side(url) or True)
    return aiohttp.ClientSession(headers=HEADERS, connector=connector)


def check(status: int, expected: int) -> None:
    """Raise `RuntimeError` for an unexpected status."""
    if status != expected:
        message = f"status {status}"
        raise RuntimeError(message)
