"""Check deadlines against a plain timer, so that a busy machine does not fail a punctual client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TOLERANCE = 0.2  # seconds


@asynccontextmanager
async def due_in(seconds: float) -> AsyncIterator[None]:
    """Fail if the block ends early, or over 0.2 s after a timer of the same length has fired."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    rang: asyncio.Future[float] = loop.create_future()
    timer = loop.call_later(seconds, lambda: rang.set_result(loop.time()))
    try:
        yield
    finally:
        timer.cancel()
    ended = loop.time()
    assert ended - began >= seconds - 0.001, f"ended after {ended - began:.3f} s"
    late = ended - rang.result() if rang.done() else 0.0
    assert late < TOLERANCE, f"ended {late:.3f} s late"
