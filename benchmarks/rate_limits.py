"""`python -m benchmarks.rate_limits`: how bulk work and audits cope with a rate limit.

Each run has its own sandbox that allows a number of requests a second, in bursts of one second's,
and responds to others with 429 and an honest `Retry-After` in whole seconds. "Ideal" is the time
that the limit allows for the requests that were needed. Fast runs are made one after another, slow
ones side by side: 1,000 keys at 2 requests a second take 8 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import attrs

from openrouter_async import AsyncOpenRouter
from openrouter_async.bulk import KeyState, Status
from openrouter_async.sandbox import Sandbox

SLOW = 10
"""Requests a second up to which runs share a process without slowing each other down."""
GRACE = 2.0
"""Seconds in which the client may discover the limit."""


@attrs.frozen(kw_only=True)
class Result:
    """The result of one run."""

    work: str
    rate: float
    requests: int
    """Requests that the service accepted."""
    seconds: float
    refused: int
    """Responses with 429."""
    refused_late: int
    """Responses with 429 to requests after the grace."""
    late: int
    """All requests after the grace."""
    failed: int
    complete: bool

    @property
    def ideal(self) -> float:
        """Seconds that the limit allows: one second's requests at once, then the others in turn."""
        return max(0.0, (self.requests - self.rate) / self.rate)


async def get_many(client: AsyncOpenRouter, box: Sandbox) -> tuple[int, bool]:
    """Get all keys; return the number of failures and whether all keys are there."""
    outcomes = await client.api_keys.get_many([key.hash for key in box.keys])
    return sum(outcome.state is not KeyState.FOUND for outcome in outcomes), True


async def disable_many(client: AsyncOpenRouter, box: Sandbox) -> tuple[int, bool]:
    """Disable all keys; return the number of failures and whether all keys are disabled."""
    outcomes = await client.api_keys.disable_many([key.hash for key in box.keys])
    done = all(key.disabled for key in box.keys)
    return sum(outcome.status is not Status.OK for outcome in outcomes), done


async def audit(client: AsyncOpenRouter, box: Sandbox) -> tuple[int, bool]:
    """Audit all workspaces; return the number of errors and whether the report is complete."""
    report = await client.audit()
    return len(report.errors), report.complete and len(report.keys) == len(box.keys)


WORK: dict[str, tuple[Callable[[AsyncOpenRouter, Sandbox], Awaitable[tuple[int, bool]]], int]] = {
    "get_many": (get_many, 1),
    "disable_many": (disable_many, 1),
    "audit": (audit, 3),
}
"""The kinds of work, and by what each multiplies `--keys`."""


async def measure(work: str, rate: float, keys: int) -> Result:
    """Do one kind of work under one limit."""
    function, factor = WORK[work]
    async with (
        Sandbox(keys=keys * factor - 1, requests_per_second=rate) as box,
        AsyncOpenRouter(box.management_key, server_url=box.url) as client,
    ):
        began = time.monotonic()
        task = asyncio.ensure_future(function(client, box))
        await asyncio.wait([task], timeout=GRACE)
        early = box.requests
        failed, complete = await task
        seconds = time.monotonic() - began
        requests = box.requests
    refused = sum(request.status == 429 for request in requests)
    refused_early = sum(request.status == 429 for request in early)
    return Result(
        work=work,
        rate=rate,
        requests=len(requests) - refused,
        seconds=seconds,
        refused=refused,
        refused_late=refused - refused_early,
        late=len(requests) - len(early),
        failed=failed,
        complete=complete,
    )


async def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000, help="an audit has three times as many")
    parser.add_argument("--rates", type=float, nargs="+", default=[2, 5, 20, 50], metavar="N")
    params = parser.parse_args()
    results: list[Result] = []
    for rate in params.rates:
        if rate > SLOW:
            results += [await measure(work, rate, params.keys) for work in WORK]
    slow = [rate for rate in params.rates if rate <= SLOW]
    runs = [measure(work, rate, params.keys) for work in WORK for rate in slow]
    results += await asyncio.gather(*runs)
    results.sort(key=lambda result: (list(WORK).index(result.work), result.rate))
    print("| work | requests/s | requests | ideal, s | measured, s | ratio | 429s | "
          f"429s after {GRACE:g} s | failed | complete |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for each in results:
        ratio = f"{each.seconds / each.ideal:.2f}" if each.ideal >= 1 else "-"
        late = f"{each.refused_late} ({each.refused_late / max(1, each.late):.1%})"
        print(
            f"| {each.work} | {each.rate:g} | {each.requests} | {each.ideal:.1f} | "
            f"{each.seconds:.1f} | {ratio} | {each.refused} | {late} | {each.failed} | "
            f"{'yes' if each.complete else 'NO'} |"
        )


if __name__ == "__main__":
    asyncio.run(main())
