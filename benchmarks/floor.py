"""The floor: what a careful hand would write for one call, and nothing more.

An aiohttp session, one request, a status check, msgspec into the same attrs classes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Final

import aiohttp
import msgspec
from attrs import frozen

from benchmarks import samples
from benchmarks.measure import AsyncCall
from openrouter_async.models import APIKey, GetKeyResponse, ListResponse

HEADERS: Final = {"Authorization": f"Bearer {samples.API_KEY}"}
OK: Final = 200
CREATED: Final = 201


@frozen
class Created:
    """Answer of a create, in the form that msgspec can read."""

    data: APIKey
    key: str


decode_page: Final[Callable[[bytes], object]] = msgspec.json.Decoder(ListResponse).decode


@asynccontextmanager
async def async_get(url: str) -> AsyncIterator[AsyncCall]:
    """`GET /keys/{hash}`."""
    decode = msgspec.json.Decoder(GetKeyResponse).decode
    hashes = cycle(samples.HASHES)
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def call() -> object:
            async with session.get(f"{url}/keys/{next(hashes)}") as reply:
                _check(reply.status, OK)
                return decode(await reply.read())

        yield call


@asynccontextmanager
async def async_list(url: str) -> AsyncIterator[AsyncCall]:
    """`GET /keys`, a page of 100 records."""
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def call() -> object:
            async with session.get(f"{url}/keys") as reply:
                _check(reply.status, OK)
                return decode_page(await reply.read())

        yield call


@asynccontextmanager
async def async_create(url: str) -> AsyncIterator[AsyncCall]:
    """`POST /keys`, a new connection each time."""
    decode = msgspec.json.Decoder(Created).decode
    encode = msgspec.json.Encoder().encode
    headers = HEADERS | {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def call() -> object:
            async with session.post(f"{url}/keys", data=encode(samples.CREATE)) as reply:
                _check(reply.status, CREATED)
                return decode(await reply.read())

        yield call


def _check(status: int, wanted: int) -> None:
    if status != wanted:
        message = f"status {status}"
        raise RuntimeError(message)
