"""The floor again, with aiohttp tuned as our transport is.

No cookies, timers or redirects; URLs that need no quoting; a body decompressed by one call of zlib.
"""

import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle, repeat
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from benchmarks import floor, samples
from benchmarks.certificates import client_side
from benchmarks.measure import AsyncCall
from openrouter_async.models import GetKeyResponse

HEADERS: Final = floor.HEADERS | {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
_GZIP: Final = 16 + zlib.MAX_WBITS


@asynccontextmanager
async def requesting(
    url: str, next_target: Callable[[], str], decode: Callable[[bytes], object]
) -> AsyncIterator[AsyncCall]:
    """Connect, and yield a call that gets and decodes the next target."""
    base = URL(url, encoded=True)
    async with aiohttp.ClientSession(
        headers=HEADERS,
        connector=aiohttp.TCPConnector(limit=0, ssl=client_side(url) or True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None),
        auto_decompress=False,
    ) as session:

        async def call() -> object:
            target = base.with_path(base.raw_path + next_target(), encoded=True)
            async with session.get(target, allow_redirects=False) as response:
                floor.check(response.status, floor.OK)
                body = await response.read()
                if response.headers.get("Content-Encoding") == "gzip":
                    body = zlib.decompress(body, wbits=_GZIP)
                return decode(body)

        yield call


def async_get(url: str) -> object:
    """`GET /keys/{hash}`."""
    hashes = cycle(samples.HASHES)
    decode = msgspec.json.Decoder(GetKeyResponse).decode
    return requesting(url, lambda: f"/keys/{next(hashes)}", decode)


def async_list(url: str) -> object:
    """`GET /keys`, a page of 100 records."""
    return requesting(url, repeat("/keys").__next__, floor.decode_page)
