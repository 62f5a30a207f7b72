"""Our wire alone: no retries, deadlines, slots or strict decoding.

The request is composed and sent by our transport, and msgspec decodes the response. The whole
client's cost above this is that of `_call`; this one's cost above the floor is that of the wire.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, Final

import msgspec

from benchmarks import samples
from benchmarks.certificates import client_side
from benchmarks.measure import AsyncCall
from openrouter_async import Secret
from openrouter_async._operations import GET, LIST, KeyHash, ListKeys, Operation, compose
from openrouter_async._transport import Attempt, Transport

KEY: Final = Secret(samples.API_KEY)


@asynccontextmanager
async def _wire(
    url: str, operation: Operation[Any, Any], params: Callable[[], object]
) -> AsyncIterator[AsyncCall]:
    transport = Transport(ssl=client_side(url))
    transport.bind(asyncio.get_running_loop())
    decode = msgspec.json.Decoder(operation.returns).decode

    async def call() -> object:
        attempt = Attempt()
        attempt.key = KEY
        request = compose(operation, params())
        response = await transport.send(request, attempt, base_url=url, headers={}, fresh=False)
        return decode(response.body)

    yield call
    await transport.close()


def async_get(url: str) -> Any:
    """`GET /keys/{hash}`."""
    hashes = cycle(samples.HASHES)
    return _wire(url, GET, lambda: KeyHash(hash=next(hashes)))


def async_list(url: str) -> Any:
    """`GET /keys`, a page of 100 records."""
    return _wire(url, LIST, ListKeys)
